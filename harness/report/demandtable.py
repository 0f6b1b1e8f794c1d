"""The declared demand of a scenario as text."""

from __future__ import annotations

from collections.abc import Iterator

from ..spec.demand import DemandCheck
from ..spec.scenario import Scenario

_MIB = 1 << 20


def demand_lines(scenario: Scenario, checks: list[DemandCheck]) -> Iterator[str]:
    """A paragraph per limit, and what a calibration would say."""
    if not scenario.has_oracle:
        yield f'{scenario.name}: oracle = "none": kills are counted, and none is called redundant or surplus'
        return
    for check in checks:
        name = "memory.max" if check.limit.name == "main" else f"limit of {check.limit.name}"
        yield f"{scenario.name}: {name} {_mib(check.capacity)}, {check.hogs} processes, declared demand {_mib(check.demand)}"
        if not check.is_reached:
            yield "  never reached: all of them fit"
            continue
        kills = "1 kill is needed" if check.kills_needed == 1 else f"{check.kills_needed} kills are needed"
        yield f"  {kills} (the largest first); the survivors then use {_mib(check.survivors)} and leave {_mib(check.left)}"
        if check.is_too_tight:
            yield (
                f"  too tight: the survivors must leave {_mib(check.reserve)} (reserve); raise the limit, or make the"
                " processes smaller"
            )


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / _MIB:.1f} MiB"
