"""What a run is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..runs.record import RunRecord
from ..spec.arm import ArmSpec
from ..spec.scenario import Scenario, load_scenario, scenario_names


@dataclass(frozen=True)
class Request:
    """What a person asks for."""

    arms: tuple[ArmSpec, ...]
    scenarios: tuple[str, ...]  # names, or paths of .toml files
    rounds: int  # an arm and scenario
    boots: int  # an arm and scenario
    seed: int
    out: Path | None = None  # of the run; RUN_ID in `runs` by default
    vcpus: int = 4
    memory_mib: int = 2048
    accel: str = "auto"
    snapshots: bool = True  # guests go on from the snapshots of earlier boots, and leave snapshots behind
    append: str = ""  # to the guest's kernel command line
    config: tuple[Path, ...] = ()  # config fragments of a person's own, for the kernels that are built
    may_harm_host: bool = False  # on the arm host, scenarios too that can hurt the machine
    until_decided: bool = False  # a look is taken after every turn of the arms; `rounds` and `boots` are the most
    runs: Path = Path("results") / "runs"  # where runs go that are given no directory
    disturbed: str = ""  # by what else ran on this machine, where that is known; such a run is pooled with nothing

    @property
    def kernels(self) -> tuple[str, ...]:
        """The kernels of the arms, each once."""
        return tuple(dict.fromkeys(arm.kernel for arm in self.arms))


def recorded_request(record: RunRecord, directory: Path) -> Request:
    """What the run in a directory was asked for."""
    return Request(
        arms=tuple(record.arms),
        scenarios=tuple(scenario.name for scenario in record.scenarios),
        rounds=record.rounds,
        boots=record.boots,
        seed=record.seed,
        out=directory,
        vcpus=record.vcpus,
        memory_mib=record.memory_mib,
        accel=record.accel,
        snapshots=record.snapshots,
        append=record.append,
        may_harm_host=record.may_harm_host,
        config=tuple(Path(path) for path in record.config),
        until_decided=record.until_decided,
        disturbed=record.disturbed,
    )


def load_scenarios(names: tuple[str, ...]) -> dict[str, Scenario]:
    """Scenarios that are asked for, by name; "all" stands for every one of ours.

    Raises UsageError when one is not there, or two have one name.
    """
    chosen: dict[str, Scenario] = {}
    for name in dict.fromkeys(one for given in names for one in (scenario_names() if given == "all" else [given])):
        scenario = load_scenario(name)
        if scenario.name in chosen:
            raise UsageError(f"two scenarios are called {scenario.name}", "give their files different names")
        chosen[scenario.name] = scenario
    return chosen
