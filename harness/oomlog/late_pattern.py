"""Regular expressions that are compiled when they are first used: a log needs a few of the 180, and all of them take 60 ms."""

from __future__ import annotations

import re
from typing import Any, AnyStr, Generic, cast

_METHODS = ("finditer", "findall", "fullmatch", "match", "search", "split", "sub", "subn")


def late_pattern(pattern: AnyStr, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[AnyStr]:
    """`re.compile`, later. What is wrong with the expression shows with its first use."""
    return cast("re.Pattern[AnyStr]", _LatePattern(pattern, flags))


class _LatePattern(Generic[AnyStr]):
    def __init__(self, pattern: AnyStr, flags: re.RegexFlag) -> None:
        self.pattern: AnyStr = pattern
        self.flags = flags

    def __getattr__(self, name: str) -> Any:
        """Called for what is not there yet: from then on the methods of the compiled pattern are this one's attributes."""
        compiled = re.compile(self.pattern, self.flags)
        self.__dict__.update((method, getattr(compiled, method)) for method in _METHODS)
        return getattr(compiled, name)
