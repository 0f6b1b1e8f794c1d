"""Scenarios by name or file: the built-in ones, a user's own, and what an editor or an author needs to write one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ..errors import UsageError, unknown
from ..system.paths import content_key, data_dir
from ..units import parse_size
from .scenario import Hog, Limit, Scenario
from .scenariocheck import check_scenario
from .scenariofile import (
    MACHINE,
    MAIN,
    ON_ONE_MM,
    OUTLIVES,
    RECLAIMABLE,
    ScenarioFile,
    explain,
    refuse_numbers,
    refuse_texts,
)


def resolve(name: str, parsed: ScenarioFile, text: str) -> Scenario:
    """Checks a scenario file's numbers and converts its sizes to bytes.

    Raises UsageError, naming the number and the bound.
    """
    refuse_numbers(name, parsed)
    refuse_texts(name, parsed)
    scenario = Scenario(
        name=name,
        summary=parsed.summary,
        limits=_limits_of(parsed),
        swap_bytes=parse_size(parsed.memory_swap_max) if parsed.memory_swap_max != "0" else 0,
        hogs=_hogs_of(parsed),
        base_overhead_bytes=parse_size(parsed.base_overhead),
        reserve_bytes=parse_size(parsed.reserve),
        version=content_key(msgspec.json.encode(parsed)),
        text=text,
        file=parsed,
    )
    check_scenario(scenario)
    return scenario


def _limits_of(file: ScenarioFile) -> tuple[Limit, ...]:
    limits = []
    if file.memory_max:
        limits.append(Limit(MAIN, 0, parse_size(file.memory_max)))
    for container in file.containers:
        if container.memory_max:
            limits.append(Limit(container.name, -1, parse_size(container.memory_max)))
    for depth, parent in enumerate(file.parents):
        if parent.memory_max:
            limits.append(Limit(f"parent {depth + 1}", len(file.parents) - depth, parse_size(parent.memory_max)))
    if file.machine_max:
        limits.append(Limit(MACHINE, -2, parse_size(file.machine_max)))
    return tuple(limits)


def _hogs_of(file: ScenarioFile) -> tuple[Hog, ...]:
    overhead = parse_size(file.hog_overhead)
    above = (*(f"parent {depth + 1}" for depth in range(len(file.parents))), *([MACHINE] if file.machine_max else ()))
    hogs = []
    for group in file.hogs:
        size = 0 if group.until_enomem or group.kind in RECLAIMABLE else parse_size(group.size)
        for number in range(group.count):
            outlives = size if group.kind in OUTLIVES else 0
            hogs.append(
                Hog(
                    f"{group.name}.{number}",
                    size + overhead,
                    outlives,
                    (group.container, *above),
                    group.kind in ON_ONE_MM,
                )
            )
    return tuple(hogs)


def scenario_names() -> list[str]:
    """Names of the built-in scenarios, sorted."""
    return sorted(path.stem for path in (data_dir("workloads") / "scenarios").glob("*.toml"))


def decode(name: str, text: str) -> Scenario:
    """A scenario from the text of its file.

    Raises UsageError when it is malformed.
    """
    try:
        return resolve(name, msgspec.toml.decode(text, type=ScenarioFile), text)
    except msgspec.DecodeError as error:
        raise UsageError(f"scenario {name}: {explain(error)}") from error


def load_scenario(name: str) -> Scenario:
    """A built-in scenario by name, or a user's scenario by the path of its file.

    Raises UsageError when it does not exist or is malformed, naming the file.
    """
    is_path = name.endswith(".toml")
    path = Path(name).expanduser() if is_path else data_dir("workloads") / "scenarios" / f"{name}.toml"
    try:
        text = path.read_text()
    except FileNotFoundError:
        if is_path:
            raise UsageError(f"there is no scenario file {path}", "`oomtrial scenarios new NAME` writes one") from None
        raise unknown("scenario", name, scenario_names()) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read scenario {path}: {error}") from error
    try:
        return decode(path.stem, text)
    except UsageError as error:
        raise UsageError(error.what.replace(f"scenario {path.stem}:", f"{path}:", 1), error.hint) from error


def scenario_schema() -> dict[str, Any]:
    """The JSON schema of a scenario file, for editors."""
    schema = msgspec.json.schema(ScenarioFile)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "oomtrial scenario", **schema}


def scenario_template() -> str:
    """A scenario file to begin with: it can be run as it is, and has every key, with what it means."""
    return (data_dir("workloads") / "scenario-template.toml").read_text()
