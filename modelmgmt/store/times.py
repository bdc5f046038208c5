"""Times are UTC. In tables that people read they are ISO text; in series they are microseconds since 1970."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

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


def from_iso(text: str) -> datetime:
    """The aware datetime that `to_iso` wrote."""
    return datetime.fromisoformat(text)


def to_us(text: str) -> int:
    """The microseconds that `to_iso` was given.

    >>> to_us("1970-01-01T00:00:01.000000Z")
    1000000
    """
    return (from_iso(text) - _EPOCH) // timedelta(microseconds=1)


def now_iso() -> str:
    """The wall clock as ISO text, UTC."""
    return to_iso(now_us())
