"""oomtrial: counts the OOM kills that waiting for the earlier victim would have spared."""

__version__ = "0.1.0"
