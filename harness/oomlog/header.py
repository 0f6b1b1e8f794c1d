"""The head of a report: who asked for memory, on which kernel."""

from __future__ import annotations

import re

from .late_pattern import late_pattern
from .line_formats import line_format
from .record import Record


class Header(Record, frozen=True):
    """The first line of a report."""

    comm: str | None  # None: 2.6.11 to 2.6.18 do not print it, or the line is cut
    gfp_mask: int | None
    gfp_flags: str | None  # names, from 4.6
    order: int | None  # of the failed allocation; -1 is SysRq-F
    nodemask: str | None  # 4.9 to 4.20 in the header, later in the summary
    oom_score_adj: int | None
    is_complete: bool

    @property
    def is_whole(self) -> bool:
        """Whether every field that its kernel prints is there."""
        return self.is_complete


# Process names may hold anything, this line's own words included: the last of them counts.
_INVOKED = late_pattern(
    r"(?:(?P<comm>.*) invoked )?oom-killer: gfp_mask=(?P<mask>0x[0-9a-f]{1,15})(?:\((?P<flags>[^)]*)\))?"
    r"(?:, nodemask=(?P<nodemask>\([^)]*\)|[\d,-]*))?"
    r"(?:, {1,2}order=(?P<order>-?\d{1,18})(?:, (?:oomkilladj|oom_adj)=-?\d{1,18})?(?:, oom_score_adj=(?P<adj>-?\d{1,18}))?)?",
    re.DOTALL,
)
_BEGUN = late_pattern(r"(?:(?P<comm>.*) invoked )?oom-killer: (?:gfp_mask=|$)", re.DOTALL)
# Kernels of others print other fields, or retyped ones.
_OTHER_FIELDS = late_pattern(r"(?P<comm>.*) invoked oom-killer:? (?=\w+ ?[=:])(?P<fields>.*)", re.DOTALL)
_GFP = late_pattern(r"gfp(?:_mask|_flags)? ?[=:] ?(0x[0-9a-f]{1,15})(?:\(([^)]*)\))?")
_ORDER = late_pattern(r"\border ?[=:] ?(-?\d{1,18})(?=[,; ]|$)")
_ADJ = late_pattern(r"\boom_score_adj ?[=:] ?(-?\d{1,18})(?=[,; ]|$)")
_BARE = late_pattern(r"(?P<comm>.*) invoked oom-killer\.?", re.DOTALL)


@line_format(
    "header", "oom-killer: gfp_mask=0xX[, order=N]", "2.6.11 to 2.6.18", "no task name; order= was added before 2.6.18"
)
@line_format("header", "COMM invoked oom-killer: gfp_mask=0xX, order=N, oomkilladj=N", "2.6.20 to 2.6.30")
@line_format("header", "COMM invoked oom-killer: gfp_mask=0xX, order=N, oom_adj=N", "2.6.32 to 2.6.34")
@line_format(
    "header", "COMM invoked oom-killer: gfp_mask=0xX, order=N, oom_adj=N, oom_score_adj=N", "2.6.36 to 3.6; RHEL 6"
)
@line_format("header", "COMM invoked oom-killer: gfp_mask=0xX, order=N, oom_score_adj=N", "3.7 to 4.5; RHEL 7")
@line_format(
    "header",
    "COMM invoked oom-killer: gfp_mask=0xX(FLAGS), order=N, oom_score_adj=N",
    "4.6 to 4.8, 5.0 to 6.18",
    "gfp_mask=0x0() is pagefault_out_of_memory(), order=-1 is SysRq-F",
)
@line_format(
    "header",
    "COMM invoked oom-killer: gfp_mask=0xX(FLAGS), nodemask=N, order=N, oom_score_adj=N",
    "4.9 to 4.20",
    "4.12 and 4.13 print two blanks before order=",
)
def parse_header(text: str) -> Header | None:
    """The first line of a report (dump_header(), mm/oom_kill.c). A line cut after the mask is given as partial."""
    text = text.rstrip()
    match = _INVOKED.fullmatch(text)
    if match:
        order, adj, mask = match["order"], match["adj"], int(match["mask"], 16)
        # 2.6.11 to 2.6.18 print neither name nor score
        whole = (order is not None and (adj is not None or "oom" in text[match.start("order") :])) or match[
            "comm"
        ] is None
        return Header(
            match["comm"],
            mask,
            match["flags"],
            None if order is None else int(order),
            match["nodemask"],
            None if adj is None else int(adj),
            whole,
        )
    begun, other = _BEGUN.match(text), _OTHER_FIELDS.match(text)
    if other is None or (
        begun and not _ORDER.search(other["fields"])
    ):  # what stands before a cut may be half of a number
        return Header(begun["comm"], None, None, None, None, None, False) if begun else None
    gfp, order, adj = _GFP.search(other["fields"]), _ORDER.search(other["fields"]), _ADJ.search(other["fields"])
    return Header(
        other["comm"], int(gfp[1], 16) if gfp else None, gfp[2] if gfp else None, int(order[1]) if order else None, None,
        int(adj[1]) if adj else None, False,
    )  # fmt: skip


def parse_bare_head(text: str) -> Header | None:
    """A head whose fields are gone, or of a kernel that prints none."""
    match = _BARE.fullmatch(text.rstrip())
    return Header(match["comm"], None, None, None, None, None, False) if match else None


class CpuLine(Record, frozen=True):
    """Who triggered the report, and the kernel's release."""

    pid: int
    comm: str
    kernel: str | None


_CPU = late_pattern(
    r"(?:CPU: \d{1,18} )?(?:UID: \d{1,18} )?(?:PID: (\d{1,18}) Comm: |Pid: (\d{1,18}), comm: )(.*?)(?: Kdump: loaded)? "
    r"(?:Not tainted|Tainted: [A-Z -]*+) *(\d{1,18}\.\d{1,18}\S*)?(?: .*)?",
    re.DOTALL,
)


@line_format("header", "Pid: N, comm: COMM Not tainted RELEASE", "to 3.8")
@line_format("header", "CPU: N PID: N Comm: COMM Not tainted RELEASE", "3.9 to 6.10")
@line_format("header", "CPU: N UID: N PID: N Comm: COMM Not tainted RELEASE", "6.11 to 6.18; RHEL 10")
def parse_cpu_line(text: str) -> CpuLine | None:
    """The task that was running (dump_stack_print_info(), lib/dump_stack.c)."""
    match = _CPU.fullmatch(text)
    return CpuLine(int(match[1] or match[2]), match[3], match[4]) if match else None


class Cpuset(Record, frozen=True):
    """The trigger's cpuset, on a line of its own."""

    comm: str | None
    cpuset: str
    mems_allowed: str


_CPUSET = late_pattern(r"(?:(.*) )?cpuset=(.*) mems_allowed=([\d,-]*)", re.DOTALL)


@line_format("header", "COMM cpuset=NAME mems_allowed=LIST", "2.6.3x to 4.20", "part of the summary from 5.0")
def parse_cpuset(text: str) -> Cpuset | None:
    """The trigger's cpuset (cpuset_print_current_mems_allowed(), kernel/cgroup/cpuset.c)."""
    match = _CPUSET.fullmatch(text.rstrip())
    return Cpuset(match[1], match[2], match[3]) if match else None
