"""Builds the program and its image: a directory with the one file that stands in it."""

import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    root = tmp_path_factory.mktemp("image")
    source = Path(__file__).with_name("pool.c")
    subprocess.run(["musl-gcc", "-static", "-O2", "-o", root / "pool", source], check=True)
    return root
