"""Rounds and kills whose truth is known: boots with a share of their own (beta), rounds of a boot drawn from it."""

import contextlib

import pytest

from harness.analysis import judgement
from harness.analysis.arm import ArmRun, summarize_arm
from harness.analysis.tally import BootCount
from harness.tables.schema import KILLS, ROUNDS

MACHINE = {"vcpus": 4, "accel": "tcg", "host_cores": 2}


def beta_binomial(generator, share, correlation, rounds, boots):
    """Hits of each boot; `correlation` is that of two rounds of one boot."""
    if correlation:
        scale = (1 - correlation) / correlation
        return generator.binomial(rounds, generator.beta(share * scale, (1 - share) * scale, boots))
    return generator.binomial(rounds, share, boots)


def boot_counts(name, hits, rounds):
    """One boot a block. Every redundant kill is a surplus one."""
    return [
        BootCount(block=str(n), boot_id=f"{name}-{n}", completed=rounds, redundant=int(hit), surplus=int(hit))
        for n, hit in enumerate(hits)
    ]


DEADLINE_S = 20.0


def tables(name, boots, scenario="s", duration_us=1000, waits_us=()):
    """Rounds and kills of an arm. Each boot is a list of rounds: the classes of a round's kills, or the outcome of one
    that did not complete. `waits_us`: the longest wait of a survivor, by boot and round; none in all others."""
    waits_us = dict(waits_us)
    rounds, kills = [], []
    for boot, found in enumerate(boots, start=1):
        for number, kinds in enumerate(found, start=1):
            where = {"arm": name, "scenario": scenario, "trial_id": f"{name}-{boot}", "boot": boot, "round": number}
            failed = isinstance(kinds, str)
            rounds.append(
                where
                | {
                    "boot_id": f"{name}-{boot}",
                    "outcome": kinds if failed else "completed",
                    "duration_us": duration_us + number % 3,
                }
                | {"longest_wait_us": waits_us.get((boot, number), 0), "stalls_lost": 0}
                | {"lost_kmsg_records": 0, "lost_trace_events": 0, "missed_probes": 0, "witnesses_checked": True}
            )
            for order, kind in enumerate(() if failed else kinds, start=1):
                surplus = None if kind in ("unknown", "collateral") else kind in ("redundant", "fruitless")
                kills.append(where | {"order": order, "kill_class": kind, "surplus": surplus})
    return ROUNDS.frame(rounds), KILLS.frame(kills)


def simulated_arm(name, boots, scenario="s", planned=None, duration_us=1000, waits_us=(), has_oracle=True):
    """An arm of these boots; `planned`: rounds a boot."""
    per_boot = {str(n): planned or len(found) for n, found in enumerate(boots, start=1)}
    run = ArmRun(
        arm=name, scenario=scenario, planned=per_boot, ended=list(per_boot), deadline_s=DEADLINE_S,
        has_oracle=has_oracle, **MACHINE,
    )  # fmt: skip
    return summarize_arm(run, *tables(name, boots, scenario, duration_us, waits_us))


def rounds_with(generator, share, kind, boots, rounds):
    """Boots whose rounds have one necessary kill, and some of them one more of this class."""
    return [
        [("necessary", kind) if hit else ("necessary",) for hit in generator.random(rounds) < share]
        for _ in range(boots)
    ]


@contextlib.contextmanager
def no_plans():
    """Verdicts that do not say how many boots more would decide: the simulation of these takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judgement, "blocks_needed", lambda *_: 99)
        patch.setattr(judgement, "boots_needed", lambda *_: 99)
        patch.setattr(judgement, "simulated_power", lambda *_: 0.5)
        yield
