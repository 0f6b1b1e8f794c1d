"""Runs an experiment in this process or on a cluster."""

from __future__ import annotations

import contextlib
import shlex
import sys

from ..errors import EvidenceError, UsageError
from ..runs.record import RunStatus, read_run
from .dask import INSECURE, Cluster
from .experiment import Experiment


def run_experiment(
    experiment: Experiment, where: str | None = None, *, insecure: bool = False, command: str = "run"
) -> bool:
    """Checks, builds and measures, in this process or on a cluster. Returns whether there was anything to do: a resumed run
    that is complete is left as it is. `command`: of oomtrial, which resumes such a run; a run that is cut off says how.
    A matrix is resumed by the command line that began the night.

    Raises what the parts of Experiment and of Cluster raise.
    """
    with experiment:
        try:
            if experiment.resumed and experiment.resumed.state == RunStatus.COMPLETE:
                experiment.progress.say(f"{experiment.directory} is complete: there is nothing left to run")
                return False
            request = experiment.request
            cluster = Cluster(where, request.vcpus, request.memory_mib, insecure=insecure) if where else None
            experiment.check()
            prepared = experiment.prepare()
            with contextlib.ExitStack() as stack:
                if cluster is not None:
                    stack.enter_context(cluster)
                    experiment.run_on(cluster.executor, cluster.prepare(prepared))
                experiment.measure(prepared)
            return True
        except UsageError:
            raise  # the same again would be refused again
        except BaseException:
            _say_how_to_resume(experiment, command, where, insecure=insecure)
            raise


def _say_how_to_resume(experiment: Experiment, command: str, where: str | None, *, insecure: bool) -> None:
    with contextlib.suppress(EvidenceError):  # no run was begun
        record = read_run(experiment.directory)
        if record.run_id == experiment.run_id and record.state != RunStatus.COMPLETE:
            words = ["oomtrial", command, "--resume", str(experiment.directory)]
            words += ["--cluster", where] if where else []
            words += [INSECURE] if insecure else []
            if command == "matrix":
                words = ["oomtrial", *sys.argv[1:]]
            experiment.progress.say(f"resume with: {shlex.join(words)}")
