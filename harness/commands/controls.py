"""`oomtrial controls`."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import CHECK_FAILED
from ..progress import Reporter
from ..spec.machine import Accel, machine_words
from .options import ACCEL, FORMAT, SEED, VCPUS, WARM_UP_ROUNDS
from .output import console_on_stdout, print_json
from .values import IntRange


@click.command()
@click.option("--base", metavar="SPEC", help="Stock kernel.  [default: source:6.1, else source:6.12]")
@click.option("--only", "names", multiple=True, metavar="NAME", help="Run only this control. Repeatable.")
@click.option("--rounds", type=IntRange(1, 1_000_000), default=60, show_default=True, help="Rounds per arm.")
@click.option("--boots", type=IntRange(1, 10_000), default=2, show_default=True, help="Boots per arm.")
@WARM_UP_ROUNDS
@SEED
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Directory of the runs. Reuse it to judge them again without measuring.",
)
@VCPUS
@ACCEL
@FORMAT
@click.pass_context
def controls(
    context: click.Context,
    base: str | None,
    names: tuple[str, ...],
    rounds: int,
    boots: int,
    warm_up: int,
    seed: int,
    out: Path | None,
    vcpus: int,
    accel: str,
    output_format: str,
) -> None:
    """Check the harness itself: it must tell known-bad kernels from stock, and must not tell stock from stock.

    Exits with 7 if a control does not behave as claimed."""
    from ..experiment.request import Request
    from ..kernels.source import offered_versions
    from ..report.controltable import print_controls
    from ..runs.record import new_run_id, read_run
    from ..spec.arm import ArmSpec
    from ..studies.controls import run_controls

    base = base or ("source:6.1" if "6.1" in offered_versions() else "source:6.12")
    out = out or context.obj.runs / f"controls-{new_run_id()}"

    def request(arms: tuple[ArmSpec, ...], scenario: str, few: int | None, directory: Path) -> Request:
        number = rounds if few is None else min(few, rounds)
        return Request(
            arms,
            (scenario,),
            number,
            min(boots, number) if few is None else 1,
            seed,
            directory,
            vcpus,
            accel=Accel(accel),
            warm_up=warm_up,
        )

    with Reporter() as progress:
        results = run_controls(base, names, out, progress, request)
    if output_format == "json":
        print_json(results)
    else:
        record = read_run(next(path.parent for path in sorted(out.glob("*/run.json"))))
        machine = f"{base}, {machine_words(record.vcpus, record.host.cores, record.accel)}; evidence: {out}"
        print_controls(console_on_stdout(), results, machine)
    if not all(result.passed for result in results):
        raise SystemExit(CHECK_FAILED)
