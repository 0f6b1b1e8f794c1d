"""From a request to a run on disk, in this process or on a cluster."""

from __future__ import annotations

import contextlib

from ..runs.record import COMPLETE
from .dask import Cluster
from .experiment import Experiment


def run_experiment(experiment: Experiment, where: str | None = None, *, insecure: bool = False) -> bool:
    """Checks, builds and measures, in this process or on a cluster. Returns whether there was anything to do: a resumed run
    that is complete is left as it is.

    Raises what the parts of Experiment and of Cluster raise.
    """
    try:
        if experiment.resumed and experiment.resumed.state == COMPLETE:
            experiment.progress.say(f"{experiment.directory} is complete: nothing is left to run")
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
    finally:
        experiment.close()
