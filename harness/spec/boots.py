"""How rounds are spread over boots.

Rounds of one boot are alike, so many short boots tell more than few long ones; a boot costs its start and a warm-up round.
"""

from __future__ import annotations

import math

# With fewer boots per arm the likeness of their rounds cannot be estimated: DEFAULT_ICC stands in for it.
MIN_BOOTS = 8
# Correlation of two rounds of one boot: 0.012 over results/comparison-8-boots, 95 % 0.000 to 0.029.
DEFAULT_ICC = 0.03
LEAST, MOST = 4, 25  # rounds per boot that the rule gives
# Rounds per boot with --until-decided, at most: an interim analysis follows each boot. In simulations, 5 to 8 take the same time on
# average, where a restored guest takes 0.9 s to its first round and a round 0.3 to 0.4 s; half of the runs end sooner with 6.
INTERIM_ROUNDS = 6
MOST_INTERIM_ROUNDS = 8  # where boots are cold, which take many times that; with more a warning is given
WARM_UP = 1  # rounds at the start of a boot that are recorded and not counted


def rounds_per_boot(start_s: float, round_s: float) -> int:
    """Rounds per boot that tell most in a given time, where a boot takes `start_s` before its first counted round, and a
    round `round_s`: sqrt(start / round * (1 - icc) / icc), the optimum of a sample in clusters, within LEAST and MOST."""
    return min(MOST, max(LEAST, round(math.sqrt(start_s / round_s * (1 - DEFAULT_ICC) / DEFAULT_ICC))))


def default_boots(rounds: int, *, restored: bool, until_decided: bool = False) -> int:
    """Boots per arm for so many rounds, where nobody asks for a number: as the rule has it, and MIN_BOOTS at least.

    The times were measured under software emulation on two cores: a guest goes on from its snapshot in 1.1 s, boots in
    9.5 s, and a round takes 0.3 s.
    """
    per_boot = rounds_per_boot((1.1 if restored else 9.5) + WARM_UP * 0.3, 0.3)
    if until_decided:
        per_boot = min(per_boot, INTERIM_ROUNDS if restored else MOST_INTERIM_ROUNDS)
    return min(rounds, max(MIN_BOOTS, math.ceil(rounds / per_boot)))
