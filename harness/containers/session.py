"""Sessions: what oomtrial creates in a shared engine, identified by a label and always removed afterwards."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import docker
import docker.errors
import psutil
from docker.models.containers import Container

from ..system.paths import content_key
from ..system.signals import deferred
from .images import Image
from .memcgs import remove_memcgs
from .running import API_ERRORS, COLLECTOR, LABEL, SESSION, WATCHER

_PASSES = 3  # a container may be on its way while the first list is made
_STOP_S = 10


class Session:
    """Containers, volumes and images of one trial in an engine. Leaving it removes them all.

    Its id names the process that opened it, so that the next one can tell what a killed process left.
    """

    def __init__(self, client: docker.DockerClient, say: Callable[[str], None]) -> None:
        process = psutil.Process()
        self.id = f"{_place()}-{process.pid}-{int(process.create_time())}-{secrets.token_hex(4)}"
        self._client, self._say = client, say

    def own_images(self, images: dict[str, Image]) -> dict[str, Image]:
        """The images under names of this session: removing them does not affect other sessions."""
        # in the name, as Podman 4 leaves the tag of an import alone
        return {
            name: dataclasses.replace(image, name=f"{image.name}-{image.key}-{self.id}", key="latest")
            for name, image in images.items()
        }

    def __enter__(self) -> Session:
        with contextlib.suppress(*API_ERRORS):
            for left in abandoned_sessions(self._client):
                self._say(f"removing what a killed oomtrial left: session {left}")
                remove_session(self._client, left)
        for message in remove_memcgs(is_abandoned):
            self._say(message)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with deferred():  # a second Ctrl-C does not leave half of it behind
            for left in remove_session(self._client, self.id):
                self._say(f"left behind in the engine: {left}")


def abandoned_sessions(client: docker.DockerClient) -> set[str]:
    """Sessions whose process is gone."""
    labels = [container["Labels"] for container in client.api.containers(all=True, filters={"label": SESSION})]
    labels += [volume["Labels"] or {} for volume in client.api.volumes(filters={"label": SESSION})["Volumes"] or []]
    sessions = {label_set[SESSION] for label_set in labels} | {session for _, session in _images(client)}
    return {session for session in sessions if is_abandoned(session)}


def is_abandoned(session: str) -> bool:
    """Whether the session's process was on this machine and is gone."""
    return session.startswith(f"{_place()}-") and not _is_alive(session)


def _images(client: docker.DockerClient) -> Iterator[tuple[str, str]]:
    """Images of sessions: the name, and the session."""
    for tag in (tag for image in client.images.list() for tag in image.tags):
        parts = tag.removesuffix(":latest").split("-")
        if "oomtrial/" in parts[0] and len(parts) == 6:
            yield tag, "-".join(parts[2:])


def _place() -> str:
    """Identifies machine and pid namespace, since others may use the same engine with the same pids."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts += [Path("/etc/machine-id").read_text(), str(Path("/proc/self/ns/pid").readlink())]
    return content_key(*parts)[:8]


def _is_alive(session: str) -> bool:
    _, pid, created, _ = session.split("-")
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(int(pid))
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - int(created)) < 2
    return False


def remove_session(client: docker.DockerClient, session: str) -> list[str]:
    """Removes everything of a session. Returns what could not be removed, in words."""
    left: list[str] = []
    for number in range(_PASSES):
        left = _remove_once(client, session)
        if not left and number > 0:
            break
        time.sleep(0.05)
    return left


def _remove_once(client: docker.DockerClient, session: str) -> list[str]:
    left: list[str] = []

    def attempt(name: str, removal: Callable[[], object]) -> None:
        try:
            removal()
        except docker.errors.NotFound:
            pass
        except API_ERRORS as error:
            left.append(f"{name} ({error})")

    try:
        chosen: dict[str, Any] = {"label": f"{SESSION}={session}"}
        containers = client.containers.list(all=True, filters=chosen, ignore_removed=True)
        # the collector last: while a workload is being killed, it is what writes that down; and the watcher, which removes
        # the memcgs above the others
        for container in sorted(containers, key=lambda container: container.labels.get(LABEL) in (COLLECTOR, WATCHER)):
            attempt(f"container {container.name}", lambda container=container: _remove(container))  # type: ignore[misc]
        for volume in client.volumes.list(filters=chosen):
            attempt(f"volume {volume.name}", lambda volume=volume: volume.remove(force=True))  # type: ignore[misc]
        for tag, owner in _images(client):
            if owner == session:
                attempt(f"image {tag}", lambda tag=tag: client.images.remove(tag))  # type: ignore[misc]
    except API_ERRORS as error:
        left.append(
            f"session {session}, as the engine does not answer ({type(error).__name__}); the next run there removes it"
        )
    return left


def _remove(container: Container) -> None:
    if container.labels.get(LABEL) in (COLLECTOR, WATCHER):
        # it takes its trace instance and its probes away, or its memcgs
        with contextlib.suppress(*API_ERRORS):
            container.stop(timeout=_STOP_S)
    container.remove(force=True, v=True)
