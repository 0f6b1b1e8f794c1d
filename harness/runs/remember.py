"""Adds a run on the arm `host` to the history, and compares it with the last time."""

from __future__ import annotations

import datetime
import shlex
from functools import partial
from pathlib import Path

import msgspec

from ..analysis.arm import Arm
from ..errors import HostError
from .history import Entry, history_path, read_history
from .record import RunRecord, read_run
from .summary import summarize_runs

_NAMED = 3  # scenarios


def remember(run: Path) -> list[str]:
    """Writes a run down, and says how it was the last time on this kernel, a line for each run that is named.

    Raises HostError when the history cannot be written, EvidenceError when the run cannot be read.
    """
    record, summary = read_run(run), summarize_runs([run])
    before = read_history()
    entries = [_entry(run, record, arm) for arm in summary.arms if arm.rounds]
    path = history_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as out:
            out.write(b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))
    except OSError as error:
        raise HostError(
            f"cannot write the history {path}: {error.strerror}", "OOMTRIAL_STATE names another place"
        ) from error
    return _last_time(entries, before)


def _entry(run: Path, record: RunRecord, arm: Arm) -> Entry:
    versions = {scenario.name: scenario.version for scenario in record.scenarios}
    return Entry(
        time=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        run_id=record.run_id,
        directory=str(run.resolve()),
        kernel=record.kernels[0].source,
        engine=str(record.engine),
        cpu=record.host.cpu,
        cores=record.host.cores,
        arm=arm.arm,
        probes=next(spec.probes for spec in record.arms if spec.name == arm.arm),
        scenario=arm.scenario,
        scenario_version=versions[arm.scenario],
        rounds=arm.rounds,
        completed=arm.completed_rounds,
        rounds_per_minute=None if arm.rounds_per_minute is None else round(arm.rounds_per_minute, 1),
        kills=arm.kills,
        surplus_kills=arm.surplus_kills if arm.has_oracle else None,
        rounds_with_redundant=arm.rounds_with_redundant if arm.has_oracle else None,
        rounds_with_unknown=arm.rounds_with_unknown if arm.has_oracle else None,
        rounds_with_overlap_estimated=arm.rounds_with_overlap_estimated,
        kill_to_release_us=arm.kill_to_release_us_median,
        round_ms=arm.duration_ms_per_round,
        stall_ms=arm.stall_ms_per_round,
        waited_ms=arm.waited_ms_per_round,
        foreign_kills=arm.foreign_kills,
    )


def _last_time(entries: list[Entry], before: list[Entry]) -> list[str]:
    """For each scenario the newest entry of the same kernel and machine whose run is still there, in words."""
    by_directory: dict[str, tuple[Entry, list[str]]] = {}
    for entry in entries:
        if old := next(filter(partial(_is_comparable, entry), reversed(before)), None):
            rates = ["-" if run.rounds_per_minute is None else f"{run.rounds_per_minute:.0f}" for run in (old, entry)]
            words = f"{entry.scenario} {rates[0]} rounds per minute, now {rates[1]}"
            by_directory.setdefault(old.directory, (old, []))[1].append(words)
    return [
        f"last time on this kernel ({old.time[:16].replace('T', ' ')} UTC): {'; '.join(words[:_NAMED])}"
        f"{f'; and {len(words) - _NAMED} scenarios more' if len(words) > _NAMED else ''}\n"
        f"  {shlex.join(['oomtrial', 'compare', old.directory, entries[0].directory])}"
        for old, words in by_directory.values()
    ]


def _is_comparable(entry: Entry, old: Entry) -> bool:
    same = (old.kernel, old.cpu, old.cores, old.arm, old.probes, old.scenario_version) == (
        entry.kernel, entry.cpu, entry.cores, entry.arm, entry.probes, entry.scenario_version,
    )  # fmt: skip
    return same and (Path(old.directory) / "run.json").exists()
