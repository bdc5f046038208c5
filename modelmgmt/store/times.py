"""Times are UTC. In tables that people read they are ISO text; in series they are microseconds since 1970."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from modelmgmt.errors import CorruptDataError, InvalidValueError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_us() -> int:
    """The wall clock, in microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def to_iso(time_us: int) -> str:
    """Microseconds since 1970 as text that sorts by time.

    >>> to_iso(0)
    '1970-01-01T00:00:00.000000Z'
    """
    return (_EPOCH + timedelta(microseconds=time_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def iso_of(moment: datetime) -> str:
    """An aware datetime as `to_iso` writes it."""
    return to_iso((moment - _EPOCH) // timedelta(microseconds=1))


def from_iso(text: str) -> datetime:
    """The aware datetime that `to_iso` wrote. Raises CorruptDataError for what it did not write."""
    with suppress(ValueError, TypeError):
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment
    raise CorruptDataError(f"A row of a table is damaged: its time is {str(text)[:80]!r}.")


def to_us(text: str) -> int:
    """The microseconds that `to_iso` was given.

    >>> to_us("1970-01-01T00:00:01.000000Z")
    1000000
    """
    return (from_iso(text) - _EPOCH) // timedelta(microseconds=1)


def seconds_of(text: str) -> float:
    """A duration that is written with units: 90s, 15m, 1h, 1.5d, 1h30m. Raises InvalidValueError.

    >>> seconds_of("1h30m")
    5400.0
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if text != "0" and (not parts or "".join(map("".join, parts)) != text):
        raise InvalidValueError(f"{text!r} is not a duration: write a number and a unit (s, m, h or d), as 90s or 1h.")
    return sum(float(number) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[unit] for number, unit in parts)


def now_iso() -> str:
    """The wall clock as ISO text, UTC."""
    return to_iso(now_us())
