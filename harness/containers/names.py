"""Names of an engine's containers, and how they ended, from its events."""

from __future__ import annotations

import contextlib
import queue
import re
import threading
from dataclasses import dataclass
from typing import Any

import docker

from .running import API_ERRORS

_ID = re.compile(r"[0-9a-f]{64}")
_REMEMBERED = 10_000  # names of containers, the oldest go first
_ACTIONS = ["create", "start", "rename", "die"]


@dataclass(frozen=True)
class Ended:
    """A container whose first process is gone."""

    id: str
    name: str
    exit_code: int | None


def container_id(memcg: str | None) -> str | None:
    """The container whose memcg this is, or that it lies in: /docker/ID, /system.slice/docker-ID.scope, /kubepods/.../ID."""
    ids = _ID.findall(memcg or "")
    return ids[0] if ids else None


def names_of(client: docker.DockerClient) -> dict[str, str]:
    """The names of an engine's containers, ended ones included, by ID.

    Raises what docker raises when the engine does not answer.
    """
    return {
        container["Id"]: container["Names"][0].lstrip("/")
        for container in client.api.containers(all=True)
        if container["Names"]
    }


class ContainerNames:
    """Follows an engine in a thread of its own. A name stays known when its container is gone."""

    def __init__(self, client: docker.DockerClient) -> None:
        """Raises what docker raises when the engine does not answer."""
        self.ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self.lost = threading.Event()  # the engine went away
        self._client = client
        self._events: Any = client.events(decode=True, filters={"type": "container", "event": _ACTIONS})
        self._names = names_of(client)
        threading.Thread(target=self._follow, name="container-events", daemon=True).start()

    def name_of(self, container: str | None) -> str | None:
        """The name that a container has, or had last."""
        return self._names.get(container) if container else None

    def _follow(self) -> None:
        with contextlib.suppress(*API_ERRORS, ValueError, AttributeError):
            for event in self._events:
                about = event.get("Actor", {})
                attributes = about.get("Attributes", {})
                if "name" in attributes:
                    self._names[about["ID"]] = attributes["name"]
                    while len(self._names) > _REMEMBERED:
                        del self._names[next(iter(self._names))]
                if event.get("Action") == "die":
                    code = attributes.get("exitCode", "")
                    self.ended.put(
                        Ended(about["ID"], attributes.get("name", ""), int(code) if code.isdigit() else None)
                    )
        self.lost.set()

    def close(self) -> None:
        """Stops following."""
        with contextlib.suppress(*API_ERRORS, ValueError, AttributeError):
            self._events.close()
