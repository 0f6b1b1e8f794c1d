"""The reference of the kernel log, made from the code: `python -m harness.report.logdocs > docs/oom-log-reference.md`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import fields

from ..oomlog import records, scan
from ..oomlog.line_formats import LINE_FORMATS, LineFormat
from ..tables.log import LOG_TABLES
from ..tables.schema import Table

_GROUPS = (
    "header",
    "memcg",
    "Mem-Info",
    "task table",
    "summary",
    "kill",
    "release",
    "loss",
    "end",
    "user space",
    "boot",
)


def reference() -> str:
    """The page, as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Reference of the kernel log"
    yield ""
    yield "Made from the code by `python -m harness.report.logdocs`; a test keeps it true. How to read it: [oom-log.md](oom-log.md)."
    yield ""
    yield "## Line formats"
    yield ""
    yield "| where | line | kernels | remarks |"
    yield "|---|---|---|---|"
    for entry in _ordered_formats():
        yield f"| {entry.group} | `{_cell(entry.line)}` | {_cell(entry.versions)} | {_cell(entry.note)} |"
    for table in LOG_TABLES:
        yield from table_lines(table)
    yield ""
    yield "## missing"
    yield ""
    yield "What the log is known to lack, and what was left out of the count."
    yield ""
    yield "| name | meaning |"
    yield "|---|---|"
    comments = _field_comments(records.KnownLosses)
    for field in fields(records.KnownLosses):
        yield f"| `{field.name}` | {_cell(comments.get(field.name, ''))} |"


def _ordered_formats() -> Iterator[LineFormat]:
    """By place in a report; the register has the last function first."""
    assert scan  # importing it fills the register
    parsers = list(dict.fromkeys(entry.parser for entry in LINE_FORMATS))[::-1]
    for group in _GROUPS:
        for parser in parsers:
            yield from (entry for entry in LINE_FORMATS if entry.group == group and entry.parser == parser)


def table_lines(table: Table) -> Iterator[str]:
    """A table's columns, as Markdown."""
    yield ""
    yield f"## {table.name}"
    yield ""
    yield f"A row is {table.row}."
    yield ""
    yield "| column | type | unit | meaning | null when |"
    yield "|---|---|---|---|---|"
    for c in table.columns:
        yield f"| `{c.name}` | {c.type} | {c.unit} | {_cell(c.meaning)} | {_cell(c.null)} |"


def _field_comments(record: type) -> dict[str, str]:
    comments = {}
    for line in inspect.getsource(record).splitlines():
        name, _, rest = line.strip().partition(":")
        _, _, comment = rest.partition("  # ")
        if comment:
            comments[name] = comment
    return comments


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
