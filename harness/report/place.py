"""Where a kill happened, in the names of whoever runs it: a container, a pod, a unit."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..oomlog.owner import owner_of

# dockershim and cri-dockerd: k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT; none of these has an underscore of its own.
_KUBERNETES = re.compile(r"k8s_(?P<container>[^_]+)_(?P<pod>[^_]+)_(?P<namespace>[^_]+)_[^_]+_\d+")
_ID_LETTERS = 12


@dataclass(frozen=True)
class Place:
    """Empty where it is not known, or is none."""

    container: str
    pod: str  # NAMESPACE/NAME where an engine tells it, else its UID
    unit: str  # of systemd

    @property
    def name(self) -> str:
        """In one word for a column."""
        if match := _KUBERNETES.fullmatch(self.container):
            return f"{match['namespace']}/{match['pod']}/{match['container']}"
        if self.pod and self.container:
            return f"{self.pod}/{self.container}"
        return self.container or (f"pod {self.pod}" if self.pod else "") or self.unit or "-"


def place_of(memcg: str | None, container_id: str | None, container_name: str | None) -> Place:
    """By the path of the memcg, and by what an engine says of the container."""
    owner = owner_of(memcg)
    known = container_id or owner.container_id or ""
    container = container_name or (known[:_ID_LETTERS] if re.fullmatch(r"[0-9a-f]{32,}", known) else known)
    pod, unit = owner.pod_uid or "", owner.unit or ""
    if match := _KUBERNETES.fullmatch(container):
        pod = f"{match['namespace']}/{match['pod']}"
    # a container's scope, or a pod's slice, says nothing that its own name does not
    return Place(container, pod, "" if container or pod else unit)
