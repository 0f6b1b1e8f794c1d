"""The declared demand of a scenario against each of its limits: the calibration, without a kernel."""

from __future__ import annotations

from dataclasses import dataclass

from .scenario import Limit, Scenario


@dataclass(frozen=True)
class DemandCheck:
    """One limit. Sizes are in bytes; demands include overheads and what dead processes leave behind."""

    limit: Limit
    capacity: int  # swap included
    hogs: int  # under this limit
    demand: int  # of all of them
    kills_needed: int  # the largest first, until the rest fits
    survivors: int  # demand of the rest
    reserve: (
        int  # what the survivors must leave free; 0 where memory outlives its process, which a run does not calibrate
    )

    @property
    def is_reached(self) -> bool:
        """Whether any kill is needed at this limit."""
        return self.kills_needed > 0

    @property
    def left(self) -> int:
        """Room that the survivors leave."""
        return self.capacity - self.survivors

    @property
    def is_too_tight(self) -> bool:
        """Whether the calibration on a kernel would refuse the scenario even if the declared overheads are exact."""
        return self.is_reached and self.left < self.reserve


def check_demand(scenario: Scenario) -> list[DemandCheck]:
    """One check per limit; none for a scenario without a declared demand."""
    if not scenario.has_oracle:
        return []
    return [_check(scenario, limit) for limit in scenario.limits]


def _check(scenario: Scenario, limit: Limit) -> DemandCheck:
    hogs = [hog for hog in scenario.hogs if limit.name in hog.containers]
    capacity = limit.bytes + scenario.swap_bytes
    demand = scenario.base_overhead_bytes + sum(hog.demand_bytes for hog in hogs)
    killed = [scenario.hogs[number] for number in scenario.kills_needed([limit])]
    left = demand - sum(hog.demand_bytes - hog.outlives_bytes for hog in killed)
    reserve = 0 if any(hog.outlives_bytes for hog in scenario.hogs) else scenario.reserve_bytes
    return DemandCheck(limit, capacity, len(hogs), demand, len(killed), left, reserve)
