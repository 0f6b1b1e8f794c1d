"""Whether a share of rounds lies below a limit: shown, shown not to, or not decided by so few rounds."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..spec.boots import MIN_BOOTS
from .rates import assumed_design_effect, effective_rounds, lower_bound, upper_bound
from .search import least_enough

_MOST_ROUNDS = 1_000_000


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """A share of rounds with one-sided bounds: each holds with the confidence that was asked for."""

    hits: int
    rounds: int
    effective_rounds: float
    low: float
    high: float
    boots: int

    @property
    def share(self) -> float:
        """Rounds with the effect per round; 0 without rounds."""
        return self.hits / self.rounds if self.rounds else 0.0

    @property
    def is_clustered(self) -> bool:
        """Whether the correlation of rounds within a boot is estimated; with fewer boots it is assumed."""
        return self.boots >= MIN_BOOTS

    def worth(self, rounds: int) -> float:
        """How many independent rounds so many would be worth, if they were spread over as many boots and as alike."""
        ratio = self.effective_rounds / self.rounds if self.rounds else 1.0
        if self.is_clustered or not self.boots:
            return rounds * ratio
        now, then = (assumed_design_effect(count / self.boots) for count in (self.rounds, rounds))
        return rounds * ratio * now / then


def bounds_of(hits: Sequence[int], rounds: Sequence[int], confidence: float) -> Bounds:
    """One-sided Clopper-Pearson bounds of the share of rounds with a hit, from the hits and rounds of each boot, at the
    effective number of rounds, as in rates.py."""
    boots = [(hit, count) for hit, count in zip(hits, rounds, strict=True) if count]
    total_hits, total = sum(hit for hit, _ in boots), sum(count for _, count in boots)
    effective = effective_rounds(boots, 1 - confidence) if boots else 0.0
    share = total_hits / total if total else 0.0
    return Bounds(
        hits=total_hits,
        rounds=total,
        effective_rounds=effective,
        low=lower_bound(share * effective, effective, 1 - confidence),
        high=upper_bound(share * effective, effective, 1 - confidence),
        boots=len(boots),
    )


def rounds_that_decide(bounds: Bounds, limit: float, confidence: float) -> int | None:
    """Rounds in all, in as many boots, with which a share as it was seen would be shown to lie below the limit, or
    not to; None where no number would: the share is the limit, or the boots are too few."""
    share = bounds.share

    def is_enough(rounds: int) -> bool:
        effective = bounds.worth(rounds)
        if share < limit:
            return upper_bound(share * effective, effective, 1 - confidence) < limit
        return lower_bound(share * effective, effective, 1 - confidence) > limit

    if share == limit or not 0 < limit < 1:
        return None
    return least_enough(is_enough, max(1, bounds.rounds), _MOST_ROUNDS)
