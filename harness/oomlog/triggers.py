"""The words that lines of OOM hold, and the lines of a chunk that hold one."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from . import domain, events, header, kill, losses, meminfo, release, tasks, user_space_killers

if TYPE_CHECKING:
    import hyperscan

Parser = Callable[[str], Any]

KILL_PARSERS: tuple[Parser, ...] = (
    kill.parse_killed,
    kill.parse_chosen_victim,
    kill.parse_already_exiting,
    kill.parse_shared_mm_kill,
    events.parse_event,
)
_FROM_NUMBERS: tuple[Parser, ...] = (
    *KILL_PARSERS, header.parse_header, domain.parse_summary, release.parse_reaped, header.parse_cpu_line
)  # fmt: skip
# A word that every line of some forms holds, and the functions that read these forms.
TRIGGERS: tuple[tuple[bytes, tuple[Parser, ...]], ...] = (
    (b"ut of memory", KILL_PARSERS),
    (b"ut of Memory", KILL_PARSERS),
    (b"illed process ", KILL_PARSERS),
    (b"ill process ", KILL_PARSERS),
    (b"No available memory", KILL_PARSERS),
    (b"oom-killer:", (header.parse_header,)),  # a mailer wraps behind it: the mask is one long word
    (b" invoked oom-killer", (header.parse_header,)),
    (b"oom-kill:", (domain.parse_summary,)),
    (b"oom_reaper: ", (release.parse_reaped,)),
    (b"are going to be killed", (kill.parse_group_kill,)),
    (b"omm: ", (header.parse_cpu_line,)),
    (b"mems_allowed=", (header.parse_cpuset,)),
    (b"killed as a result of", (domain.parse_victim_memcg,)),
    (b"Memory limit reached of", (domain.parse_limit_reached,)),
    (b": usage ", (domain.parse_usage,)),
    (b"Memory cgroup stats for", (domain.parse_stats_head,)),
    (b"Memory cgroup min", (domain.parse_protection,)),
    (b"Tasks state (", ()),  # it only ends the statistics before it
    (b" total_vm ", (tasks.parse_table_head,)),
    (b" free:", (meminfo.parse_zone,)),
    (b"lowmem_reserve[]", (meminfo.parse_lowmem_reserve,)),
    (b"protections[]", (meminfo.parse_lowmem_reserve,)),
    (b"*64kB", (meminfo.parse_free_blocks,)),  # a block that every page size has
    (b"isolated_anon:", (meminfo.parse_page_counts,)),
    (b"Free swap", (meminfo.parse_swap,)),
    (b"Total swap", (meminfo.parse_swap,)),
    (b" RAM", (meminfo.parse_ram_pages,)),
    (b"callbacks suppressed", (losses.parse_rate_limited,)),
    (b"messages suppressed", (losses.parse_dropped,)),
    (b"dropped **", (losses.parse_dropped,)),
    (b"kernel messages", (losses.parse_dropped,)),
    (b"imuxsock lost", (losses.parse_dropped,)),
    (b"messages lost due to", (losses.parse_dropped,)),
    (b"has mm pinned by", (events.parse_event,)),
    (b"Kernel panic", (events.parse_event,)),
    (b"VM_FAULT_OOM", (events.parse_event,)),
    (b"Manual OOM", (events.parse_event,)),
    (b"OOM request ignored", (events.parse_event,)),
    *(
        (word, (user_space_killers.parse_user_space_kill,))
        for word in (
            b"systemd-oomd",
            b"earlyoom",
            b"lowmemorykiller",
            b"lmkd",
            b"nohang",
            b"viction manager: ",
            b"SIGKILL to cgroup",
            b"by the OOM killer",
            b"OOM killer killed",
            b"'oom-kill'",
            b"System OOM encountered",
            b"container oom ",
            b"TaskOOM event",
            b"OOMKilled",
        )
    ),
    (b"OOM killer ", (events.parse_event,)),
    (b"Purging GPU", (events.parse_event,)),
    (b"soft lockup", (events.parse_event,)),
    (b"blocked for more", (events.parse_event,)),
    (b"Linux version ", (events.parse_boot,)),
    (b"-- Boot ", (events.parse_boot,)),
    (b"-- Reboot --", (events.parse_boot,)),
    # journald gives a message that is no text as numbers, in which no word is found
    *((word, _FROM_NUMBERS) for word in (b'"MESSAGE":[', b'"MESSAGE": [', b'"MESSAGE" : [')),
)


def _read_nothing(text: str) -> None:
    del text


# In place of a parser: the line shows that the chunk is another document, which must be decoded first.
ENCODED_DOCUMENT: Parser = _read_nothing

# The same as regular expressions, where a word would be found in other lines too.
PATTERNS: tuple[tuple[bytes, tuple[Parser, ...]], ...] = (
    # of the machine, in pages: in lines of nodes and zones kB stands before these
    (rb"[0-9] dirty:", (meminfo.parse_page_counts,)),
    (rb"[0-9] shmem:", (meminfo.parse_page_counts,)),
    (rb"-(?:E|e)ncoding: ?(?:base64|BASE64|Base64)", (ENCODED_DOCUMENT,)),  # mail
    (rb"\x1b\[m\x1b\[K", (ENCODED_DOCUMENT,)),  # grep --color: it colours parts of words
)
# Parts of a report; of their prefix nothing counts but who printed them.
PART_PARSERS = frozenset(
    (header.parse_cpu_line, header.parse_cpuset, domain.parse_victim_memcg, domain.parse_usage, domain.parse_stats_head,
     domain.parse_summary, domain.parse_protection, tasks.parse_table_head, meminfo.parse_zone, meminfo.parse_lowmem_reserve,
     meminfo.parse_free_blocks, meminfo.parse_page_counts, meminfo.parse_swap, meminfo.parse_ram_pages)
)  # fmt: skip
# Those whose line begins with a word of the kernel's that no prefix begins with, so that a match tells that there is none.
BARE_PART_PARSERS = PART_PARSERS - {header.parse_cpuset, domain.parse_summary}
_PARSERS_OF = tuple(parsers for _, parsers in (*TRIGGERS, *PATTERNS))


@cache
def _database() -> hyperscan.Database:
    import hyperscan  # the compiled reader does without

    database = hyperscan.Database()
    words = [*(re.escape(word) for word, _ in TRIGGERS), *(pattern for pattern, _ in PATTERNS)]
    database.compile(expressions=words, ids=list(range(len(words))), elements=len(words), flags=[0] * len(words))
    return database


class TriggerHit(msgspec.Struct, frozen=True, gc=False):
    """A line that holds words of forms."""

    start: int
    end: int  # of its text, the newline left out
    parsers: tuple[Parser, ...]


def parsers_of(data: bytes, start: int, end: int, words: tuple[int, ...] | None) -> tuple[Parser, ...]:
    """The parsers of a line by the numbers of its words, in the order of their ends; None where they are to be found anew."""
    if words is None:
        line = data[start:end]
        return find_triggers(line, len(line) + 1)[0].parsers
    return _parsers_of(words)


@lru_cache(1024)
def _parsers_of(words: tuple[int, ...]) -> tuple[Parser, ...]:
    parsers = _PARSERS_OF[words[0]]
    for word in words[1:]:
        if (more := _PARSERS_OF[word]) is not parsers:
            parsers = _merged(parsers, more)
    return parsers


def find_triggers(data: bytes, end: int) -> list[TriggerHit]:
    """The lines of `data` that hold a word and begin before `end`, in order."""
    matches: list[tuple[int, int]] = []
    take = matches.append
    _database().scan(data, match_event_handler=lambda word, _start, to, _flags, _context: take((to, word)))
    hits: list[TriggerHit] = []
    start, line_end, parsers = 0, -1, _PARSERS_OF[0]
    for to, word in matches:
        if to <= line_end:
            if (more := _PARSERS_OF[word]) is not parsers:
                parsers = _merged(parsers, more)
            continue
        if line_end >= 0:
            hits.append(TriggerHit(start, line_end, parsers))
        start = data.rfind(b"\n", 0, to) + 1
        if start >= end:
            return hits
        line_end = data.find(b"\n", to)
        if line_end < 0:
            line_end = len(data)
        parsers = _PARSERS_OF[word]
    if line_end >= 0:
        hits.append(TriggerHit(start, line_end, parsers))
    return hits


@lru_cache(1024)
def _merged(parsers: tuple[Parser, ...], more: tuple[Parser, ...]) -> tuple[Parser, ...]:
    return (*parsers, *(parser for parser in more if parser not in parsers))
