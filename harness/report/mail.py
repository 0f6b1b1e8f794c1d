"""A summary as the text of a mail: 72 columns of plain ASCII without trailing blanks, ready for a patch's changelog."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..analysis.arm import Arm
from ..analysis.families import p_words
from ..analysis.summary import Summary
from ..analysis.verdict import Comparison
from ..kernels.kernel import Kernel
from ..spec.machine import Accel
from .armnames import with_short_names
from .mechanismwords import mechanism_sentence
from .tested import tested_sentences
from .visible import visible

COLUMNS = 72
_NO_BREAK = "\N{NO-BREAK SPACE}"  # to textwrap a letter like others
_GAPS = (2, 1)  # blanks between columns, best first
_DEFINITIONS = (
    "A kill is redundant if it was decided before the memory of an earlier victim was free, and what was still alive"
    " fitted under the limit anyway; fruitless if only the second holds, premature if only the first, necessary if neither;"
    " surplus if the second holds, whether or not the first does. The victim of a collateral kill is not part of the workload;"
    " the evidence does not show the class of an unknown one. Shares are of completed rounds. Failed rounds hung, panicked or"
    " were lost. The second table counts kills, and the third too where it says surplus; release: median from a kill until the"
    " victim's memory was free; round: mean duration; longest wait: of a survivor for one page, median of the rounds in which"
    " one waited; Jain's index, likewise: 1 if all survivors waited equally long, 1/n if one of n did; lost: records of log"
    " and trace; disagree: rounds in which the four witnesses of a kill do."
)
_EMULATED = "guests were emulated in software (QEMU TCG): durations differ from those on hardware"


@dataclass(frozen=True)
class MailFacts:
    """What the mail says beside the figures."""

    heading: str  # which run, by which version
    scenarios: Mapping[str, str]  # what each one does, in a sentence
    names: Mapping[str, str]  # short, by the name of the arm
    specs: Mapping[str, str]  # the kernel spec, by the name of the arm
    kernels: Mapping[str, Kernel]  # by the text of the spec
    counts_only: Sequence[str]  # arms that ran without probes
    machine: str
    commands: Sequence[Sequence[str]]  # that measure the same again, one a run


def mail_text(summary: Summary, facts: MailFacts) -> str:
    """The whole text, with a line feed at its end."""
    lines = _wrap(facts.heading)
    for scenario in dict.fromkeys(arm.scenario for arm in summary.arms):
        arms = [arm for arm in summary.arms if arm.scenario == scenario]
        comparisons = [comparison for comparison in summary.comparisons if comparison.scenario == scenario]
        lines += ["", *_wrap(f"{scenario}: {facts.scenarios[scenario]}")]
        lines += ["", *_main_table(arms, facts.names)]
        lines += ["", *_class_table(arms, facts.names)]
        lines += ["", *_other_table(arms, facts.names)]
        sentences = [f"{facts.names[arm.arm]}: {says}." for arm in arms if (says := mechanism_sentence(arm))]
        lines += [line for text in sentences for line in ["", *_wrap(text)]]
        if comparisons:
            lines += ["", *_comparison_lines(comparisons, facts.names)]
    if summary.arms:
        lines += ["", *_wrap(f"Tested: {tested_sentences(summary, facts.names, facts.specs)}")]
    lines += ["", *_wrap(_DEFINITIONS)]
    lines += ["", "Kernels:", *_kernel_lines(facts)]
    lines += ["", *_wrap(f"Machine: {facts.machine}")]
    lines += ["", "Measured with:", *(line for command in facts.commands for line in command_lines(command))]
    lines += ["", "Limits:", *_limit_lines(summary, facts)]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _plain(text: str) -> str:
    return visible(text).encode("ascii", "backslashreplace").decode()


def _wrap(text: str, indent: str = "", later: str | None = None) -> list[str]:
    joined = _plain(text).replace(" = ", _NO_BREAK.join(("", "=", ""))).replace(" %", f"{_NO_BREAK}%")
    lines = textwrap.wrap(
        joined,
        COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent if later is None else later,
        break_on_hyphens=False,
    )
    return [line.replace(_NO_BREAK, " ") for line in lines]


def command_lines(command: Sequence[str]) -> list[str]:
    """A command as lines that a shell takes; a word that is longer than a line is cut by a backslash too."""
    lines, line = [], ""
    for word, later in zip(command, [*command[1:], ""], strict=True):
        quoted = _quoted(word)
        # an option stands beside its value
        value = f" {shlex.quote(later)}" if word.startswith("--") and later and not later.startswith("-") else ""
        if line and len(line) + 1 + len(quoted[0]) + len(value) + 2 > COLUMNS:
            lines.append(f"{line} \\")
            line = ""
        line = f"{line} {quoted[0]}" if line else f"{'    ' if lines else '  '}{quoted[0]}"
        for part in quoted[1:]:  # an indent would end the word
            lines.append(f"{line}\\")
            line = part
    return [*lines, line] if line else lines


def _quoted(word: str) -> list[str]:
    """A word for a shell, in parts of less than a line each that follow each other without a blank."""
    plain, parts = _plain(word), [""]
    room = COLUMNS - 8  # indent, blank and backslash
    for character in plain:
        if len(shlex.quote(parts[-1] + character)) > room:
            parts.append("")
        parts[-1] += character
    return [shlex.quote(part) for part in parts]


def _table(heads: Sequence[tuple[str, str]], rows: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Columns as narrow as their cells; a name that leaves no room for its figures has a line of its own above them."""
    figures = [
        max(len(text) for text in (*head, *(row[place] for _, row in rows))) for place, head in enumerate(heads[1:])
    ]
    gap = next((gap for gap in _GAPS if _width(heads[0], rows, figures, gap) <= COLUMNS), _GAPS[-1])
    first = min(_width(heads[0], rows, [], 0), COLUMNS - sum(figures) - gap * len(figures))

    def line(name: str, cells: Sequence[str]) -> str:
        padded = [" " * gap + cell.rjust(width) for cell, width in zip(cells, figures, strict=True)]
        return name.ljust(first) + "".join(padded)

    lines = [line(heads[0][part], [head[part] for head in heads[1:]]) for part in (0, 1)]
    for name, cells in rows:
        if len(name) > first:
            lines += [*_wrap(name), line("", cells)]
        else:
            lines.append(line(name, cells))
    return lines


