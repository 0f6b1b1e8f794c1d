"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

from ..spec.machine import ACCELERATIONS

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
    "user_fragments",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Config fragment over ours, for kernels that are built; repeatable.",
)
MEMORY = click.option(
    "--memory",
    "memory_mib",
    type=click.IntRange(256, 1 << 20),
    default=2048,
    show_default=True,
    help="Of a guest, in MiB.",
)
ACCEL = click.option(
    "--accel",
    type=click.Choice(ACCELERATIONS),
    default="auto",
    show_default=True,
    help="auto: KVM if a guest boots with it.",
)
SNAPSHOTS = click.option(
    "--snapshots/--no-snapshots",
    default=True,
    show_default=True,
    help="Guests go on from snapshots of earlier boots of theirs.",
)
CLUSTER = click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Run the blocks on the workers of a Dask scheduler: tls://HOST:PORT, or local:N for N on this machine.",
)
CLUSTER_INSECURE = click.option(
    "--cluster-insecure",
    is_flag=True,
    help="Take a scheduler without TLS, as tcp://HOST:PORT. Whoever reaches its port runs code as you.",
)
