"""A kill in words, for whoever reads a log."""

from __future__ import annotations

import re

from ..oomlog.records import Kill
from .visible import visible

_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")

# Whether an overlap is estimated, and the style of rich that shows it.
VERDICTS = {True: ("yes", "bold red"), False: ("no", "green"), None: ("unknown", "yellow")}


def domain_of(kill: Kill) -> str:
    """The OOM domain, container IDs shortened; with a question mark where it is inferred."""
    if kill.domain is None:
        return "memcg, unknown" if kill.is_global is False else "unknown"
    name = _CONTAINER_ID.sub(lambda match: match[0][:12], visible(kill.domain))
    return name if kill.domain_source == "known" else f"{name}?"


def victim_of(kill: Kill) -> str:
    """Pid and name of the victim."""
    return f"{kill.killed.pid} {visible(kill.killed.comm or '(cut)')}" + (" (group)" if kill.group else "")


def mib_of(kill: Kill) -> str:
    """What the victim held, in MiB; empty where the line of the kill is cut before that."""
    killed = kill.killed
    sizes_kb = [size for size in (killed.anon_rss_kb, killed.file_rss_kb, killed.shmem_rss_kb) if size is not None]
    return f"{sum(sizes_kb) / 1024:.1f}" if sizes_kb else ""
