"""Dates as log programs print them, to seconds. Pure; a date that cannot be read is None, never a guess."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

# Lines of one report share a stamp, or nearly: dates are remembered.

# %b of glibc's locales, by their first letters: dmesg -T prints the user's language.
_MONTH_NAMES = (
    ("jan", "ene", "gen", "sty", "led", "янв", "ian", "oca"),
    ("feb", "fev", "fév", "lut", "úno", "фев", "şub"),
    ("mar", "mär", "mrt", "mrz", "bře", "мар"),
    ("apr", "avr", "abr", "kwi", "dub", "апр", "nis"),
    ("may", "mai", "mag", "mei", "maj", "kvě", "май", "мая"),
    ("jun", "giu", "cze", "čen", "июн", "haz", "juin"),
    ("jul", "lug", "lip", "июл", "tem", "juil"),
    ("aug", "aoû", "ago", "sie", "srp", "авг", "ağu"),
    ("sep", "set", "wrz", "zář", "сен", "eyl"),
    ("oct", "okt", "out", "ott", "paź", "říj", "окт", "eki"),
    ("nov", "lis", "ноя", "kas"),
    ("dec", "déc", "dez", "dic", "gru", "pro", "дек", "ara"),
)
_MONTHS = {name: number for number, names in enumerate(_MONTH_NAMES, start=1) for name in names}
LAST_SECOND = 253402300799  # of the year 9999, the last that a date can be of
_LEAP_YEAR = 2000  # a date without a year is counted in a year that has every day


def month_number(name: str) -> int | None:
    """1 to 12 of a month's short name in a common language, ``8月`` included; None when unknown."""
    folded = name.casefold().rstrip(".")
    if len(folded) <= len("12月") and folded[:-1].isdecimal() and folded[-1:] in ("月", "월"):
        return int(folded[:-1])
    return _MONTHS.get(folded) or _MONTHS.get(folded[:4]) or _MONTHS.get(folded[:3])


@lru_cache(1024)
def yearless_seconds(month: str, day: str, hours: str, minutes: str, seconds: str) -> float | None:
    """Seconds since 1 January, of a stamp that has no year (BSD syslog)."""
    found = calendar_seconds(_LEAP_YEAR, month, day, hours, minutes, seconds)
    return None if found is None else found - datetime(_LEAP_YEAR, 1, 1, tzinfo=UTC).timestamp()


@lru_cache(1024)
def calendar_seconds(year: int, month: str, day: str, hours: str, minutes: str, seconds: str) -> float | None:
    """Seconds since 1970 of a date and time whose zone is taken to be UTC."""
    number = month_number(month)
    try:
        return datetime(year, number or 0, int(day), int(hours), int(minutes), int(seconds), tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None


@lru_cache(1024)
def iso_seconds(text: str) -> float | None:
    """Seconds since 1970 of an ISO 8601 stamp; without a zone it is taken to be UTC."""
    try:
        found = datetime.fromisoformat(
            text.replace(" UTC", "Z").replace(" +", "+").replace(" -", "-").replace(" Z", "Z")
        )
        seconds = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds <= LAST_SECOND else None


def to_yearless(seconds: float) -> float:
    """Seconds since 1 January of the date's own year, counted as `seconds_of_year` does."""
    moment = datetime.fromtimestamp(seconds, UTC).replace(year=_LEAP_YEAR)
    return moment.timestamp() - datetime(_LEAP_YEAR, 1, 1, tzinfo=UTC).timestamp()
