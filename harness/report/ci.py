"""A comparison for continuous integration: JUnit XML, and KTAP version 1 (the kernel's Documentation/dev-tools/ktap.rst).

A scenario is a suite, an arm with a condition is a case. What is not decided is skipped. Without conditions each arm has
one case, its verdict, which cannot fail.
"""

from __future__ import annotations

from itertools import groupby

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from ..analysis.checks import Check
from ..analysis.summary import Summary
from .visible import visible


def cases(summary: Summary, checks: list[Check]) -> list[Check]:
    """The checks, or the verdicts where nothing was to be checked."""
    if checks:
        return checks
    return [
        Check(comparison.scenario, comparison.arm, "verdict", False, f"{comparison.verdict}: {comparison.because}")
        for comparison in summary.comparisons
    ]


def _by_scenario(checks: list[Check]) -> list[tuple[str, list[Check]]]:
    ordered = sorted(checks, key=lambda check: check.scenario)
    return [(name, list(group)) for name, group in groupby(ordered, key=lambda check: check.scenario)]


def _name(check: Check) -> str:
    return visible(f"{check.arm}: {check.condition}")


def junit_xml(summary: Summary, checks: list[Check]) -> str:
    """As JUnit XML. Characters that XML cannot hold show as ``\\x1b``."""
    document = JUnitXml("oomtrial")
    for scenario, group in _by_scenario(cases(summary, checks)):
        suite = TestSuite(visible(scenario))
        suite.add_property("runs", visible(summary.run_id))
        for check in group:
            case = TestCase(_name(check), classname=f"oomtrial.{visible(scenario)}", time=0)
            because = visible(check.because)
            if check.failed:
                case.result = [Failure(because, "check")]
            elif check.failed is None:
                case.result = [Skipped(because)]
            case.system_out = because
            suite.add_testcase(case)
        document.add_testsuite(suite)
    text = document.tostring()  # type: ignore[no-untyped-call]
    return text if isinstance(text, str) else str(text, "utf-8")


def ktap(summary: Summary, checks: list[Check]) -> str:
    """As KTAP. A name holds no ``#``, which begins a directive."""
    suites = _by_scenario(cases(summary, checks))
    lines = ["KTAP version 1", f"1..{len(suites)}"]
    for number, (scenario, group) in enumerate(suites, start=1):
        lines += ["  KTAP version 1", f"  1..{len(group)}"]
        for place, check in enumerate(group, start=1):
            name, because = _name(check).replace("#", "_"), visible(check.because)
            result = "not ok" if check.failed else "ok"
            skip = f" # SKIP {because}" if check.failed is None else ""
            lines += [f"  # {name}: {because}", f"  {result} {place} {name}{skip}"]
        result = "not ok" if any(check.failed for check in group) else "ok"
        skip = " # SKIP nothing was decided" if all(check.failed is None for check in group) else ""
        lines.append(f"{result} {number} {visible(scenario).replace('#', '_')}{skip}")
    return "\n".join(lines) + "\n"
