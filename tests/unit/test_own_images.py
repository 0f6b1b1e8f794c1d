"""An image that is made from a directory follows what is in it."""

from types import SimpleNamespace

import pytest

from harness.pytest_plugin import images


@pytest.fixture
def engine(monkeypatch):
    made = []
    monkeypatch.setattr(images, "_from_directory", lambda _, path: made.append(path) or f"image {len(made)}")
    return SimpleNamespace(references={}, kernel="6.1")


def test_a_file_that_changed_in_a_directory_makes_another_image(engine, tmp_path):
    (tmp_path / "deep").mkdir()
    program = tmp_path / "deep/program"
    program.write_text("one")
    assert images.bring_image(engine, tmp_path) == images.bring_image(engine, tmp_path) == "image 1"
    program.write_text("two")  # changes no time of any directory
    assert images.bring_image(engine, tmp_path) == "image 2"
    program.chmod(0o755)
    assert images.bring_image(engine, tmp_path) == "image 3"
