"""Defaults of a project: `[tool.oomtrial]` in pyproject.toml, or oomtrial.toml with the same keys."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import msgspec

from ..errors import UsageError
from ..units import parse_size
from .arm import split_label
from .kernel import parse_kernel_spec

OWN_FILE, SHARED_FILE = "oomtrial.toml", "pyproject.toml"
_TABLE = "[tool.oomtrial]"
MAX_VCPUS, MIN_MEMORY_MIB = 64, 256  # of a guest


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kernels: list[str] = []
    scenarios: list[str] = []
    vcpus: int | None = None
    memory: int | str | None = None
    out: str | None = None


class Project(msgspec.Struct, frozen=True):
    """What is taken where a command line says nothing. Paths are relative to the current directory."""

    kernels: tuple[str, ...] = ()  # [LABEL=]SPEC of run, and of the plugin without labels
    scenarios: tuple[str, ...] = ()  # of run
    vcpus: int | None = None  # per guest
    memory_mib: int | None = None  # per guest
    runs: Path = Path("results") / "runs"  # where runs go that are given no directory


def read_project(directory: Path) -> Project:
    """The defaults that a directory has; oomtrial.toml goes before pyproject.toml.

    Raises UsageError for an unknown key or a value that does not fit, with the file and the key.
    """
    path, table = _read(directory)
    try:
        file = msgspec.convert(table, _File)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {_explain(str(error))}", f"keys are {', '.join(_File.__struct_fields__)}") from error
    for spec in file.kernels:
        try:
            parse_kernel_spec(split_label(spec)[1])
        except UsageError as error:
            raise UsageError(f"{path}: kernels: {error.what}", error.hint) from error
    if file.vcpus is not None and not 1 <= file.vcpus <= MAX_VCPUS:
        raise UsageError(f"{path}: vcpus is {file.vcpus}, between 1 and {MAX_VCPUS} is possible")
    return Project(
        tuple(file.kernels),
        tuple(file.scenarios),
        file.vcpus,
        None if file.memory is None else _memory_mib(path, file.memory),
        Project().runs if file.out is None else Path(file.out),
    )


def _read(directory: Path) -> tuple[Path, Any]:
    """The file, and what it says of oomtrial."""
    for name in (OWN_FILE, SHARED_FILE):
        path = directory / name
        try:
            text = path.read_text()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {path}: {error}") from error
        if name == SHARED_FILE and "oomtrial" not in text:
            continue
        try:
            document: Any = msgspec.toml.decode(text)
        except msgspec.DecodeError as error:
            if name == SHARED_FILE and _TABLE not in text:
                continue  # others will say so
            raise UsageError(f"{path} is not valid TOML: {error}") from error
        if name == OWN_FILE:
            return path, document
        if (table := document.get("tool", {}).get("oomtrial")) is not None:
            return path, table
    return directory / OWN_FILE, {}


def _memory_mib(path: Path, memory: int | str) -> int:
    """A number is in MiB, as with --memory."""
    try:
        mib = memory if isinstance(memory, int) else parse_size(memory) >> 20
    except UsageError as error:
        raise UsageError(f"{path}: memory is {error.what}", error.hint) from error
    if mib < MIN_MEMORY_MIB:
        raise UsageError(f"{path}: memory is {memory!r}, at least {MIN_MEMORY_MIB} MiB are needed")
    return mib


def _explain(message: str) -> str:
    if unknown := re.search(r"unknown field `([^`]*)`", message):
        near = difflib.get_close_matches(unknown[1], _File.__struct_fields__, 1)
        return f"unknown key {unknown[1]!r}" + (f", did you mean {near[0]!r}?" if near else "")
    if where := re.search(r"(.*) - at `\$\.?([^`]*)`", message):
        return f"{where[2]}: {where[1]}"
    return message
