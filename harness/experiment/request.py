"""The request for a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..runs.record import RunRecord
from ..spec.arm import ArmSpec
from ..spec.machine import Accel
from ..spec.scenario import Scenario
from ..spec.scenarios import load_scenario, scenario_names


@dataclass(frozen=True)
class Request:
    """The parameters of a run, as the user gives them."""

    arms: tuple[ArmSpec, ...]
    scenarios: tuple[str, ...]  # names, or paths of .toml files
    rounds: int  # per arm and scenario
    boots: int  # per arm and scenario
    seed: int
    out: Path | None = None  # of the run; RUN_ID in `runs` by default
    vcpus: int = 4
    memory_mib: int = 2048
    accel: Accel = Accel.AUTO
    snapshots: bool = True  # restore guests from snapshots of earlier boots, and save new ones
    append: str = ""  # to the guest's kernel command line
    config: tuple[Path, ...] = ()  # the user's config fragments, for the kernels that are built
    may_harm_host: bool = False  # on the arm host, scenarios too that can hurt the machine
    until_decided: bool = False  # a look is taken after every turn of the arms; `rounds` and `boots` are the most
    warm_up: int = 0  # rounds at the start of each boot that are recorded and not counted
    amplified: bool = False  # every arm has the patch AMPLIFIER; such a run is pooled with nothing
    runs: Path = Path("results") / "runs"  # where runs go that are given no directory
    disturbed: str = ""  # by what else ran on this machine, where that is known; such a run is pooled with nothing
    saves_snapshots: bool = True  # False: where there are snapshots they are used, and none is saved

    @property
    def kernels(self) -> tuple[str, ...]:
        """The kernels of the arms, each once."""
        return tuple(dict.fromkeys(arm.kernel for arm in self.arms))


def recorded_request(record: RunRecord, directory: Path) -> Request:
    """The request of the run in a directory."""
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
        warm_up=record.warm_up,
        amplified=record.amplified,
    )


def load_scenarios(names: tuple[str, ...]) -> dict[str, Scenario]:
    """Scenarios that are asked for, by name; "all" stands for every built-in one.

    Raises UsageError when one is not there, or two have one name.
    """
    chosen: dict[str, Scenario] = {}
    for name in dict.fromkeys(
        scenario_name for given in names for scenario_name in (scenario_names() if given == "all" else [given])
    ):
        scenario = load_scenario(name)
        if scenario.name in chosen:
            raise UsageError(f"two scenarios are called {scenario.name}", "give their files different names")
        chosen[scenario.name] = scenario
    return chosen
