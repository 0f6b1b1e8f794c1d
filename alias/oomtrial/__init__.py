"""One package under two names. A checkout has it in `harness/`, and this file makes it importable as `oomtrial`; a wheel
installs it as `oomtrial`, and has this file as `harness.py`, for the documented `harness.parse_log` and
`harness.load_run`.

Both names give the same module objects: a copy would raise and catch other classes.
"""

import sys
from importlib import import_module
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from runpy import run_module

if __name__ == "__main__":  # `python -m harness`, where a wheel is installed
    run_module("oomtrial", run_name="__main__", alter_sys=True)
    sys.exit()

_ALIAS = __name__
_REAL = "harness" if _ALIAS == "oomtrial" else "oomtrial"


class _Alias(MetaPathFinder, InspectLoader):
    """Finds `ALIAS.module` by importing `REAL.module`."""

    def find_spec(self, name, path=None, target=None):  # noqa: ARG002
        if not name.startswith(_ALIAS + "."):
            return None
        real = find_spec(_real_name(name))
        return ModuleSpec(name, self, origin=real and real.origin)  # which `python -m` makes sys.argv[0]

    def create_module(self, spec):
        module = import_module(_real_name(spec.name))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module):
        module.__spec__ = module.__spec__.loader_state  # its own; the import system has put the alias's there

    def get_code(self, name):
        """For `python -m ALIAS`."""
        return find_spec(_real_name(name)).loader.get_code(_real_name(name))

    def get_source(self, name):
        return find_spec(_real_name(name)).loader.get_source(_real_name(name))


def _real_name(name):
    return _REAL + name.removeprefix(_ALIAS)


sys.meta_path.insert(0, _Alias())  # before the path finder, which would make copies
sys.modules[_ALIAS] = import_module(_REAL)
