"""A run, or several that are pooled, as text to paste: mail, Markdown or CSV."""

from __future__ import annotations

from pathlib import Path

from ..analysis.summary import Summary
from ..report.markdown import markdown_text
from ..report.summarycsv import csv_text
from .mail import mail_of_pool
from .pool import Pool, pool_runs
from .summary import summarize_pool

PLAIN_FORMATS = ("mail", "markdown", "csv")


def text_of_run(run: Path, style: str) -> str:
    """`style`: one of PLAIN_FORMATS. Raises what `summarize_runs` raises."""
    pool = pool_runs([run])
    return text_of_pool(pool, summarize_pool(pool), style)


def text_of_pool(pool: Pool, summary: Summary, style: str) -> str:
    """The same of runs that are read, and their summary."""
    if style == "mail":
        return mail_of_pool(pool, summary)
    specs = {arm.name: arm.kernel for record in pool.records for arm in record.arms}
    return (markdown_text if style == "markdown" else csv_text)(summary, specs)
