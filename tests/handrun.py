"""A small run that is written by hand: what happened in it is known, and its names are hostile."""

import json

from oomtext import Task, killed, report

from harness.collectors.files import EvidenceWriter, TrialRecord, write_trial
from harness.kernels.kernel import Kernel
from harness.runs.record import HostRecord, PlannedBlock, RunRecord, ScenarioRecord, write_run
from harness.runs.tables import rebuild_tables

STOCK, EVIL_ARM = "image:/stock", "image:/<script>alert(1)</script>\x1b[31m"
SCENARIO = """
summary = "32 MB under 30: one kill is enough"
memory_max = "30M"
hogs = [{ name = "<script>", count = 1, size = "20M" }, { name = "$\\\\frac{[b]$", count = 4, size = "3M", phase = 1 }]
"""
BIG, SMALL, DECIDER, OTHER, LAST = 100, 101, 102, 103, 104
TOKEN = "abc"


class Lines:
    """Evidence line by line, each on its channel; times are ms since the boot."""

    def __init__(self):
        self.collector, self.supervisor, self._sequence = [], [], 0

    def kmsg(self, *texts, kernel=True):
        for text in texts:
            self._sequence += 1
            self.collector.append(f"K {6 if kernel else 12},{self._sequence},{self._sequence},-,caller=T1;{text}")

    def trace(self, time_ms, name, fields, pid, comm="x"):
        self.collector.append(f"T {comm:>16}-{pid}     ({pid:>7}) [000] .....   {time_ms / 1000:.6f}: {name}: {fields}")

    def entry(self, time_ms, pid):
        self.trace(time_ms, "oom_entry", "(out_of_memory+0x0/0x270) memcg=0xff11 gfp_mask=0xcc0 order=0", pid)

    def mark(self, time_ms, pid, victim):
        self.trace(time_ms, "mark_victim", f"pid={victim} comm=x total-vm=1kB", pid)

    def choice(self, time_ms, pid):
        self.trace(time_ms, "scan_end", "(select_bad_process+0x4d/0x60 <- mem_cgroup_scan_tasks)", pid)

    def back(self, time_ms, pid):
        self.trace(time_ms, "oom_return", "(mem_cgroup_out_of_memory+0x9b/0xb0 <- out_of_memory)", pid)

    def release(self, time_ms, pid):
        self.trace(time_ms, "mm_release", "(mmput+0x3b/0xf0 <- exit_mmap)", pid)

    def marker(self, number, what, time_ms):
        self.kmsg(f"oomtrial: {TOKEN} round {number} {what}", kernel=False)
        self.trace(time_ms, "tracing_mark_write", f"oomtrial: {TOKEN} round {number} {what}", 9)

    def own(self, **event):
        self.collector.append("C " + json.dumps(event))

    def say(self, event, **fields):
        self.supervisor.append(json.dumps({"event": event, **fields}))

    def hog(self, number, hog, name, dead_ms, cleanup, full_ms=10_050):
        self.say(
            "hog", round=number, hog=hog, name=name, demand_bytes=1, touched_bytes=20 << 20, full_ns=full_ms * 1_000_000,
            dead=True, dead_ns=dead_ms * 1_000_000, signal=9, exit=-1, cleanup=cleanup,
        )  # fmt: skip


def begin(lines, number, start_ms):
    lines.own(event="begin", round=number)
    for hog in range(5):
        lines.own(event="hog", hog=hog, pid=BIG + hog)
    lines.own(event="armed", round=number)
    lines.collector.append(f"M {number} before memory.events oom_kill 0")
    lines.collector.append(f"M {number} before memory.current 3000000")
    lines.marker(number, "start", start_ms)
    lines.say("round_start", round=number, time_ns=start_ms * 1_000_000, hogs=5)


