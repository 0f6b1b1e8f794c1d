"""The kernel configuration: tinyconfig, our fragment over it, and a check of what did not take."""

from __future__ import annotations

import re
from pathlib import Path

FRAGMENT = Path(__file__).parent / "configs" / "guest.config"
_UNSET = re.compile(r"# (CONFIG_\w+) is not set")

# Options that exist in some versions only: 6.1 has SLOB and no SLUB_TINY, MEMCG_KMEM went in 6.11, and so on.
VERSION_DEPENDENT = frozenset(
    {
        "CONFIG_EMBEDDED",
        "CONFIG_MEMCG_KMEM",
        "CONFIG_SLUB",
        "CONFIG_NET_CORE",
        "CONFIG_RANDOM_TRUST_CPU",
    }
)


def parse_config(text: str) -> dict[str, str]:
    """Option names to values; an option that is set to nothing has the value ``n``."""
    options: dict[str, str] = {}
    for line in text.splitlines():
        if match := _UNSET.match(line):
            options[match[1]] = "n"
        elif line.startswith("CONFIG_"):
            name, _, value = line.partition("=")
            options[name] = value
    return options


def not_taken(fragment: str, config: str) -> list[str]:
    """Lines of a fragment that the resulting configuration does not have, as ``CONFIG_X=y (is n)``."""
    have = parse_config(config)
    return [
        f"{name}={want} (is {have.get(name, 'n')})"
        for name, want in parse_config(fragment).items()
        if have.get(name, "n") != want and name not in VERSION_DEPENDENT
    ]
