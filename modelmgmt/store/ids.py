"""Identifiers that sort by time, and names that people can say."""

from __future__ import annotations

import functools
import secrets
from importlib.resources import files

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_TIME_CHARS = 9  # 45 bits of milliseconds: until the year 3084
_RANDOM_CHARS = 7
ID_LENGTH = _TIME_CHARS + _RANDOM_CHARS


def new_id(time_us: int) -> str:
    """A 16-character id; ids of later milliseconds sort after earlier ones, 35 random bits tell the rest apart.

    >>> new_id(1_000_000) < new_id(2_000_000), len(new_id(0))
    (True, 16)
    """
    return _base32(time_us // 1000, _TIME_CHARS) + _base32(secrets.randbits(5 * _RANDOM_CHARS), _RANDOM_CHARS)


def new_name(number: int) -> str:
    """A readable run name that ends in `number`, as calm-otter-17."""
    adjectives, nouns = _words()
    return f"{secrets.choice(adjectives)}-{secrets.choice(nouns)}-{number}"


def _base32(value: int, length: int) -> str:
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(5 * (length - 1), -1, -5))


@functools.cache
def _words() -> tuple[list[str], list[str]]:
    text = files("modelmgmt.store").joinpath("words.txt").read_bytes().decode("ascii")
    adjectives, nouns = text.split("\n\n")
    return adjectives.split(), nouns.split()