def two_redundant_kills(lines):
    """BIG is killed; before its memory is back SMALL is decided on, and chosen after that; before SMALL's is back OTHER is
    decided on and chosen. memory.events has one more."""
    begin(lines, 1, 10_000)
    lines.entry(10_100, DECIDER)
    lines.choice(10_110, DECIDER)
    lines.kmsg(*report(BIG, margin=0, tasks=[Task(BIG, rss=5120), Task(SMALL, rss=10)], limit=30720))
    lines.choice(10_140, DECIDER)  # the report's task table
    lines.mark(10_150, DECIDER, BIG)
    lines.back(10_155, DECIDER)
    lines.kmsg(killed(BIG, "<script>.0"))
    lines.entry(10_160, OTHER)
    lines.entry(10_170, LAST)
    lines.release(10_180, BIG)
    lines.trace(10_181, "sched_process_exit", f"comm=x pid={BIG} prio=120", BIG)
    lines.choice(10_190, LAST)
    lines.mark(10_200, LAST, SMALL)
    lines.back(10_210, LAST)
    lines.kmsg(killed(SMALL, "x"))
    lines.entry(10_220, LAST)
    lines.choice(10_225, LAST)
    lines.mark(10_230, LAST, OTHER)
    lines.kmsg(killed(OTHER, "x"))
    lines.release(10_250, SMALL)
    lines.release(10_260, OTHER)
    lines.marker(1, "end", 10_300)
    lines.collector += ["M 1 after memory.events oom_kill 4", "M 1 after memory.current 9000000"]
    for hog, name in enumerate(("<script>.0", *(f"$\\frac{{[b]$.{number}" for number in range(4)))):
        lines.hog(1, hog, name, 10_270, cleanup=hog in (2, 4))
    lines.say("round_end", round=1, time_ns=10_290 * 1_000_000, hung=False, stuck=False, recorded=True)


def a_hang(lines):
    """A collateral victim of any name, never released; then nothing more."""
    begin(lines, 2, 11_000)
    lines.entry(11_100, DECIDER)
    lines.mark(11_120, DECIDER, 77)
    lines.kmsg(killed(77, r"\x1b]0;owned\x07"))


def write_hand_run(directory, hung_arm=EVIL_ARM):
    """A completed trial of STOCK, and one of another arm, with the name given, that ended in a hang; None leaves that out."""
    arms = [(STOCK, {})] + ([(hung_arm, {"<b>": "1"})] if hung_arm else [])
    kernels = [Kernel(spec, "k", "/k", "an image", patches, "", "gcc", []) for spec, patches in arms]
    blocks = [PlannedBlock(0, STOCK, "s", 1, 1)] + ([PlannedBlock(1, hung_arm, "s", 1, 2)] if hung_arm else [])
    write_run(
        directory,
        RunRecord(
            format=2, run_id="r<i>", state="complete", oomtrial="0", command=["oomtrial", "run", "--kernel", EVIL_ARM],
            seed=1, rounds=2, boots=1, scenarios=[ScenarioRecord("s", "v", SCENARIO)], kernels=kernels,
            images={}, rootfs="", vcpus=4, memory_mib=1, accel="tcg", accel_reason="", host=HostRecord(2, "cpu", "qemu"),
            blocks=blocks,
        ),
    )  # fmt: skip
    trials = [("001-1", STOCK, "completed"), ("002-1", hung_arm, "hung")]
    for trial_id, arm, outcome in trials[: len(arms)]:
        lines = Lines()
        lines.own(event="ready", boot_id=trial_id)
        lines.collector.append("M 0 before memory.max 31457280")
        two_redundant_kills(lines)
        if outcome == "hung":
            a_hang(lines)
        with EvidenceWriter(directory / "trials" / trial_id) as evidence:
            for line in lines.collector:
                evidence.collector_line(line.encode())
            for line in lines.supervisor:
                evidence.supervisor_line(line.encode())
        planned = 2 if outcome == "hung" else 1
        record = TrialRecord(
            trial_id=trial_id, block=1, arm=arm, scenario="s", boot=1, first_round=1, rounds=planned, token=TOKEN,
            outcome=outcome, rounds_begun=planned,
        )  # fmt: skip
        write_trial(directory / "trials" / trial_id, record)
    assert rebuild_tables(directory) == []
    return directory
