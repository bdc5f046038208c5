"""Which step a value came from: by being the same object, or an equal value that is no mere number or word."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from modelmgmt.errors import InvalidTypeError
from modelmgmt.tracking.steps.fingerprint import fingerprint as fingerprint_of

_SCALARS = (int, float, complex, str, bytes)
_MAX_PARTS = 64


class Trace:
    """The outputs of the steps of one run, in this process. Keeps no large value alive."""

    def __init__(self) -> None:
        self._objects: dict[int, tuple[Any, int]] = {}
        self._fingerprints: dict[str, int] = {}

    def remember(self, output: Any, fingerprint: str | None, step: int) -> None:
        """What a step has returned; also each part, when it is a list, a tuple or a mapping."""
        for value in (output, *_parts(output)):
            held = _held(value)
            if held is not None:
                self._objects[id(value)] = (held, step)
        if fingerprint is not None and not _is_common(output):
            self._fingerprints[fingerprint] = step

    def sources(self, value: Any, fingerprint: str | None) -> tuple[int, ...]:
        """The steps that this value, or parts of it, came from."""
        itself = self._find(value)
        if itself is not None:
            return (itself,)
        found = {self._find(part) or self._find_equal(part) for part in _parts(value)} - {None}
        if not found and fingerprint is not None and not _is_common(value):
            found = {self._fingerprints.get(fingerprint)}
        return tuple(sorted(step for step in found if step is not None))

    def _find_equal(self, value: Any) -> int | None:
        """For a list or mapping inside another: Python does not say whether it is the same object that was once seen."""
        if not isinstance(value, (list, tuple, dict, set)) or _is_common(value):
            return None
        try:
            return self._fingerprints.get(fingerprint_of(value))
        except (InvalidTypeError, OSError):
            return None

    def _find(self, value: Any) -> int | None:
        held, step = self._objects.get(id(value), (None, 0))
        kept = held() if isinstance(held, weakref.ref) else held
        return step if kept is value and held is not None else None


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)) and len(value) <= _MAX_PARTS:
        yield from value
    elif isinstance(value, dict) and len(value) <= _MAX_PARTS:
        yield from value.values()


def _held(value: Any) -> Any:
    """A weak reference, or a scalar itself; nothing for what Python shares everywhere, such as None or 3."""
    if isinstance(value, _SCALARS):
        return None if _is_shared(value) else value
    try:
        return weakref.ref(value)
    except TypeError:
        return None


def _is_shared(value: Any) -> bool:
    if isinstance(value, int):
        return -(1 << 16) <= value <= 1 << 16  # the interpreter shares the small ones, and constants of one module
    return isinstance(value, (str, bytes)) and len(value) < 32


def _is_common(value: Any) -> bool:
    """Equal by chance: numbers, words, nothing, empty collections."""
    if value is None or isinstance(value, _SCALARS):
        return True
    return isinstance(value, (list, tuple, dict, set, frozenset)) and len(value) == 0
