"""`oomtrial kernels`: what there is, what a spec means, and kernels made without a run."""

from __future__ import annotations

import datetime
from pathlib import Path

import click
from rich import box
from rich.table import Table

from harness.commands.options import OWN_CONFIG
from harness.commands.output import console_on_stdout
from harness.progress import Reporter


@click.group()
def kernels() -> None:
    """Kernels without a run: what there is, what a spec means, builds, checks, tidying up.

    SPEC is debian:VERSION (Debian's prebuilt kernel), source:VERSION (its source, built with our config),
    tree:PATH[@REF] (a kernel tree of yours, only read) or image:PATH (a bzImage). source: and tree:
    take +PATCH, repeatable: a name from the library, or the path of a diff, a mail, a mailbox, or a directory with a
    series. In a path, + and @ are written twice.
    """


@kernels.command("list")
def list_() -> None:
    """What can be asked for on this machine, and what the cache holds."""
    from harness.kernels.debian import offered_series
    from harness.kernels.inventory import cached_kernels
    from harness.kernels.patches import library_names
    from harness.kernels.source import offered_versions

    console = console_on_stdout()
    for version in offered_series():
        console.print(f"debian:{version}", highlight=False)
    for version in offered_versions():
        names = ", ".join(library_names(version)) or "none in the library"
        console.print(f"source:{version}  patches: {names}", highlight=False, soft_wrap=True)
    console.print("tree:PATH[@REF]\nimage:PATH", highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("in the cache", "made of", "key", "MiB", "last used"):
        table.add_column(heading, justify="right" if heading == "MiB" else "left", overflow="fold")
    for one in cached_kernels():
        used = datetime.datetime.fromtimestamp(one.used_at).strftime("%Y-%m-%d %H:%M")
        size = f"{one.size_bytes / (1 << 20):.0f}"
        table.add_row(one.kernel.spec, one.kernel.source, one.kernel.key, size, used)
    if table.row_count:
        console.print(table)


@kernels.command()
@click.argument("text", metavar="SPEC")
@OWN_CONFIG
def show(text: str, own_config: tuple[Path, ...]) -> None:
    """What a spec means here: source, patches, key, and whether the cache has it."""
    from harness.kernels.build import BuildPlan
    from harness.kernels.kernel import kernel_directory, ready_kernel
    from harness.kernels.plan import plan_kernel
    from harness.paths import content_key
    from harness.spec.kernel import parse_kernel_spec

    with Reporter() as report:
        plan = plan_kernel(parse_kernel_spec(text), report, own_config)
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
            click.echo(f"did not take: {line}")


def _tidy(report: Reporter) -> None:
    from harness.cleaning import tidy

    for removed in tidy():
        report.say(f"removed {removed.what}: {removed.why}")


@kernels.command()
@click.argument("texts", metavar="SPEC...", nargs=-1, required=True)
@OWN_CONFIG
def build(texts: tuple[str, ...], own_config: tuple[Path, ...]) -> None:
    """Make kernels, unless the cache has them; prints their paths."""
    from harness.kernels.kernel import make_kernel
    from harness.kernels.plan import plan_kernel
    from harness.spec.kernel import parse_kernel_spec

    specs = [parse_kernel_spec(text) for text in texts]
    with Reporter() as report:
        _tidy(report)
        plans = [plan_kernel(spec, report, own_config) for spec in specs]
        made = [make_kernel(plan, report) for plan in plans]
    for kernel in made:
        click.echo(f"{kernel.spec} {kernel.image}")


@kernels.command()
@click.argument("text", metavar="SPEC")
@OWN_CONFIG
def check(text: str, own_config: tuple[Path, ...]) -> None:
    """Whether patches apply and the config has what a guest needs. Nothing is compiled."""
    from harness.kernels.check import check_kernel
    from harness.kernels.plan import plan_kernel
    from harness.spec.kernel import parse_kernel_spec

    with Reporter() as report:
        _tidy(report)
        for line in check_kernel(plan_kernel(parse_kernel_spec(text), report, own_config), report):
            click.echo(line)


@kernels.command()
@click.option(
    "--older-than",
    type=click.FloatRange(0),
    default=30,
    show_default=True,
    metavar="DAYS",
    help="Also what nobody has used for so long.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
def prune(older_than: float, dry_run: bool) -> None:
    """Remove kernels, trees and logs that no later run would take. What is in use stays."""
    from harness.kernels.inventory import leftovers, remove
    from harness.kernels.plan import plan_kernel
    from harness.spec.kernel import parse_kernel_spec

    freed = 0
    with Reporter() as report:
        found = list(leftovers(older_than, lambda text: plan_kernel(parse_kernel_spec(text), report)))
        for leftover in found:
            size = f"{leftover.size_bytes / (1 << 20):.1f} MiB"
            if remove(leftover, dry_run=dry_run):
                freed += leftover.size_bytes
                click.echo(f"{'would remove' if dry_run else 'removed'} {leftover.path} ({size}): {leftover.why}")
            else:
                click.echo(f"{'would keep' if dry_run else 'kept'} {leftover.path}: in use")
    click.echo(f"{freed / (1 << 20):.1f} MiB {'would be' if dry_run else ''} freed".replace("  ", " "))
