"""What `oomtrial watch --metrics` serves for Prometheus."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from typing import Any

from ..errors import HostError, UsageError
from ..report.watchtext import WatchedKill
from ..system.extras import require_extra

LOOPBACK = "127.0.0.1"
_LABELS = ("container", "pod", "unit", "kernel")
_SERIES = 2000  # containers come and go, and a series stays until the process ends
_OTHER = "(other)"
_ADDRESS = re.compile(r"(?:(?P<host>\[[0-9a-fA-F:]+\]|[^:\[\]]+):)?(?P<port>\d{1,5})")


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of ``[HOST:]PORT``; without a host, the loopback address.

    Raises UsageError when it is none.
    """
    match = _ADDRESS.fullmatch(text)
    if not match or int(match["port"]) > 65535:
        raise UsageError(f"not an address for --metrics: {text!r}", "write [HOST:]PORT, such as 9745 or 0.0.0.0:9745")
    return (match["host"] or LOOPBACK).strip("[]"), int(match["port"])


class Metrics:
    """Counters of kills by container, pod, unit and kernel, and of lost records."""

    def __init__(self) -> None:
        """Raises HostError when prometheus_client is not installed."""
        require_extra("--metrics", "metrics")
        import prometheus_client

        self._client: Any = prometheus_client
        self.registry = prometheus_client.CollectorRegistry()
        self._kernel = platform.release()
        self._series: set[tuple[str, ...]] = set()
        self._lost_before = 0
        self._kills = prometheus_client.Counter(
            "oomtrial_oom_kills", "Processes killed by the OOM killer.", _LABELS, registry=self.registry
        )
        self._overlaps = prometheus_client.Counter(
            "oomtrial_oom_kills_overlap_estimated",
            "Kills that came before an earlier victim's memory was free, estimated from the kernel log.",
            _LABELS,
            registry=self.registry,
        )
        self._unknown = prometheus_client.Counter(
            "oomtrial_oom_kills_overlap_unknown",
            "Kills for which the kernel log does not show whether an earlier victim's memory was free.",
            _LABELS,
            registry=self.registry,
        )
        self._lost = prometheus_client.Counter(
            "oomtrial_kernel_log_records_lost",
            "Records of the kernel log that were overwritten before they were read: kills may be missing.",
            ("kernel",),
            registry=self.registry,
        )
        self._lost.labels(self._kernel)  # is there from the start, as 0

    def serve(self, host: str, port: int) -> tuple[int, Callable[[], None]]:
        """Serves in a thread of its own; returns the port (0 takes any that is free) and what ends it.

        Raises HostError when the address cannot be used.
        """
        try:
            server, thread = self._client.start_http_server(port, addr=host, registry=self.registry)
        except OSError as error:
            raise HostError(
                f"cannot serve metrics on {host}:{port}: {error.strerror or error}", "choose another [HOST:]PORT"
            ) from error

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return int(server.server_port), stop

    def kill(self, seen: WatchedKill) -> None:
        """Counts a kill."""
        labels = (*self._place(seen), self._kernel)
        self._kills.labels(*labels).inc()
        # both are there from a container's first kill on, so that a rate has a zero to begin from
        self._overlaps.labels(*labels).inc(seen.kill.overlap_estimated is True)
        self._unknown.labels(*labels).inc(seen.kill.overlap_estimated is None)

    def _place(self, seen: WatchedKill) -> tuple[str, str, str]:
        place = (seen.place.container, seen.place.pod, seen.place.unit)
        if place not in self._series and len(self._series) >= _SERIES:
            return _OTHER, _OTHER, _OTHER
        self._series.add(place)
        return place

    def lost(self, records: int) -> None:
        """`records`: lost since the start."""
        if records > self._lost_before:
            self._lost.labels(self._kernel).inc(records - self._lost_before)
            self._lost_before = records
