"""Scenarios as text."""

from __future__ import annotations

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from ..spec.scenario import Scenario
from ..units import format_size
from .lines import print_table

_LIMIT_WIDTH = 13


class ScenarioRow(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario of `oomtrial scenarios --format json`."""

    name: str
    summary: str
    limits: dict[str, int]  # bytes, by the container's name
    swap: int  # bytes
    cpus: float | None  # None: no limit
    hogs: int
    kills_needed: int | None  # None: the scenario declares no demand
    oracle: str
    expect: tuple[str, ...]
    cgroup: str
    where: str
    version: str


def scenario_row(scenario: Scenario) -> ScenarioRow:
    """A scenario as it is printed in JSON."""
    return ScenarioRow(
        name=scenario.name,
        summary=scenario.summary,
        limits={limit.name: limit.bytes for limit in scenario.limits},
        swap=scenario.swap_bytes,
        cpus=scenario.file.cpus or None,
        hogs=len(scenario.hogs),
        kills_needed=_needed(scenario),
        oracle=scenario.file.oracle,
        expect=scenario.file.expect,
        cgroup=scenario.file.cgroup,
        where=scenario.file.where,
        version=scenario.version,
    )


def _needed(scenario: Scenario) -> int | None:
    return len(scenario.kills_needed()) if scenario.has_oracle else None


def _limits(scenario: Scenario) -> str:
    return ", ".join(
        format_size(limit.bytes)
        if limit.name == "main"
        else f"{limit.name}\N{NO-BREAK SPACE}{format_size(limit.bytes)}"
        for limit in scenario.limits
    )


def print_scenarios(console: Console, scenarios: list[Scenario]) -> None:
    """One row each. Limits wrap at commas, so that a terminal of 80 columns has room for what happens."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("scenario", no_wrap=True)
    table.add_column("limit", max_width=_LIMIT_WIDTH)
    table.add_column("hogs", justify="right", no_wrap=True)
    table.add_column("kills\nneeded", justify="right", no_wrap=True)
    table.add_column("what happens", overflow="fold")
    for scenario in scenarios:
        needed = _needed(scenario)
        table.add_row(
            scenario.name,
            _limits(scenario) or "none",
            str(len(scenario.hogs)),
            "unknown" if needed is None else str(needed),
            scenario.summary,
        )
    print_table(console, table)
