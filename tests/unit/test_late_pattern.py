"""Patterns that are compiled with their first use give what re.compile gives."""

import re

import pytest

from harness.oomlog import late_pattern as module
from harness.oomlog.late_pattern import late_pattern

TEXT = "a1 b22\nc333"


@pytest.fixture
def compiled(monkeypatch):
    """The expressions that were compiled."""
    found, compile_now = [], re.compile

    def compile_noted(pattern, flags=0):
        found.append(pattern)
        return compile_now(pattern, flags)

    monkeypatch.setattr(module.re, "compile", compile_noted)
    return found


@pytest.mark.parametrize("name", ["match", "search", "fullmatch", "findall", "split"])
def test_the_methods_are_those_of_a_pattern(name):
    ours, theirs = late_pattern(r"([a-c])(\d+)"), re.compile(r"([a-c])(\d+)")
    found, expected = getattr(ours, name)(TEXT), getattr(theirs, name)(TEXT)
    assert repr(found) == repr(expected)  # matches do not compare


def test_flags_and_groups_count():
    pattern = late_pattern(rb"^(?P<word>C)", re.IGNORECASE | re.MULTILINE)
    assert [match["word"] for match in pattern.finditer(TEXT.encode())] == [b"c"]
    assert pattern.sub(b"x", TEXT.encode()) == b"a1 b22\nx333"
    assert pattern.groups == 1


def test_it_is_compiled_once_and_not_before_it_is_used(compiled):
    pattern = late_pattern("b")
    assert pattern.pattern == "b"
    assert compiled == []
    assert pattern.search(TEXT)
    assert pattern.sub("", "abc") == "ac"
    assert compiled == ["b"]


def test_a_wrong_expression_shows_with_its_first_use():
    pattern = late_pattern("(")
    with pytest.raises(re.error):
        pattern.match("")
