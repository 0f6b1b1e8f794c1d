"""The plan of a run: independent blocks, interleaved in a seeded order."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ..errors import UsageError


@dataclass(frozen=True)
class Block:
    """Rounds of one scenario on one boot of one arm."""

    index: int  # place in the order of execution
    arm: str
    scenario: str
    boot: int  # 1.. within the arm
    rounds: int


def plan_blocks(arms: list[str], scenarios: list[str], rounds: int, boots: int, seed: int) -> list[Block]:
    """`rounds` rounds an arm and scenario, spread evenly over `boots` boots.

    The n-th boots of all arms of a scenario stand together, in a random order within them: a drift of the machine's speed
    then meets every arm alike. The order of the scenarios is random too.

    Raises UsageError when an arm has fewer rounds than boots.
    """
    if boots < 1 or rounds < boots:
        raise UsageError(f"{rounds} rounds cannot be spread over {boots} boots", "ask for at least one round a boot")
    order = random.Random(seed)
    blocks: list[Block] = []
    for boot in range(1, boots + 1):
        share = rounds // boots + (1 if boot <= rounds % boots else 0)
        for scenario in order.sample(scenarios, k=len(scenarios)):
            for arm in order.sample(arms, k=len(arms)):
                blocks.append(Block(len(blocks) + 1, arm, scenario, boot, share))
    return blocks
