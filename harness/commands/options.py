"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

FORMAT = click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
MAIL_FORMAT = click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json", "mail"]),
    default="table",
    show_default=True,
    help="mail: plain text of 72 columns, for a patch mail.",
)
SEED = click.option("--seed", type=int, default=1, show_default=True, help="Of the order in which the arms take turns.")
VCPUS = click.option("--vcpus", type=click.IntRange(1, 64), default=4, show_default=True, help="Of a guest.")
OWN_CONFIG = click.option(
    "--config",
    "own_config",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Config fragment over ours, for kernels that are built; repeatable.",
)
