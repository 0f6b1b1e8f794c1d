"""Importing Arrow: without pandas, and by a thread while a log is searched. It takes as long as the search of 100 MB."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.abc import MetaPathFinder
from threading import Thread


class _NoPandas(MetaPathFinder):
    def find_spec(self, name: str, path: object, target: object = None) -> None:
        del path, target
        if name == "pandas":
            raise ModuleNotFoundError(name)


def keep_pandas_out() -> None:
    """Arrow imports pandas with the first array that it makes, where there is one (pandas-shim.pxi): a third of the
    time of a short log, and 45 MB. Arrow looks only once; a later request for a frame still works.
    """
    import pyarrow as pa

    if "pandas" not in sys.modules:
        finder = _NoPandas()
        sys.meta_path.insert(0, finder)
        pa.array([0])
        sys.meta_path.remove(finder)


def import_meanwhile() -> Thread:
    """Begins to import Arrow, and what writes tables with it. Join the thread before they are imported again."""
    thread = Thread(target=_import, name="arrow")
    thread.start()
    return thread


def _import() -> None:
    with suppress(ImportError):  # whoever needs it meets the error too
        keep_pandas_out()
        from ..tables import logcolumns, logstore  # noqa: F401
