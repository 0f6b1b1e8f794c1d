"""Paths of this machine, and the short names that stand for them where others will read."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

# An absolute path, or one from a home directory, that is not in the record; a blank ends it.
_UNKNOWN = re.compile(r"(?<![\w.\]-])(?:~[\w.-]*)?/(?:[^/\s:=+'\"]+/)+")


class PathRedactor:
    """Short names for paths: the last part, and a number where two would be called alike."""

    def __init__(self) -> None:
        self._short: dict[str, str] = {}
        self._seen: dict[str, None] = {}

    @property
    def shortened(self) -> list[str]:
        """Paths that were met and shortened, each once."""
        return list(self._seen)

    def add(self, *paths: str, like: str = "") -> None:
        """Gives paths a short name: their own, or all of them that of another path."""
        for path in paths:
            if "/" in path or path.startswith("~") or path in (".", ".."):
                self._short.setdefault(path, self._short.get(like) or self._new_name(path))

    def _new_name(self, path: str) -> str:
        name = PurePosixPath(path).name.strip("~.") or "directory"
        taken, short, number = set(self._short.values()), name, 1
        while short in taken and self._short.get(path) != short:
            number += 1
            short = f"{name}-{number}"
        return short

    def within(self, value: Any) -> Any:
        """The same value, a text or lists and dictionaries of texts, with every path shortened. Paths that were not added
        are shortened as far as they can be told from other text."""
        if isinstance(value, dict):
            return {self.within(key): self.within(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.within(item) for item in value]
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str:
        known = sorted(self._short, key=len, reverse=True)
        pattern = "|".join(rf"{re.escape(path)}(?![\w/])" for path in known if path not in (".", ".."))
        if pattern:
            text = re.sub(pattern, self._replace, text)
        return _UNKNOWN.sub(self._replace_unknown, text)

    def _replace(self, match: re.Match[str]) -> str:
        self._seen.setdefault(match[0])
        return self._short[match[0]]

    def _replace_unknown(self, match: re.Match[str]) -> str:
        self._seen.setdefault(match[0])
        return ""
