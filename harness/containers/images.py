"""Our two images: static binaries built on this host, imported through the Docker API."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors

from ..system.cc import build_binary
from ..system.paths import content_key, data_dir

NAMES = ("hog", "collector")


@dataclass(frozen=True)
class Image:
    """An image to be loaded into an engine."""

    name: str
    binary: Path
    changes: tuple[str, ...]  # the Dockerfile's instructions besides FROM and COPY
    key: str

    @property
    def reference(self) -> str:
        return f"oomtrial/{self.name}:{self.key}"


def plan_image(name: str, say: Callable[[str], None] = lambda _: None) -> Image:
    """An image from its Dockerfile and its binary. `say` hears when that was damaged in the cache."""
    lines = (data_dir("containers") / name / "Dockerfile").read_text().splitlines()
    changes = tuple(line for line in lines if line and not line.startswith(("#", "FROM", "COPY")))
    source = data_dir("workloads") / name
    binary = build_binary(source if source.is_dir() else source.with_suffix(".c"), say)
    return Image(name, binary, changes, content_key(binary.read_bytes(), *changes))


def load_image(client: docker.DockerClient, image: Image) -> str:
    """Makes an image present in an engine and returns its reference.

    Importing a one-file archive is `docker build` FROM scratch without the builder, which takes four times as long
    under emulation.
    """
    try:
        client.images.get(image.reference)
    except docker.errors.ImageNotFound:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo(image.binary.name)
            entry.size, entry.mode = image.binary.stat().st_size, 0o755
            with image.binary.open("rb") as content:
                tar.addfile(entry, content)
        repository, _, tag = image.reference.rpartition(":")
        client.api.import_image_from_data(
            archive.getvalue(), repository=repository, tag=tag, changes=list(image.changes)
        )
    return image.reference
