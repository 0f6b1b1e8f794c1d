"""The nights of a matrix on disk: `DIR/nights/RUN_ID/` is a normal run directory with `asked.json`, written before the run begins."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..errors import EvidenceError
from ..runs.record import RUN_FILE
from ..spec.arm import ArmSpec

NIGHTS = "nights"
NIGHT_REQUEST_FILE = "asked.json"


class NightRequest(msgspec.Struct, frozen=True):
    """What a night was asked for, beside what the record of its run says."""

    arms: list[ArmSpec]
    left_out: dict[str, str]  # arms whose kernel could not be had, each with why


def nights_in(out: Path) -> list[Path]:
    """The nights' run directories, old to new: their names begin with their date."""
    return sorted(path.parent for path in (out / NIGHTS).glob(f"*/{RUN_FILE}"))


def read_night_request(run: Path) -> NightRequest | None:
    """What the night in a run directory was asked for; None for a run that was moved here by hand.

    Raises EvidenceError when the file cannot be read.
    """
    try:
        return msgspec.json.decode((run / NIGHT_REQUEST_FILE).read_bytes(), type=NightRequest)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise EvidenceError(f"cannot read {run / NIGHT_REQUEST_FILE}: {error}") from error
