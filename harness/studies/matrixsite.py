"""Writes the page of a matrix, and the pages of its nights' runs."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

from ..analysis.matrix import Matrix, Night
from ..errors import EvidenceError, UsageError
from ..progress import Reporter
from ..report.matrixpage import render_matrix
from ..runs.record import RUN_FILE
from ..runs.report import open_report
from ..runs.reportpage import write_page
from ..system.paths import write_atomically
from .matrix import read_matrix
from .nights import NIGHTS

PAGE = "index.html"
_MOST_ROUNDS = 12  # that a run's page draws
_NO_LETTERS = re.compile(r"[^A-Za-z0-9._-]")


def write_site(out: Path, progress: Reporter) -> Matrix:
    """Writes DIR/index.html and, for each night that has none, the pages of its runs. Returns what the page shows.

    Raises EvidenceError when there is no night that can be read, HostError when a page cannot be written.
    """
    matrix = read_matrix(out, progress)
    links: dict[str, dict[str, str]] = {}  # of the run's pages, by night and scenario
    wanted = [
        (night, scenario) for night in matrix.nights for scenario in night.scenarios if _has_rounds(night, scenario)
    ]
    missing = [(night, scenario) for night, scenario in wanted if not _is_current(out, night, scenario)]
    failed: dict[tuple[str, str], str] = {}
    if missing:
        with progress.task("pages of the nights", len(missing)) as task:
            for number, (night, scenario) in enumerate(missing, start=1):
                try:
                    report = open_report(_run_of(out, night), (), _MOST_ROUNDS, scenario)
                    write_page(report, _page_of(out, night, scenario))
                except (EvidenceError, UsageError) as error:
                    failed[night.run_id, scenario] = error.what
                    progress.say(f"no page of {night.run_id}, {scenario}: {error.what}")
                task.update(done=number, detail=f"{night.directory}, {scenario}")
    for night, scenario in wanted:
        if (night.run_id, scenario) not in failed:
            path = _page_of(out, night, scenario).relative_to(out)
            links.setdefault(night.run_id, {})[scenario] = quote(path.as_posix())
    write_atomically(out / PAGE, render_matrix(matrix, links).encode())
    return matrix


def _has_rounds(night: Night, scenario: str) -> bool:
    return any(cell.scenario == scenario and cell.measured is not None and cell.measured.rounds for cell in night.cells)


def _run_of(out: Path, night: Night) -> Path:
    return out / NIGHTS / night.directory


def _page_of(out: Path, night: Night, scenario: str) -> Path:
    """A file name that needs no escape; names that would be one are told apart by their place."""
    names = [_NO_LETTERS.sub("_", name) for name in night.scenarios]
    place = night.scenarios.index(scenario)
    apart = "" if names.count(names[place]) == 1 else f"-{place + 1}"
    return _run_of(out, night) / f"report-{names[place]}{apart}.html"


def _is_current(out: Path, night: Night, scenario: str) -> bool:
    """Whether the page was written after the run's record, which is written last."""
    page = _page_of(out, night, scenario)
    return page.exists() and page.stat().st_mtime >= (_run_of(out, night) / RUN_FILE).stat().st_mtime
