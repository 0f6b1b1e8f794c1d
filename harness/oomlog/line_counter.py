"""The number of the line at a position of a chunk."""

from __future__ import annotations

_FEW_BYTES, _NEWLINE = 16 << 10, ord("\n")


class LineCounter:
    """Counts each part of the data once, as positions are mostly asked for in order."""

    def __init__(self, data: bytes, first_line: int) -> None:
        self._data = data
        self._counted, self._line_number = 0, first_line

    def skip_to(self, position: int, line_number: int) -> None:
        """Takes over what another has counted: the line at a position."""
        self._counted, self._line_number = position, line_number

    def line_of(self, position: int) -> int:
        """Number of the line at a position; one that lies back is counted anew."""
        if position < self._counted:
            return self._line_number - self._data.count(b"\n", position, self._counted)
        if position - self._counted < _FEW_BYTES:
            self._line_number += self._data.count(b"\n", self._counted, position)
        else:  # numpy is four times as fast; the compiled reader counts itself, and need not wait for its import
            import numpy as np

            gap = np.frombuffer(self._data, np.uint8, position - self._counted, self._counted)
            self._line_number += int(np.count_nonzero(gap == _NEWLINE))
        self._counted = position
        return self._line_number
