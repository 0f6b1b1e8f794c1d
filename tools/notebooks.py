"""Executes results/notebooks/*.ipynb in place, so that they are committed with their outputs: `python tools/notebooks.py [NAME...]`."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[1] / "results" / "notebooks"


def execute(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the time of day, which would differ each time
    notebook.metadata.pop("language_info", None)
    path.write_text(nbformat.writes(notebook) + "\n")


def main(names: list[str]) -> None:
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if not names or path.stem in names:
            execute(path)
            print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
