"""The nodes of a Dask cluster on this machine, as harness/experiment/dask.py starts them: they answer nobody but each other.

Whoever may talk to a scheduler, a nanny or a worker runs code as the user whose they are. Each has throw-away certificates
of one cluster, in memory, and no HTTP server beside (Dask's own starts one at a free port, dashboard or not).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

distributed: Any = import_module("distributed")  # of an extra: its types are not there for every check


class _Silent:
    """Without the HTTP server."""

    def start_http_server(self, *_: Any, **__: Any) -> None:
        pass


class SilentScheduler(_Silent, distributed.Scheduler):  # type: ignore[misc]
    pass


class SilentWorker(_Silent, distributed.Worker):  # type: ignore[misc]
    pass


def local_cluster(workers: int, resources: dict[str, int]) -> Any:
    """Worker processes of this machine, each with these resources, one block at a time."""
    common = {
        "host": "127.0.0.1",
        "protocol": "tls://",
        "security": distributed.Security.temporary(),
        "dashboard": False,
    }
    worker = {
        "cls": distributed.Nanny,
        "options": common
        | {
            "worker_class": SilentWorker,
            "nthreads": 1,
            "resources": resources,
            "memory_limit": 0,  # a guest's memory is QEMU's, which Dask does not count
            "silence_logs": "ERROR",
        },
    }
    return distributed.SpecCluster(
        scheduler={"cls": SilentScheduler, "options": common | {"port": 0}},
        workers=dict.fromkeys(range(workers), worker),
        security=common["security"],
        silence_logs="ERROR",
    )
