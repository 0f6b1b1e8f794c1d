"""The kill itself: never rate-limited, so it is what is counted."""

from __future__ import annotations

import re

from .late_pattern import late_pattern
from .line_formats import line_format
from .record import Record

_MESSAGE = (
    r"(?P<message>Memory cgroup out of memory|Out of [mM]emory(?: \(oom_kill_allocating_task\))?"
    r"|No available memory \(MPOL_BIND\)|No available memory in cpuset): "
)


def is_memcg(message: str) -> bool | None:
    """Whether a memcg ran out, by the message of a kill; None where there is none."""
    return message.startswith("Memory cgroup") if message else None


class KilledLine(Record, frozen=True):
    """One process killed. Sizes are the victim's own; a field is None where the kernel does not print it."""

    message: str  # empty where the message stands on the line before, to 4.20
    pid: int
    comm: str | None  # None: the line is cut within the name
    total_vm_kb: int | None
    anon_rss_kb: int | None  # 2.6.33 and later
    file_rss_kb: int | None
    shmem_rss_kb: int | None  # 4.5 and later
    uid: int | None  # 5.4 and later; RHEL 6 and 7
    pgtables_kb: int | None  # 5.4 and later
    oom_score_adj: int | None  # 5.4 and later
    is_complete: bool

    @property
    def is_whole(self) -> bool:
        """Whether no sizes stand on the next line, where a mailer put them."""
        return self.is_complete and self.total_vm_kb is not None


_RSS = r", anon-rss:(?P<anon>\d{1,18})kB(?:, file-rss:(?P<file>\d{1,18})kB(?:, shmem-rss:(?P<shmem>\d{1,18})kB)?)?"
_WHOLE = late_pattern(
    rf"(?:{_MESSAGE})?Killed process (?P<pid>\d{{1,18}})(?:, UID (?P<uid6>\d{{1,18}}),)? \((?P<comm>.*)\)(?:, UID (?P<uid7>\d{{1,18}}),)?"
    rf"(?: (?:total-vm|vsz):(?P<vm>\d{{1,18}})kB{_RSS}"
    r"(?:, UID:(?P<uid>\d{1,18}) pgtables:(?P<pgtables>\d{1,18})kB(?: oom_score_adj:(?P<adj>-?\d{1,18}))?)?)?\.?",
    re.DOTALL,
)
_LONGEST_NUMBER = 18
_SCORE = "oom_score_adj:"
_CUT = late_pattern(
    rf"{_MESSAGE}Killed process (?P<pid>\d{{1,18}})(?:, UID (?P<uid>\d{{1,18}}),)? \((?P<rest>.*)", re.DOTALL
)
_CUT_BARE = late_pattern(
    r"Killed process (?P<pid>\d{1,18})(?:, UID (?P<uid>\d{1,18}),)? \((?P<rest>[^)]*|.*\),? (?:total-vm|vsz|UID).*)",
    re.DOTALL,
)
_CUT_FIELDS = late_pattern(
    r"(?P<comm>.*)\) (?:tota?l?-?v?m?$|(?:total-vm|vsz):)(?:(?P<total_vm>\d{1,18})kB(?:, anon-rss:(?:(?P<anon_rss>\d{1,18})kB(?:, file-rss:(?:(?P<file_rss>\d{1,18})kB"
    r"(?:, shmem-rss:(?:(?P<shmem_rss>\d{1,18})kB)?)?)?)?)?)?)?",
    re.DOTALL,
)


def _int(value: str | None) -> int | None:
    return None if value is None else int(value)


@line_format(
    "kill",
    "Out of Memory: Killed process PID (COMM).",
    "2.6.11 to 2.6.18",
    "any message before it; without it to 2.6.32",
)
@line_format("kill", "Killed process PID (COMM) vsz:NkB, anon-rss:NkB, file-rss:NkB", "2.6.33 to 2.6.35")
@line_format("kill", "Killed process PID (COMM) total-vm:NkB, anon-rss:NkB, file-rss:NkB", "2.6.36 to 4.4")
@line_format("kill", "Killed process PID (COMM) total-vm:..., shmem-rss:NkB", "4.5 to 5.0; RHEL 7 from 3.10.0-514")
@line_format("kill", "Killed process PID, UID N, (COMM) total-vm:...", "RHEL 6")
@line_format("kill", "Killed process PID (COMM), UID N, total-vm:...", "late RHEL 7 and derivatives")
@line_format(
    "kill",
    "MESSAGE: Killed process PID (COMM) total-vm:..., shmem-rss:NkB",
    "5.1 to 5.3; RHEL 8.1",
    "MESSAGE: Out of memory, Out of memory (oom_kill_allocating_task), Memory cgroup out of memory",
)
@line_format(
    "kill",
    "MESSAGE: Killed process PID (COMM) total-vm:..., shmem-rss:NkB, UID:N pgtables:NkB oom_score_adj:N",
    "5.4 to 6.18; RHEL 8",
    "early 5.4 printed bytes of page tables as kB",
)
def parse_killed(text: str, may_be_cut: bool = True) -> KilledLine | None:
    """One process killed (__oom_kill_process(), mm/oom_kill.c). A cut line counts once its pid is whole."""
    text = text.strip()
    match = _WHOLE.fullmatch(text) if _may_be_whole(text) else None
    if match:
        message, pid, uid6, comm, uid7, total_vm, anon, file, shmem, uid, pgtables, adj = match.groups()
        if shmem is not None and adj is not None:  # 5.4 and later: most lines
            return KilledLine(
                message or "", int(pid), comm, int(total_vm), int(anon), int(file), int(shmem), int(uid), int(pgtables), int(adj), True
            )  # fmt: skip
        # A line that stops after UID or pgtables, or after anon-rss, is cut: no kernel ends it there.
        # Without sizes it is of 2.6.11 to 2.6.32: with a message it ends in a full stop.
        sized = total_vm is not None or not message or text.endswith(".")
        whole = sized and (uid is None or adj is not None) and (total_vm is None or file is not None)
        return KilledLine(
            message or "", int(pid), comm, _int(total_vm), _int(anon), _int(file), _int(shmem), _int(uid or uid6 or uid7),
            _int(pgtables), _int(adj), whole,
        )  # fmt: skip
    return _parse_cut(text) if may_be_cut else None