def _width(head: tuple[str, str], rows: Sequence[tuple[str, Sequence[str]]], figures: Sequence[int], gap: int) -> int:
    return max(map(len, (*head, *(name for name, _ in rows)))) + sum(figures) + gap * len(figures)


def _main_table(arms: Sequence[Arm], names: Mapping[str, str]) -> list[str]:
    heads = [
        ("", "arm"), ("rounds", "/boots"), ("redundant", "in rounds"), ("share", "%"), ("95 %", "interval"),
        ("surplus", "rounds"), ("failed", "rounds"),
    ]  # fmt: skip
    rows = []
    for arm in arms:
        told = arm.has_oracle
        hits = _up_to(arm.rounds_with_redundant, arm.rounds_with_unknown)
        row = [
            f"{arm.rounds}/{arm.boots}",
            f"{hits} of {arm.completed_rounds}" if told else "-",
            _share(arm) if told else "-",
            _interval(arm) if told else "-",
            str(arm.rounds_with_surplus) if told else "-",
            str(arm.failed_rounds),
        ]
        rows.append((names[arm.arm], row))
    return _table(heads, rows)


def _class_table(arms: Sequence[Arm], names: Mapping[str, str]) -> list[str]:
    """Kills rather than rounds; the classes add up."""
    heads = [
        ("", "arm"), ("", "kills"), ("redun-", "dant"), ("fruit-", "less"), ("prema-", "ture"), ("neces-", "sary"),
        ("colla-", "teral"), ("un-", "known"),
    ]  # fmt: skip
    rows = []
    for arm in arms:
        classes = [arm.redundant_kills, arm.fruitless_kills, arm.premature_kills, arm.necessary_kills]
        row = [
            str(arm.kills),
            *(str(count) if arm.has_oracle else "-" for count in classes),
            str(arm.collateral_kills),
            str(arm.unknown_kills),
        ]
        rows.append((names[arm.arm], row))
    return _table(heads, rows)


