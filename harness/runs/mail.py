"""The text of a mail about one run, or about several that are pooled."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..analysis.summary import Summary
from ..errors import unknown
from ..report.armnames import short_names
from ..report.mail import MailFacts, mail_text
from ..report.reproduce import without_out
from ..spec.arm import ArmSpec, Probes
from ..spec.scenarios import decode
from ..units import format_size
from .pool import Pool, pool_runs
from .record import RunRecord
from .summary import summarize_pool

_QEMU = "QEMU emulator version "


def mail_of_run(run: Path, scenario: str | None = None) -> str:
    """Everything that a reader of a mail needs; of one `scenario` where it is named.

    Raises what `summarize_runs` raises, and UsageError when there is no such scenario.
    """
    pool = pool_runs([run])
    summary = summarize_pool(pool)
    names = list(dict.fromkeys(arm.scenario for arm in summary.arms))
    if scenario is not None:
        if scenario not in names:
            raise unknown("scenario", scenario, names)
        summary = msgspec.structs.replace(
            summary,
            arms=[arm for arm in summary.arms if arm.scenario == scenario],
            comparisons=[comparison for comparison in summary.comparisons if comparison.scenario == scenario],
        )
    return mail_of_pool(pool, summary)


def mail_of_pool(pool: Pool, summary: Summary) -> str:
    """The same of runs that are read, and their summary."""
    return mail_text(summary, _facts(pool))


def _facts(pool: Pool) -> MailFacts:
    arms: dict[str, ArmSpec] = {arm.name: arm for record in pool.records for arm in record.arms}
    runs = ", ".join(f"{record.run_id} ({record.state})" for record in pool.records)
    versions = ", ".join(dict.fromkeys(record.oomtrial for record in pool.records))
    return MailFacts(
        heading=f"oomtrial {versions}, {'runs' if len(pool.records) > 1 else 'run'} {runs}",
        scenarios={
            scenario.name: _sentence(scenario.name, scenario.text)
            for record in pool.records
            for scenario in record.scenarios
        },
        names=short_names(list(arms.values())),
        specs={name: arm.kernel for name, arm in arms.items()},
        kernels={kernel.spec: kernel for record in pool.records for kernel in record.kernels},
        counts_only=[name for name, arm in arms.items() if arm.probes == Probes.NONE],
        machine=_machine(pool.records[0]),
        commands=[without_out(record.command) for record in pool.records],
    )


def _sentence(name: str, text: str) -> str:
    scenario = decode(name, text)
    limits = ", ".join(
        f"memory.max {format_size(limit.bytes)}" + ("" if limit.name == "main" else f" ({limit.name})")
        for limit in scenario.limits
    )
    summary = scenario.summary.rstrip(".")
    return f"{summary}. {limits or 'No limit'}, {len(scenario.hogs)} processes."


def _machine(record: RunRecord) -> str:
    host = record.host
    if record.engine is not None:
        return f"{host.cores} cores ({host.cpu}), {record.engine}; no guest"
    append = f"; appended to the kernel command line: {record.append}" if record.append else ""
    return (
        f"guests with {record.vcpus} vCPUs and {record.memory_mib} MiB on {host.cores} host cores ({host.cpu});"
        f" {'software emulation (TCG)' if record.accel == 'tcg' else record.accel};"
        f" QEMU {host.qemu.removeprefix(_QEMU)}{append}"
    )
