"""The base of what is read from lines."""

from __future__ import annotations

import msgspec


class Record(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """A record of a line. There are millions, which go from process to process: made and packed by compiled code."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing of it can stand on a line that follows."""
        return True
