"""The plugin under its former module name: `pytest -p oomtrial.plugin`, and entry points of earlier installations."""

import sys

from .pytest_plugin import hooks

sys.modules[__name__] = hooks
