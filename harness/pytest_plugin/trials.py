"""Measures scenarios for tests; what was measured once in a process is not measured again."""

from __future__ import annotations

import secrets
from pathlib import Path

from rich.console import Console

from ..errors import OomtrialError
from ..experiment.experiment import Experiment
from ..experiment.request import Request
from ..progress import Reporter
from ..spec.arm import ArmSpec
from ..spec.boots import WARM_UP
from .engines import HOST, Engines
from .result import TrialResult, open_result

DEFAULT_SCENARIO, DEFAULT_ROUNDS = "one-big-many-small", 40


class Trials:
    """The trials of one process; their runs are directories below `out`."""

    def __init__(self, engines: Engines, out: Path) -> None:
        self._engines, self._out = engines, out
        self._done: dict[tuple[object, ...], TrialResult] = {}

    def measure(self, kernel: str, scenario: str, rounds: int, boots: int, seed: int) -> TrialResult:
        """Runs rounds of a scenario on a kernel.

        Raises OomtrialError when no round could be run.
        """
        asked = (kernel, scenario, rounds, boots, seed)
        if asked not in self._done:
            self._done[asked] = self._measure(kernel, scenario, rounds, boots, seed)
        return self._done[asked]

    def _measure(self, kernel: str, scenario: str, rounds: int, boots: int, seed: int) -> TrialResult:
        machine = self._engines.machine
        name = f"{_plain(kernel)}-{_plain(Path(scenario).stem)}-{secrets.token_hex(3)}"
        request = Request(
            (ArmSpec(kernel, kernel),),
            (scenario,),
            rounds,
            boots,
            seed,
            out=self._out / name,
            vcpus=machine.vcpus,
            memory_mib=machine.memory_mib,
            accel=machine.accel,
            warm_up=0 if kernel == HOST else WARM_UP,
        )
        # Nobody measures on a machine that others keep busy: the local engine takes all of its cores.
        with self._engines.slot(everything=kernel == HOST) as slot:
            with self._engines.showing(), Reporter() as progress:
                experiment = Experiment(request, progress, slot)
                experiment.check()
                prepared = experiment.prepare()
            # From here on progress is the test's own output: it is shown when the test fails.
            progress = Reporter(Console(stderr=True, highlight=False, force_terminal=False))
            experiment.progress = progress
            try:
                experiment.measure(prepared)
            except OomtrialError:
                if not (experiment.directory / "tables").is_dir():
                    raise
        return open_result(experiment.directory)


def _plain(text: str) -> str:
    """As a part of a file's name."""
    return "".join(letter if letter.isalnum() or letter in ".-_+" else "-" for letter in text)[-60:]
