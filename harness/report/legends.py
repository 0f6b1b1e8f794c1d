"""What the words of the table of arms mean, for the line below it."""

from __future__ import annotations

CLASSES = (
    "surplus: everything still alive fitted under the limit; overlapping: decided before an earlier victim's memory was free;"
    " redundant: both; fruitless: only surplus; premature: only overlapping; necessary: neither; collateral: victim outside"
    " the workload; unknown: evidence missing"
)
ENDED_EARLY = "ended early: guest or container died or hung"
WAITS = (
    "longest wait: of a survivor for one page, median of the rounds in which one waited; Jain's index: 1 if all survivors waited"
    " equally long, 1/n if one of n did"
)
OVERVIEW = (
    "rounds: completed rounds with a redundant kill; surplus: kills when everything alive already fitted under the limit; redundant: those of them that were decided before an"
    " earlier victim's memory was free; release: median time from a kill until its memory was free; stall: mean time from a"
    " decision to the next page that a survivor got"
)
