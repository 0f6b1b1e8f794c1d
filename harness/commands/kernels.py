"""`oomtrial kernels`: what there is, what a spec means, and kernels made without a run."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..progress import Reporter
from .options import OWN_CONFIG
from .output import console_on_stdout
from .sections import SectionedGroup
from .values import FloatRange

if TYPE_CHECKING:
    from ..kernels.kernel import KernelPlan

_WIDTH = 100


@click.group(cls=SectionedGroup)
def kernels() -> None:
    """List, inspect, build, check and remove kernels.

    SPEC is debian:VERSION (Debian's prebuilt kernel), source:VERSION (Debian's source, built with oomtrial's guest config),
    tree:PATH[@REF] (your kernel tree, which is only read) or image:PATH (a bzImage). @SUITE chooses a Debian suite:
    debian:7.2@sid. +PATCH adds a patch to source: and tree:, and can be repeated: a name from the patch library, or the
    path of a diff, a mail, a mailbox, or a directory with a series. In a path, write + and @ twice.
    """


@kernels.command("list")
@click.option("--offline", is_flag=True, help="Use the package lists that were read before; do not contact the mirror.")
def list_kernels(offline: bool) -> None:
    """List the kernels that are available on this machine, and those in the cache.

    Versions come from the host's apt and from the other suites of its mirror. Their lists are read once a day.
    """
    from rich import box
    from rich.table import Table

    from ..kernels.debversion import series_of
    from ..kernels.inventory import cached_kernels
    from ..kernels.library import library_names
    from ..kernels.listing import incomplete_series, listed_kernels
    from ..kernels.offers import Offers, age_text
    from ..report.lines import print_table

    console = console_on_stdout(_WIDTH)
    with Reporter() as progress:
        offers = Offers(progress, offline)
        offered = list(listed_kernels(offers))
        incomplete = incomplete_series(offers)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("newest of", "package version", "from", "as"):
        table.add_column(heading)
    for one in offered:
        table.add_row(one.spec, one.version, one.origin, one.form)
    print_table(console, table)
    versions: dict[str, list[str]] = {}
    for one in offered:
        if one.spec.startswith("source:"):
            for name in library_names(series_of(one.version)):
                versions.setdefault(name, []).append(one.spec.removeprefix("source:"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("patch of the library", no_wrap=True)
    table.add_column("for source:VERSION")
    for name in sorted(versions):
        table.add_row(name, ", ".join(versions[name]))
    print_table(console, table)
    console.print("also exact versions (source:6.1.176), tree:PATH[@REF], image:PATH", highlight=False, markup=False)
    if incomplete:
        console.print(f"prebuilt, but listed without their modules: {', '.join(incomplete)}", highlight=False)
    age_s = offers.age_s()
    read = "unknown, as no package list has been read yet" if age_s is None else f"as of {age_text(age_s)} ago"
    if offline or offers.problems or age_s is None:
        console.print(f"offers of the mirror's other suites: {read}", highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("in the cache", "made of", "key", "MiB", "last used"):
        table.add_column(heading, justify="right" if heading == "MiB" else "left", overflow="fold")
    for cached in cached_kernels():
        used = datetime.datetime.fromtimestamp(cached.used_at).strftime("%Y-%m-%d %H:%M")
        size = f"{cached.size_bytes / (1 << 20):.0f}"
        table.add_row(cached.kernel.spec, cached.kernel.source, cached.kernel.key, size, used)
    if table.row_count:
        print_table(console, table)


@kernels.command("show")
@click.argument("spec", metavar="SPEC")
@OWN_CONFIG
def show_kernel(spec: str, user_fragments: tuple[Path, ...]) -> None:
    """Show what a spec resolves to: source, patches, key, and whether it is in the cache."""
    from ..kernels.build import BuildPlan
    from ..kernels.kernel import kernel_directory, ready_kernel
    from ..kernels.plan import plan_kernel
    from ..spec.kernel import parse_kernel_spec
    from ..system.paths import content_key

    with Reporter() as progress:
        plan = plan_kernel(parse_kernel_spec(spec), progress, user_fragments)
    click.echo(f"spec:      {plan.spec.text}\nsource:    {plan.source}\nkey:       {plan.key}")
    if isinstance(plan, BuildPlan):
        click.echo(f"identity:  {plan.base.identity}\ntree:      {plan.base.tree}\ncompiler:  {plan.compiler}")
        click.echo(f"fragment:  {content_key(plan.fragment)}")
        for patch in plan.patches:
            click.echo(f"patch:     {patch.name} ({content_key(patch.content)}): {', '.join(patch.targets())}")
    kernel = ready_kernel(plan)
    click.echo(f"kernel:    {kernel.image if kernel else f'not there yet; it will be in {kernel_directory(plan)}'}")
    if kernel:
        for name, value in (("initramfs", kernel.initrd), ("config", kernel.config_key)):
            if value:
                click.echo(f"{f'{name}:':<10} {value}")
        for line in kernel.config_not_taken:
            click.echo(f"had no effect: {line}")


def _tidy(progress: Reporter) -> None:
    from ..maintenance.tidy import tidy

    for removed in tidy():
        progress.say(f"removed {removed.what}: {removed.why}")


@kernels.command("build")
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
@OWN_CONFIG
def build_kernels(specs: tuple[str, ...], user_fragments: tuple[Path, ...]) -> None:
    """Build kernels that are not in the cache, and print their paths."""
    from ..kernels.kernel import make_kernel
    from ..kernels.plan import plan_kernels
    from ..spec.kernel import parse_kernel_spec

    with Reporter() as progress:
        _tidy(progress)
        plans = plan_kernels([parse_kernel_spec(spec) for spec in specs], progress, user_fragments)
        made = [make_kernel(plan, progress) for plan in plans]
    for kernel in made:
        click.echo(f"{kernel.spec} {kernel.image}")


@kernels.command("check")
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
@click.option("--library", is_flag=True, help="Try every patch of the library on each SPEC.")
@OWN_CONFIG
def check_kernels(specs: tuple[str, ...], library: bool, user_fragments: tuple[Path, ...]) -> None:
    """Check that patches apply and that the config has what a guest needs. Nothing is compiled.

    With --library, exit code 4 if a patch does not apply to a version that it is meant for.
    """
    from ..kernels.check import check_kernel
    from ..kernels.plan import plan_kernels
    from ..spec.kernel import parse_kernel_spec

    with Reporter() as progress:
        _tidy(progress)
        plans = plan_kernels(map(parse_kernel_spec, specs), progress, user_fragments)
        if library:
            _check_library(plans, progress)
            return
        for plan in plans:
            for line in check_kernel(plan, progress):
                click.echo(f"{plan.spec.text}: {line}" if len(plans) > 1 else line)


def _check_library(plans: list[KernelPlan], progress: Reporter) -> None:
    """Prints a table of patches by kernel.

    Raises UsageError for a kernel that is not built here, BuildError when a patch does not apply.
    """
    from rich import box
    from rich.table import Table

    from ..errors import BuildError, UsageError
    from ..kernels.build import BuildPlan
    from ..kernels.librarycheck import check_library
    from ..report.lines import print_table

    columns = []
    for plan in plans:
        if not isinstance(plan, BuildPlan) or plan.patches:
            raise UsageError(
                f"{plan.spec.text} takes no patch of the library", "name source:VERSION or tree:PATH, without a patch"
            )
        columns.append(check_library(plan.base, progress))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("patch")
    for plan in plans:
        table.add_column(f"{plan.spec.text}\n{plan.source}", overflow="fold")
    for row in zip(*columns, strict=True):
        table.add_row(row[0].name, *(f"{one.state}, {one.detail}" for one in row))
    print_table(console_on_stdout(_WIDTH), table)
    if bad := [f"{one.name}: {one.detail}" for column in columns for one in column if not one.is_good]:
        raise BuildError(f"{len(bad)} patches do not apply: {bad[0]}")


@kernels.command("prune")
@click.option(
    "--older-than",
    type=FloatRange(0),
    default=30,
    show_default=True,
    metavar="DAYS",
    help="Also remove what has not been used for this many days.",
)
@click.option("--dry-run", is_flag=True, help="List what would be removed; remove nothing.")
def prune_kernels(older_than: float, dry_run: bool) -> None:
    """Remove kernels, trees and logs from the cache that no later run would use. What is in use stays."""
    from ..kernels.inventory import leftovers, remove
    from ..kernels.plan import plan_kernel
    from ..spec.kernel import parse_kernel_spec

    freed = 0
    with Reporter() as progress:
        found = list(leftovers(older_than, lambda text: plan_kernel(parse_kernel_spec(text), progress, offline=True)))
        for leftover in found:
            size = f"{leftover.size_bytes / (1 << 20):.1f} MiB"
            if remove(leftover, dry_run=dry_run):
                freed += leftover.size_bytes
                click.echo(f"{'would remove' if dry_run else 'removed'} {leftover.path} ({size}): {leftover.why}")
            else:
                click.echo(f"{'would keep' if dry_run else 'kept'} {leftover.path}: in use")
    click.echo(f"{freed / (1 << 20):.1f} MiB {'would be' if dry_run else ''} freed".replace("  ", " "))
