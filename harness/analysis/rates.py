"""Rates and comparisons of rates, exact where scipy and statsmodels have it exact."""

from __future__ import annotations

from scipy.stats import binomtest, fisher_exact

CONFIDENCE = 0.95
# With fewer boots an arm a clustered interval is no better than a guess; the exact one ignores the correlation within
# a boot, and the summary says so.
MIN_BOOTS_FOR_CLUSTERS = 8


def exact_interval(successes: int, trials: int) -> tuple[float, float] | None:
    """The Clopper-Pearson interval of a proportion, or None without trials."""
    if trials == 0:
        return None
    interval = binomtest(successes, trials).proportion_ci(CONFIDENCE, method="exact")
    return float(interval.low), float(interval.high)


def difference_interval(
    successes: int, trials: int, base_successes: int, base_trials: int
) -> tuple[float, float] | None:
    """Newcombe's hybrid score interval of a difference of proportions, or None without trials."""
    if trials == 0 or base_trials == 0:
        return None
    # Imported here: statsmodels takes a second, and most commands need no comparison.
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(
        successes, trials, base_successes, base_trials, method="newcomb", alpha=1 - CONFIDENCE
    )
    return float(low), float(high)


def exact_test(successes: int, trials: int, base_successes: int, base_trials: int) -> float:
    """Fisher's exact test, two-sided: the p-value that two proportions are one."""
    table = [[successes, trials - successes], [base_successes, base_trials - base_successes]]
    return float(fisher_exact(table).pvalue)
