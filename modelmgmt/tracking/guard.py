"""What happens when the disk fails in the middle of a training: the one place that catches such an error.

With `on_error="warn"` the training goes on: what was to be written waits in bounded memory, is tried again at the next
write, and what could not be kept is counted. With `"raise"` the error reaches the caller.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Literal

from modelmgmt.errors import InvalidValueError, StoreError

OnError = Literal["warn", "raise"]
MAX_WAITING_POINTS = 100_000
MAX_WAITING_WRITES = 1_000


class Guard:
    """Stands between a run and its store."""

    def __init__(self, on_error: OnError, append: Callable[[Sequence[bytes]], None]) -> None:
        if on_error not in ("warn", "raise"):
            raise InvalidValueError(f"on_error is 'warn' or 'raise', and {on_error!r} was given.")
        self.lost_points = 0
        self.lost_writes = 0
        self._on_error = on_error
        self._append = append
        self._points: list[bytes] = []
        self._writes: list[Callable[[], object]] = []
        self._warned = False
        self.is_waiting = False
        """Whether something could not be written yet."""

    def points_failed(self, bodies: Sequence[bytes], error: StoreError) -> None:
        """A log call met `error`. Raises it under "raise"."""
        self._meet(error)
        room = MAX_WAITING_POINTS - len(self._points)
        self._points.extend(bodies[:room])
        self.lost_points += max(0, len(bodies) - room)
        self.is_waiting = True

    def write(self, action: Callable[[], object], *, can_wait: bool = True) -> None:
        """Do a write, or keep it for later. `can_wait=False` for what is too large to hold, or may change."""
        try:
            self.retry()
            action()
        except StoreError as error:
            self._meet(error)
            if can_wait and len(self._writes) < MAX_WAITING_WRITES:
                self._writes.append(action)
                self.is_waiting = True
            else:
                self.lost_writes += 1

    def retry(self) -> None:
        """Try what is waiting again, in order. Raises StoreError when it still cannot be written."""
        while self._writes:
            self._writes[0]()
            del self._writes[0]
        if self._points:
            waiting = self._points
            self._append(waiting)
            self._points = []
        self.is_waiting = False

    def last_try(self, fold: Callable[[], object]) -> None:
        """The run ends: what is still waiting is tried once more, else lost, and counted.

        A fold that fails loses nothing: the points stay in the journal, and whoever opens the store next folds it.
        """
        try:
            self.retry()
            fold()
        except StoreError as error:
            self._give_up()
            self._meet(error)

    def _give_up(self) -> None:
        self.lost_points += len(self._points)
        self.lost_writes += len(self._writes)
        self._points, self._writes = [], []
        self.is_waiting = False

    def report(self, run: str) -> None:
        """Say once, at the end, what was lost."""
        if self.lost_points or self.lost_writes:
            message = (
                f"The run {run} lost {self.lost_points} points and {self.lost_writes} other writes: see the warnings."
            )
            warnings.warn(message, stacklevel=4)

    def _meet(self, error: StoreError) -> None:
        if self._on_error == "raise":
            raise error
        if not self._warned:
            self._warned = True
            warnings.warn(f"Logging goes on in memory, and is tried again: {error}", stacklevel=5)
