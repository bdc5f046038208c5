"""What happens when the disk fails in the middle of a training: the one place that catches such an error.

With `on_error="warn"` the training goes on: what was to be written waits in bounded memory, is tried again at the next
write, and what could not be kept is counted. With `"raise"` the error reaches the caller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from modelmgmt.errors import InvalidValueError, ModelmgmtError, StoreError, warn
from modelmgmt.store import signals
from modelmgmt.store.names import counted, shown
from modelmgmt.tracking import ending

OnError = Literal["warn", "raise"]
MAX_WAITING_POINTS = 100_000
MAX_WAITING_WRITES = 1_000
MAX_WAITING_BYTES = 1 << 26  # of the contents that those writes hold
MAX_REFUSED_NAMES = 1_000


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A write that is tried again, and what is lost when it fails for good."""

    action: Callable[[], object]
    points: int
    size: int


class Guard:
    """Stands between a run and its store."""

    def __init__(self, on_error: OnError, append: Callable[[Sequence[bytes]], None]) -> None:
        if on_error not in ("warn", "raise"):
            raise InvalidValueError(f"on_error is 'warn' or 'raise', and {on_error!r} was given.")
        self.lost_points = 0
        self.lost_writes = 0
        self.refused: Counter[str] = Counter()
        """How many values of each metric were left out, since they are no numbers."""
        self.on_error = on_error
        self._append = append
        self._points: list[bytes] = []
        self._writes: list[_Waiting] = []
        self._warned = False
        self.why = ""
        """What the last write that could not be done met."""
        self.is_waiting = False
        """Whether something could not be written yet."""

    def points_failed(self, bodies: Sequence[bytes], error: StoreError) -> None:
        """A log call met `error`. Raises it under "raise"."""
        self._meet(error)
        room = MAX_WAITING_POINTS - len(self._points)
        self._points.extend(bodies[:room])
        self.lost_points += max(0, len(bodies) - room)
        self.is_waiting = True

    def left_out(self, mistakes: Sequence[tuple[object, ModelmgmtError]]) -> None:
        """Values of a call that kept others. Raises the first under "raise"; else the first of each name is warned of."""
        for key, error in mistakes:
            if self.on_error == "raise":
                raise error
            name = shown(str(key))
            name = name if name in self.refused or len(self.refused) < MAX_REFUSED_NAMES else "others"
            self.refused[name] += 1
            if self.refused[name] == 1:
                message = (
                    f"{error} It is left out, and what else was logged is kept; more of this name are only counted."
                )
                warn(message)

    @signals.whole
    def write(self, action: Callable[[], object], *, can_wait: bool = True, points: int = 0, size: int = 0) -> None:
        """Do a write, or keep it for later. `can_wait=False` for what is too large to hold, or may change.

        `points` and `size` say how many points and bytes the action holds. In a signal handler that has interrupted another
        write, it is done when that one returns.
        """
        ending.look_for_handlers()
        self.write_now(action, can_wait=can_wait, points=points, size=size)

    def write_now(self, action: Callable[[], object], *, can_wait: bool = True, points: int = 0, size: int = 0) -> None:
        """As `write`, for those in the middle of a section."""
        try:
            self.retry()
            action()
        except StoreError as error:
            write = _Waiting(action, points, size)
            self._meet(error, can_wait=can_wait)
            if can_wait and self._has_room(write):
                self._writes.append(write)
                self.is_waiting = True
            else:
                self._lose(write)

    def retry(self) -> None:
        """Try what is waiting again, in order. Raises StoreError when it still cannot be written."""
        if self._points:
            waiting = list(self._points)
            self._append(waiting)
            del self._points[: len(waiting)]  # a signal handler may have added some
        while self._writes:
            try:
                self._writes[0].action()
            except StoreError:
                raise
            except ModelmgmtError as error:
                # It was not seen to be a mistake before: a param that waited has another value by now.
                self._lose(self._writes[0])
                warn(f"A write that had waited for the disk is left out: {error}")
            del self._writes[0]
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

    def _has_room(self, write: _Waiting) -> bool:
        waiting = sum(other.size for other in self._writes)
        return len(self._writes) < MAX_WAITING_WRITES and waiting + write.size <= MAX_WAITING_BYTES

    def _lose(self, write: _Waiting) -> None:
        self.lost_points += write.points
        self.lost_writes += not write.points

    def _give_up(self) -> None:
        self.lost_points += len(self._points)
        for write in self._writes:
            self._lose(write)
        self._points, self._writes = [], []
        self.is_waiting = False

    def report(self, run: str) -> None:
        """Say once, at the end, what was lost."""
        if self.lost_points or self.lost_writes:
            lost = f"{counted(self.lost_points, 'point')} and {counted(self.lost_writes, 'other write')}"
            warn(f"The run {run} lost {lost}: see the warnings.")
        if self.refused:
            names = ", ".join(f"{name} ({count})" for name, count in self.refused.most_common(10))
            more = f", and {len(self.refused) - 10} more" if len(self.refused) > 10 else ""
            total = self.refused.total()
            what = "value that is no metric" if total == 1 else "values that are no metrics"
            message = f"The run {run} left out {total:,} {what}: {names}{more}."
            warn(message)

    def _meet(self, error: StoreError, *, can_wait: bool = True) -> None:
        """Raise it, or say it: once for all that waits, and each time for what is lost at once."""
        self.why = str(error)
        if self.on_error == "raise":
            raise error
        if not can_wait:
            warn(f"This was not kept, and logging goes on: {error}")
        elif not self._warned:
            self._warned = True
            warn(f"Logging goes on in memory, and is tried again: {error}")
