"""Identifiers that sort by time, and names that people can say."""

from __future__ import annotations

import functools
import os
import secrets
import threading
from importlib.resources import files

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_TIME_CHARS = 9  # 45 bits of milliseconds: until the year 3084
_RANDOM_CHARS = 7
ID_LENGTH = _TIME_CHARS + _RANDOM_CHARS
_FIRST_BITS = 5 * _RANDOM_CHARS - 1  # the first id of a millisecond leaves room for 16,000 after it
_STEP_BITS = 20


def new_id(time_us: int) -> str:
    """A 16-character id that sorts by its millisecond, and within one millisecond of a process by the order of the calls.

    Processes are told apart by 34 random bits, and 20 more for each id of the same millisecond.

    >>> new_id(1_000_000) < new_id(1_000_000) < new_id(2_000_000), len(new_id(0))
    (True, 16)
    """
    moment = time_us // 1000
    return _base32(moment, _TIME_CHARS) + _base32(_tails.next(moment), _RANDOM_CHARS)


def new_name(number: int) -> str:
    """A readable run name that ends in `number`, as calm-otter-17."""
    adjectives, nouns = _words()
    return f"{secrets.choice(adjectives)}-{secrets.choice(nouns)}-{number}"


def _base32(value: int, length: int) -> str:
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(5 * (length - 1), -1, -5))


class _Tails:
    """What comes after the time in the ids of this process: random, and rising within a millisecond."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Also in the child of a fork, which must not go on counting where its parent does."""
        self._lock = threading.RLock()  # a signal handler may start a run, too
        self._moment, self._tail = -1, 0

    def next(self, moment: int) -> int:
        with self._lock:
            tail = self._tail + 1 + secrets.randbits(_STEP_BITS) if moment == self._moment else 0
            if not 0 < tail < 1 << 5 * _RANDOM_CHARS:
                tail = secrets.randbits(_FIRST_BITS)
            self._moment, self._tail = moment, tail
            return tail


_tails = _Tails()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tails.begin_anew)


@functools.cache
def _words() -> tuple[list[str], list[str]]:
    text = files("modelmgmt.store").joinpath("words.txt").read_bytes().decode("ascii")
    adjectives, nouns = text.split("\n\n")
    return adjectives.split(), nouns.split()
