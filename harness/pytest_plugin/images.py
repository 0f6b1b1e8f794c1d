"""A person's own image, brought to the engine under test. Nothing is ever pulled."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import docker.errors

from ..containers.running import API_ERRORS
from ..errors import HostError, OomtrialError, UsageError
from ..guest.local import connect_local
from ..system.paths import content_key
from .engines import KernelEngine

# A name, a tar (of `docker save`, or of files), a directory (of files, or with a Dockerfile), or what makes one. Text is a
# path where it begins as one does, or ends in .tar.
_PATHS = ("/", "./", "../")
Source = str | Path | Callable[[docker.DockerClient], str]


def bring_image(engine: KernelEngine, source: Source) -> str:
    """Makes an image present in an engine, once, and returns its reference.

    Raises UsageError when there is no such image anywhere here, HostError when the engine does not take it.
    """
    if callable(source):
        return source(engine.client)
    path = Path(source)
    try:
        if isinstance(source, str) and not source.startswith(_PATHS) and path.suffix != ".tar":
            return _by_name(engine, source)
        if not path.exists():
            raise UsageError(f"no image: {path} does not exist", "give a tar, a directory, or the name of an image")
        key = _state_of(path)
        if key not in engine.references:
            engine.references[key] = _from_directory(engine, path) if path.is_dir() else _from_tar(engine, path)
        return engine.references[key]
    except API_ERRORS as error:
        raise HostError(f"the engine of {engine.kernel} does not take {source}: {error}") from error


def _state_of(path: Path) -> str:
    """A key that differs when anything in a tar or a directory did: a directory's own time says nothing of its files."""
    parts = [str(path.resolve())]
    for entry in [path, *sorted(path.rglob("*"))]:
        status = entry.lstat()
        look = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        parts += [str(entry), repr(look)]
    return content_key(*(os.fsencode(part) for part in parts))


def _by_name(engine: KernelEngine, name: str) -> str:
    with contextlib.suppress(docker.errors.ImageNotFound):
        engine.client.images.get(name)
        return name
    if engine.guest is None:
        raise UsageError(
            f"the local engine has no image {name!r}, and nothing is pulled", "build or load it there before the tests"
        )
    try:
        local = connect_local()
    except OomtrialError as error:
        raise UsageError(
            f"no image {name!r}: the guest of {engine.kernel} has none, and no local engine to take it from answers",
            "give the tar that `docker save` makes, or a directory",
        ) from error
    with contextlib.closing(local):
        try:
            saved = local.images.get(name).save(named=True)
        except docker.errors.ImageNotFound:
            raise UsageError(
                f"neither the guest of {engine.kernel} nor the local engine has an image {name!r}, and nothing is pulled",
                "build or load it in the local engine before the tests, or give a tar or a directory",
            ) from None
        engine.client.api.load_image(saved)  # type: ignore[no-untyped-call]
    return name


def _from_tar(engine: KernelEngine, path: Path) -> str:
    try:
        with tarfile.open(path) as archive:
            names = set(archive.getnames())
    except (tarfile.TarError, OSError) as error:
        raise UsageError(
            f"no image: {path} is not a tar archive ({error})", "docker save -o FILE.tar IMAGE makes one"
        ) from error
    if names & {"manifest.json", "oci-layout", "index.json"}:
        before = {tag for image in engine.client.images.list() for tag in image.tags}
        with path.open("rb") as content:
            (loaded, *_) = engine.client.images.load(content)
        tags = [str(tag) for tag in loaded.tags] or [str(loaded.id)]
        engine.loaded += [tag for tag in tags if tag not in before]
        return tags[0]
    return _import(engine, path.read_bytes(), path)


def _from_directory(engine: KernelEngine, path: Path) -> str:
    if (path / "Dockerfile").is_file():
        return _build(engine, path)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(path, arcname=".", filter=_owned_by_root)
    return _import(engine, packed.getvalue(), path)


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _import(engine: KernelEngine, archive: bytes, path: Path) -> str:
    repository = engine.repository(content_key(archive, str(path)))
    engine.client.api.import_image_from_data(archive, repository=repository, tag="latest")
    return f"{repository}:latest"


def _build(engine: KernelEngine, path: Path) -> str:
    tag = f"{engine.repository(content_key(str(path.resolve())))}:latest"
    arguments: dict[str, Any] = {"path": str(path), "tag": tag, "rm": True, "forcerm": True, "network_mode": "none"}
    try:
        engine.client.images.build(pull=False, **arguments)
    except docker.errors.BuildError as error:
        raise UsageError(
            f"the Dockerfile in {path} cannot be built: {error.msg}", "it may begin FROM scratch"
        ) from error
    return tag
