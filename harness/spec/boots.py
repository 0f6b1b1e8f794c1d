"""How rounds are spread over boots.

Rounds of one boot are alike, so many short boots tell more than few long ones; a boot costs its start and a warm-up round.
"""

from __future__ import annotations

import math

# With fewer boots per arm the likeness of their rounds cannot be estimated: DEFAULT_ICC stands in for it.
MIN_BOOTS = 8
# Correlation of two rounds of one boot: 0.012 over the 64 boots of stock in results/comparison, 95 % 0.000 to 0.029.
DEFAULT_ICC = 0.03
LEAST, MOST = 4, 25  # rounds per boot that the rule gives
MOST_BETWEEN_LOOKS = 8  # rounds per boot with --until-decided: a look comes after each boot


def rounds_per_boot(start_s: float, round_s: float) -> int:
    """Rounds per boot that tell most in a given time, where a boot takes `start_s` before its first counted round, and a
    round `round_s`: sqrt(start / round * (1 - icc) / icc), the optimum of a sample in clusters, within LEAST and MOST."""
    return min(MOST, max(LEAST, round(math.sqrt(start_s / round_s * (1 - DEFAULT_ICC) / DEFAULT_ICC))))
