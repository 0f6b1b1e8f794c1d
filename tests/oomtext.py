"""Text as the kernel prints it, to build logs of. Each piece is a list of lines without prefix."""

from dataclasses import dataclass

TAIL = "total-vm:{vm}kB, anon-rss:{anon}kB, file-rss:{file}kB, shmem-rss:0kB, UID:0 pgtables:60kB oom_score_adj:0"


def killed(pid, comm="hog", message="Memory cgroup out of memory", vm=2000, anon=1000, file=8):
    return f"{message}: Killed process {pid} ({comm}) " + TAIL.format(vm=vm, anon=anon, file=file)


def reaped(pid, comm="hog", anon=0):
    return f"oom_reaper: reaped process {pid} ({comm}), now anon-rss:{anon}kB, file-rss:0kB, shmem-rss:0kB"


def header(comm="hog", order=0):
    return f"{comm} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order={order}, oom_score_adj=0"


def summary(pid, memcg="/m", task_memcg=None, comm="hog"):
    domain = f"oom_memcg={memcg}" if memcg else "global_oom"
    return (
        f"oom-kill:constraint={'CONSTRAINT_MEMCG' if memcg else 'CONSTRAINT_NONE'},nodemask=(null),cpuset=/,"
        f"mems_allowed=0,{domain},task_memcg={task_memcg or memcg or '/x'},task={comm},pid={pid},uid=0"
    )


@dataclass
class Task:
    pid: int
    comm: str = "hog"
    vm: int = 500  # pages
    rss: int = 250

    def row(self):
        return f"[{self.pid:7d}]     0 {self.pid:5d} {self.vm:8d} {self.rss:8d} {self.rss:8d}        0         0    61440        0             0 {self.comm}"


def _memcg(memcg, limit, margin, anon_kb):
    return [
        f"memory: usage {limit - margin}kB, limit {limit}kB, failcnt 31",
        "swap: usage 0kB, limit 0kB, failcnt 0",
        f"Memory cgroup stats for {memcg}:",
        f"anon {anon_kb * 1024}",
        "file 0",
    ]


def _machine():
    return [
        "Mem-Info:",
        "active_anon:0 inactive_anon:100 isolated_anon:0",
        "Node 0 DMA free:1000kB boost:0kB min:44kB low:56kB high:68kB reserved_highatomic:0KB present:15992kB managed:15360kB",
        "262012 pages RAM",
    ]


def report(
    pid, memcg="/m", margin=0, tasks=(), anon_kb=None, comm="hog", invoker="hog", limit=30720, order=0, task_memcg=None
):
    """A report in the words of 6.8 and later, without its kill; a global one without `memcg`."""
    tasks = tasks or (Task(pid, comm),)
    anon_kb = sum(task.rss for task in tasks) * 4 if anon_kb is None else anon_kb
    return [
        header(invoker, order),
        f"CPU: 0 UID: 0 PID: {pid} Comm: {invoker} Not tainted 6.12.0 #1",
        "Call Trace:",
        " dump_stack_lvl+0x64/0x80",
        *(_memcg(memcg, limit, margin, anon_kb) if memcg else _machine()),
        "Tasks state (memory values in pages):",
        "[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name",
        *(task.row() for task in tasks),
        summary(pid, memcg, task_memcg, comm),
    ]


def stamped(lines, start=100.0, step=0.000050, caller=""):
    """Lines with a kernel's stamps."""
    tag = f"[{caller:>6}]" if caller else ""
    return [f"[{start + index * step:12.6f}]{tag} {line}" for index, line in enumerate(lines)]