def _other_table(arms: Sequence[Arm], names: Mapping[str, str]) -> list[str]:
    """Surplus kills, what a round takes, and how far the evidence can be trusted."""
    heads = [
        ("", "arm"), ("surplus", "kills"), ("release", "ms"), ("round", "ms"), ("longest", "wait ms"), ("Jain's", "index"),
        ("", "lost"), ("dis-", "agree"),
    ]  # fmt: skip
    rows = []
    for arm in arms:
        latency = arm.kill_to_release_us_median
        row = [
            str(arm.surplus_kills) if arm.has_oracle else "-",
            "-" if latency is None else f"{latency / 1000:.1f}",
            "-" if arm.duration_ms_per_round is None else f"{arm.duration_ms_per_round:.0f}",
            "-" if arm.longest_wait_us_median is None else f"{arm.longest_wait_us_median / 1000:.0f}",
            "-" if arm.waits_jain_median is None else f"{arm.waits_jain_median:.2f}",
            str(arm.lost_records),
            str(arm.witness_disagreements),
        ]
        rows.append((names[arm.arm], row))
    return _table(heads, rows)


def _up_to(known: int, unknown: int) -> str:
    return f"{known}-{known + unknown}" if unknown else str(known)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _share(arm: Arm) -> str:
    """With kills of unknown class, from the share without them to the share with them."""
    if not arm.rounds_with_unknown or arm.rate is None:
        return _percent(arm.rate)
    return f"{_percent(arm.rate)}-{_percent(arm.rate_at_most)}"


def _interval(arm: Arm) -> str:
    high = arm.ci_high_at_most if arm.rounds_with_unknown else arm.ci_high
    return "-" if arm.ci_low is None or high is None else f"{_percent(arm.ci_low)}-{_percent(high)}"


def _comparison_lines(comparisons: Sequence[Comparison], names: Mapping[str, str]) -> list[str]:
    first = comparisons[0]
    many = f"; p-values corrected for {first.comparisons} comparisons by Holm's method" if first.comparisons > 1 else ""
    lines = _wrap(f"Share of rounds with a redundant kill against {names[first.baseline]} ({first.test}{many}):")
    for comparison in comparisons:
        low, high = comparison.difference_low, comparison.difference_high
        points = ""
        if comparison.difference is not None and low is not None and high is not None:
            points = f", {100 * comparison.difference:+.1f} points ({100 * comparison.confidence:.4g} %: {100 * low:+.1f} to {100 * high:+.1f})"
        p_value = "" if comparison.p_adjusted is None else p_words(comparison.p_adjusted)
        p_value = f", {p_value}" if p_value and p_value not in comparison.because else ""
        lines += _wrap(f"{names[comparison.arm]}: {comparison.verdict}{points}{p_value}", "  ", "    ")
        for text in (comparison.because, *(f"at a cost: {cost}" for cost in comparison.costs)):
            lines += _wrap(text, "    ")
    return lines


def _kernel_lines(facts: MailFacts) -> list[str]:
    """The spec of each arm, and what its kernel is made of: said once, where arms share it."""
    lines: list[str] = []
    specs: dict[str, str] = {}  # to the short name of the first arm of it
    made_of: dict[str, str] = {}
    for arm, spec in facts.specs.items():
        name = facts.names[arm]
        counts = ", counts only" if arm in facts.counts_only else ""
        if spec in specs:
            lines += _wrap(f"{name}: the same kernel as {specs[spec]}{counts}", "  ", "    ")
            continue
        specs[spec] = name
        lines += _wrap(f"{name}: {spec}{counts}", "  ", "    ")
        kernel = facts.kernels.get(spec)
        if kernel is None:
            continue
        base = [kernel.source]
        base += [f"config {kernel.config_key}"] if kernel.config_key else []
        base += [f"own config {', '.join(kernel.user_fragments)}"] if kernel.user_fragments else []
        base += [kernel.compiler] if kernel.compiler else []
        text = ", ".join(base)
        first = made_of.setdefault(text, name)
        text = text if first == name else f"source, config and compiler of {first}"
        patches = ", ".join(f"{patch} ({key})" for patch, key in kernel.patches.items())
        lines += _wrap(f"{text}; patch {patches}" if patches else text, "    ")
    return lines


def _limit_lines(summary: Summary, facts: MailFacts) -> list[str]:
    notes = list(summary.notes)
    if any(arm.accel == Accel.TCG for arm in summary.arms):
        notes.insert(0, _EMULATED)
    methods = dict.fromkeys(arm.ci_method.partition(";")[0] for arm in summary.arms if arm.ci_low is not None)
    notes += [f"intervals by {method}" for method in methods]
    notes += [f"witnesses disagree: {text}" for text in summary.disagreements]
    if not summary.state.startswith("complete"):
        notes.insert(0, f"the run is not complete: {summary.state}")
    return [line for note in notes for line in _wrap(with_short_names(note, facts.names), "- ", "  ")]
