"""The memcg files before and after each round, read back."""

from __future__ import annotations

from collections.abc import Iterable

# What cgroup v1 calls the same thing.
_V1 = {"memory.oom_control oom_kill": "memory.events oom_kill", "memory.usage_in_bytes": "memory.current"}
MemcgCounters = dict[str, int]  # "memory.events oom_kill" -> 1


def read_counters(lines: Iterable[str]) -> dict[tuple[int, str], MemcgCounters]:
    """``round when file key value`` lines to one mapping for each (round, when); lines without a number are kept out.

    Pressure lines (``some avg10=... total=N``) give their total, in microseconds.
    """
    snapshots: dict[tuple[int, str], MemcgCounters] = {}
    for line in lines:
        parts = line.split()
        if len(parts) < 4 or not parts[0].isdigit():
            continue
        snapshot = snapshots.setdefault((int(parts[0]), parts[1]), {})
        key = " ".join(parts[2:-1])
        if parts[2].endswith(".pressure"):
            key, value = f"{parts[2]} {parts[3]}", parts[-1].removeprefix("total=")
        else:
            value = parts[-1]
        if value.isdigit():
            snapshot[_V1.get(key, key)] = int(value)
    return snapshots


def difference(snapshots: dict[tuple[int, str], MemcgCounters], number: int, key: str) -> int | None:
    """How much a counter grew in a round, or None when it was not read."""
    before, after = snapshots.get((number, "before"), {}).get(key), snapshots.get((number, "after"), {}).get(key)
    return None if before is None or after is None else after - before
