"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

from ..spec.boots import WARM_UP
from ..spec.machine import ACCELERATIONS
from ..spec.project import MAX_VCPUS, MIN_MEMORY_MIB
from .values import Choice, IntRange, Mebibytes

FORMAT = click.option(
    "--format",
    "output_format",
    type=Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Output format.",
)
_FORMAT_HELP = "Output format. mail: plain text of 72 columns, for a patch mail. markdown and csv: a row for each arm."
SUMMARY_FORMAT = click.option(
    "--format",
    "output_format",
    type=Choice(["table", "json", "mail", "markdown", "csv"]),
    default="table",
    show_default=True,
    help=_FORMAT_HELP,
)
COMPARE_FORMAT = click.option(
    "--format",
    "output_format",
    type=Choice(["table", "json", "mail", "markdown", "csv", "junit", "ktap"]),
    default="table",
    show_default=True,
    help=f"{_FORMAT_HELP} junit and ktap: a test for each comparison.",
)
SEED = click.option(
    "--seed", type=int, default=1, show_default=True, help="Seed of the random order in which the arms take turns."
)
VCPUS = click.option(
    "--vcpus", type=IntRange(1, MAX_VCPUS), default=4, show_default=True, help="Virtual CPUs per guest."
)
WARM_UP_ROUNDS = click.option(
    "--warm-up",
    type=IntRange(0, 100),
    default=WARM_UP,
    show_default=True,
    metavar="N",
    help="Rounds at the start of each boot that are recorded and not counted.",
)
OWN_CONFIG = click.option(
    "--config",
    "user_fragments",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Kconfig fragment added to the guest config of source: and tree: kernels. Repeatable.",
)
MEMORY = click.option(
    "--memory",
    "memory_mib",
    type=Mebibytes(MIN_MEMORY_MIB, 1 << 20),
    default=2048,
    show_default=True,
    help="Memory per guest; a number alone is in MiB, 2G is 2048.",
)
ACCEL = click.option(
    "--accel",
    type=Choice(ACCELERATIONS),
    default="auto",
    show_default=True,
    help="How QEMU runs guests. auto: KVM if a guest boots with it, else software emulation (tcg).",
)
SNAPSHOTS = click.option(
    "--snapshots/--no-snapshots",
    default=True,
    show_default=True,
    help="Restore guests from snapshots of earlier boots where there are any.",
)
CLUSTER = click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Run guests on a Dask cluster: tls://HOST:PORT, or local:N for N workers on this machine.",
)
CLUSTER_INSECURE = click.option(
    "--cluster-insecure",
    is_flag=True,
    help="Accept a scheduler without TLS (tcp://HOST:PORT). Anyone who reaches its port can run code as you.",
)
