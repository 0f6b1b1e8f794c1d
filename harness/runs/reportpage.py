"""The report of a run as one HTML page, or as single pictures. It needs the extra `report`: matplotlib and jinja2."""

from __future__ import annotations

import shlex
from datetime import datetime
from pathlib import Path, PurePath

from ..analysis.tally import counted
from ..report.armnames import STOCK, short_names
from ..report.charts import draw_charts
from ..report.drawing import to_png, to_svg
from ..report.page import Circumstances, render_page
from ..report.timelinefigure import draw_timeline
from ..report.timelinetext import heading
from ..spec.arm import Probes
from ..spec.machine import machine_words
from ..spec.scenarios import decode
from ..system.paths import write_atomically
from .record import RunRecord, ScenarioRecord
from .report import RunReport


def write_page(report: RunReport, path: Path) -> None:
    """The HTML page."""
    page = render_page(
        report.summary,
        report.tables["rounds"],
        report.tables["kills"],
        _circumstances(report.record, report.scenario),
        report.picks,
        report.timelines,
        _names(report.record),
    )
    write_atomically(path, page.encode())


def write_pictures(report: RunReport, directory: Path, kind: str) -> list[Path]:
    """Every picture of the page as a file of its own; `kind` is svg or png. Returns their paths."""
    rounds, kills = counted(report.tables["rounds"], report.tables["kills"])
    charts = draw_charts(report.summary.arms, rounds, kills, _names(report.record))
    figures = [(chart.name, f"{chart.title}. {chart.caption}", chart.figure) for chart in charts]
    for timeline in (timeline for _, timeline in report.timelines if timeline.has_times):
        name = f"round-{timeline.trial_id}-{timeline.round}"
        title = heading(timeline)
        figures.append((name, f"Timeline of {title}", draw_timeline(timeline, heading(timeline, 60))))
    written = []
    for name, description, figure in figures:
        path = directory / f"{name}.{kind}"
        write_atomically(path, to_svg(figure, name, description).encode() if kind == "svg" else to_png(figure))
        written.append(path)
    return written


def _names(record: RunRecord) -> dict[str, str]:
    """Short names of the arms; of a stock kernel, the version or the last part of the path with it."""
    kernels = {arm.name: arm.kernel for arm in record.arms}
    return {
        name: f"{STOCK} {PurePath(kernels[name].partition(':')[2]).name}".rstrip() if short == STOCK else short
        for name, short in short_names(record.arms).items()
    }


def _date(record: RunRecord) -> str:
    """The day on which the run began (UTC), by its name (`new_run_id`)."""
    try:
        return f"{datetime.strptime(record.run_id[:15], '%Y%m%d-%H%M%S'):%-d %B %Y}"
    except ValueError:
        return ""


def _measured(record: RunRecord, scenario: ScenarioRecord) -> str:
    limit = decode(scenario.name, scenario.text)
    plan = f"{record.rounds} rounds and {record.boots} boots per kernel"
    if record.until_decided:
        plan = f"at most {plan}, until each was decided"
    where = f"in guests with {machine_words(record.vcpus, record.host.cores, record.accel)}"
    if record.engine is not None:
        where = f"in containers on this kernel, {record.host.cores} cores"
    return f"{scenario.name}: {limit.summary} {plan[0].upper()}{plan[1:]}, {where}."


def _circumstances(record: RunRecord, scenario: ScenarioRecord) -> Circumstances:
    facts = [
        ("oomtrial", record.oomtrial),
        ("state", record.state),
        ("seed", str(record.seed)),
        ("planned", f"{record.rounds} rounds and {record.boots} boots per arm"),
        ("scenario", f"{scenario.name}, version {scenario.version}"),
        ("guest", f"{record.vcpus} vCPUs, {record.memory_mib} MiB, root image {record.rootfs}"),
        ("acceleration", f"{record.accel} ({record.accel_reason})"),
        ("host", f"{record.host.cores} cores, {record.host.cpu}, {record.host.qemu}"),
        ("images", ", ".join(f"{name} {key}" for name, key in record.images.items())),
        ("without mechanisms", ", ".join(arm.name for arm in record.arms if arm.probes == Probes.KILLS) or "no arm"),
        ("counts only", ", ".join(arm.name for arm in record.arms if arm.probes == Probes.NONE) or "no arm"),
    ]
    kernels = []
    for kernel in record.kernels:
        made_of = [
            ("key", kernel.key),
            ("source", kernel.source),
            ("config", kernel.config_key),
            ("compiler", kernel.compiler),
        ]
        made_of += [(f"patch {name}", key) for name, key in kernel.patches.items()]
        made_of.append(("options that had no effect", ", ".join(kernel.config_not_taken)))
        kernels.append((kernel.spec, [(name, value) for name, value in made_of if value]))
    return Circumstances(_date(record), _measured(record, scenario), facts, kernels, shlex.join(record.command))