def _may_be_whole(text: str) -> bool:
    """A look at the end, as a wrapped line is tried with each way to join its pieces."""
    last = text[-1:]
    if last.isdecimal():
        return _SCORE in text[-_LONGEST_NUMBER - len(_SCORE) - 1 :]
    return last in (")", ".") or text.endswith("kB") or (last == "," and "UID" in text[-_LONGEST_NUMBER - 5 :])


def _parse_cut(text: str) -> KilledLine | None:
    if match := _CUT.fullmatch(text):
        message, pid, uid, rest = match.groups()
    elif match := _CUT_BARE.fullmatch(text):
        message, (pid, uid, rest) = "", match.groups()
    else:
        return None
    fields = _CUT_FIELDS.match(rest)
    comm, total_vm, anon, file, shmem = fields.groups() if fields else (None,) * 5
    return KilledLine(
        message, int(pid), comm, _int(total_vm), _int(anon), _int(file), _int(shmem), _int(uid), None, None, False
    )


class ChosenVictim(Record, frozen=True):
    """The process that was chosen; another may be killed: a child of it to 5.0, or its main thread."""

    message: str
    pid: int
    comm: str


_CHOSEN_VICTIM = late_pattern(
    rf"{_MESSAGE}[Kk]ill process (?P<pid>\d{{1,18}}) \((?P<comm>.*)\) (?:with )?score -?\d{{1,18}} (?:and children\.|or a child|or sacrifice child)",
    re.DOTALL,
)


@line_format("kill", "MESSAGE: Kill process PID (COMM) score N and children.", "2.6.18")
@line_format("kill", "MESSAGE: kill process PID (COMM) score N or a child", "2.6.20 to 2.6.32")
@line_format("kill", "MESSAGE: Kill process PID (COMM) score N or sacrifice child", "2.6.36 to 5.0")
def parse_chosen_victim(text: str) -> ChosenVictim | None:
    """The process that was chosen (oom_kill_process(), mm/oom_kill.c)."""
    match = _CHOSEN_VICTIM.fullmatch(text.strip())
    return ChosenVictim(match["message"], int(match["pid"]), match["comm"]) if match else None


class SharedMmKill(Record, frozen=True):
    """A process killed because it shares the victim's memory. From 4.4 the kernel does not print it."""

    pid: int
    comm: str


_SHARED_MM_KILL = late_pattern(r"Kill process (\d{1,18}) \((.*)\) sharing same memory", re.DOTALL)


@line_format(
    "kill",
    "Kill process PID (COMM) sharing same memory",
    "3.0 to 4.3",
    "counted separately: later kernels kill them without a line",
)
def parse_shared_mm_kill(text: str) -> SharedMmKill | None:
    """A process with the victim's mm (oom_kill_process(), mm/oom_kill.c)."""
    match = _SHARED_MM_KILL.fullmatch(text.strip())
    return SharedMmKill(int(match[1]), match[2]) if match else None


class GroupKill(Record, frozen=True):
    """All tasks of a memcg follow."""

    memcg: str


_GROUP = late_pattern(r"Tasks in (.+) are going to be killed due to memory\.oom\.group set", re.DOTALL)


@line_format(
    "kill",
    "Tasks in MEMCG are going to be killed due to memory.oom.group set",
    "4.19 to 6.18; RHEL 8.1",
    "the chosen victim is printed before and again after it",
)
def parse_group_kill(text: str) -> GroupKill | None:
    """The head of a group kill (mem_cgroup_print_oom_group(), mm/memcontrol.c)."""
    match = _GROUP.fullmatch(text.strip())
    return GroupKill(match[1]) if match else None


class AlreadyExitingVictim(Record, frozen=True):
    """The chosen process was gone: nobody is killed by this line."""

    message: str
    pid: int
    comm: str


_ALREADY_EXITING = late_pattern(
    rf"{_MESSAGE}OOM victim (?P<pid>\d{{1,18}}) \((?P<comm>.*)\) is already exiting\. Skip killing the task", re.DOTALL
)


@line_format("kill", "MESSAGE: OOM victim PID (COMM) is already exiting. Skip killing the task", "5.9 to 6.18")
def parse_already_exiting(text: str) -> AlreadyExitingVictim | None:
    """A victim without an mm (__oom_kill_process(), mm/oom_kill.c)."""
    match = _ALREADY_EXITING.fullmatch(text.strip())
    return AlreadyExitingVictim(match["message"], int(match["pid"]), match["comm"]) if match else None
