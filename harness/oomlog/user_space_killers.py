"""Killers in user space: they free memory before the kernel has to, and leave lines of their own. Also programs that report a
kill by the kernel: a log of theirs alone shows that there was one, though not whom it killed.
"""

from __future__ import annotations

import re

from .late_pattern import late_pattern
from .line_formats import line_format
from .record import Record

KILLERS = ("systemd-oomd", "earlyoom", "nohang", "oomd", "lmkd", "lowmemorykiller", "kubelet", "talos")
REPORTED = "told"  # as the tables have it: a program reports a kill by the kernel


class UserSpaceKill(Record, frozen=True):
    """A process or a cgroup killed by a program, not by the kernel's OOM killer; or a program's report of a kill by the kernel."""

    by: str  # one of KILLERS, or TOLD
    pid: int | None  # None: a whole cgroup, or the line names none
    name: str | None  # of the process, or path of the cgroup
    text: str


_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    # src/oom/oomd-manager.c
    ("systemd-oomd", late_pattern(r"Killed (?P<name>/\S+|\S+\.(?:slice|scope|service)) due to memory (?:pressure|used) .*")),
    ("systemd-oomd", late_pattern(r"Marked (?P<name>/\S+|\S+\.(?:slice|scope|service)) for killing due to memory (?:pressure|used) .*")),
    ("systemd-oomd", late_pattern(r"(?P<name>\S+\.(?:slice|scope|service)): systemd-oomd killed (?:some|\d+) process.*")),
    # earlyoom's kill.c, 1.0 to 1.8
    ("earlyoom", late_pattern(r"sending SIG(?:TERM|KILL) to process (?P<pid>\d{1,18}) (?:uid \d+ )?\"(?P<name>.*?)\":? .*")),
    ("earlyoom", late_pattern(r"[Kk]illing process:? (?P<pid>\d{1,18}) \(?\"?(?P<name>.*?)\"?\)?(?:[, ].*)?")),
    ("nohang", late_pattern(r"Sending SIG(?:TERM|KILL) to (?P<name>.+) \((?:pid |PID: )?(?P<pid>\d{1,18})\).*")),
    ("nohang", late_pattern(r"(?:\[ OK \] )?Sending SIG(?:TERM|KILL) to the victim.*")),
    ("oomd", late_pattern(r"(?:.* )?\[oomd\] .*|Trying to kill (?P<name>/\S+).*")),
    # Android: lmkd.cpp in user space, drivers/staging/android/lowmemorykiller.c in kernels to 4.11
    ("lmkd", late_pattern(r"Kill(?:ing)? '(?P<name>.*?)' \((?P<pid>\d{1,18})\), uid \d+, (?:oom_)?(?:score_)?adj .*")),
    ("lowmemorykiller", late_pattern(r"(?:lowmemorykiller: )?Killing '(?P<name>.*?)' \((?P<pid>\d{1,18})\)(?: \(tgid \d+\))?, adj -?\d+.*", re.DOTALL)),
    ("lowmemorykiller", late_pattern(r"(?:lowmemorykiller: )?send sigkill to (?P<pid>\d{1,18}) \((?P<name>.*)\), (?:score_)?adj -?\d+.*")),
    ("kubelet", late_pattern(r".*[Ee]viction manager: .*(?:evicted|pods? .* evicted|must evict).*")),
    ("talos", late_pattern(r"(?:.*\[talos\] )?Sending SIGKILL to cgroup \{.*\"cgroup\": \"(?P<name>[^\"]+)\".*")),
    (REPORTED, late_pattern(r"(?P<name>\S+\.\w+): (?:A process of this unit has been killed by the OOM killer|The kernel OOM killer killed some processes in this unit)\..*")),
    (REPORTED, late_pattern(r"(?P<name>\S+\.\w+): .*[Ff]ailed with result 'oom-kill'\.?")),
    (REPORTED, late_pattern(r".*System OOM encountered(?:, victim process: (?P<name>.*), pid: (?P<pid>\d{1,18}))?\b.*")),
    (REPORTED, late_pattern(r"(?:.* )?container oom (?P<name>[0-9a-f]{12,64}) \(.*")),
    (REPORTED, late_pattern(r".*\bTaskOOM event .*")),
    (REPORTED, late_pattern(r"(?:.*[\s:\"'=])?OOMKilled[\"',;}\]\s]*(?:\(.*\))?|.*\"OOMKilled\": ?true\b.*")),
)  # fmt: skip
# logcat writes "I lowmemorykiller: "
_TAG = late_pattern(
    r"(?:\S.{0,60}[ /])?(systemd-oomd|systemd|earlyoom|nohang|oomd|lmkd|lowmemorykiller|kubelet)(?:\[\d+\]|\( *\d+\))?: +"
)


@line_format("user space", "systemd-oomd[N]: Killed CGROUP due to memory pressure for ...", "any")
@line_format("user space", 'earlyoom[N]: sending SIGTERM to process PID uid N "NAME": ...', "any")
@line_format("user space", "nohang, oomd, lmkd, Android's lowmemorykiller, evictions by the kubelet, Talos", "any")
@line_format(
    "user space",
    "UNIT: A process of this unit has been killed by the OOM killer. / System OOM encountered, victim process: NAME, pid: PID / "
    "container oom ID (...) / TaskOOM event ... / OOMKilled",
    "any",
    "systemd, the kubelet, Docker, containerd and Kubernetes report a kill by the kernel: an event, as the log of the kernel has the kill",
)
def parse_user_space_kill(text: str) -> UserSpaceKill | None:
    """A kill by a program. The text may begin with the program's tag."""
    text = text.strip()
    tag = _TAG.match(text)
    said = tag[1] if tag else None
    body = text[tag.end() :] if tag else text
    for by, pattern in _FORMS:
        if (
            by != REPORTED
            and said not in (None, by)
            and (said, by) not in (("lowmemorykiller", "lmkd"), ("systemd", "systemd-oomd"))
        ):
            continue
        if said is None and by in ("earlyoom", "nohang", "oomd", "kubelet"):
            continue  # their words are anybody's
        match = pattern.fullmatch(body)
        if match:
            groups = match.groupdict()
            pid = groups.get("pid")
            return UserSpaceKill(by, None if pid is None else int(pid), groups.get("name"), text)
    return None
