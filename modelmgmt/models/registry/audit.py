"""The audit trail: `store.audit`. Looks at the log of events, verifies it, exports it, anchors it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from modelmgmt.errors import InvalidValueError, printable
from modelmgmt.models.registry.consistency import check_registry
from modelmgmt.models.registry.decisions import of_model
from modelmgmt.store import anchors, events
from modelmgmt.store.anchors import Anchor
from modelmgmt.store.events import Event
from modelmgmt.store.names import counted, shown

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

_TYPES = {"id": int} | dict.fromkeys(("time", "actor", "host", "kind", "subject", "detail", "previous", "hash"), str)


class Audit:
    """The log of decisions of a store. Events are only ever added, each carries the hash of the one before.

    >>> _ = Store().models.create("churn")
    >>> [(event.kind, event.subject) for event in Store().audit.events()]
    [('model.created', 'churn')]
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def __repr__(self) -> str:
        with self._kernel.database.reading() as connection:
            return printable(f"<Audit of {counted(events.head(connection)[0], 'event')}>")

    @property
    def head(self) -> Anchor:
        """The newest event, to be kept elsewhere."""
        return anchors.head_anchor(self.events())

    def events(self, *, model: str | None = None, kind: str | None = None) -> list[Event]:
        """Events, oldest first; those about one model, those whose kind begins so: "model", "model.promoted", "run"."""
        with self._kernel.database.reading() as connection:
            found = events.read(connection) if model is None else of_model(connection, model)
            return [event for event in found if kind is None or f"{event.kind}.".startswith(f"{kind}.")]

    def verify(self, *, anchored: str | Path | Iterable[Anchor] = ()) -> list[str]:
        """What is wrong, a sentence each; an empty list for a sound log whose registry says the same.

        Named are the first event that is changed, missing or out of order; the first of the given anchors that is not in
        the log; every row of the registry that the events contradict. A log that was written anew as a whole, with all
        its hashes, only an anchor can tell. `anchored` is a file that `anchor` wrote, or anchors. Raises NotFoundError,
        InvalidValueError.
        """
        log = self.events()
        known = anchors.read_file(Path(anchored)) if isinstance(anchored, (str, Path)) else list(anchored)
        faults = [events.first_fault(log)]
        faults.append(anchors.anchor_fault(log, known))
        faults += [f"{problem.where}: {problem.what}" for problem in check_registry(self._kernel)]
        return [fault for fault in faults if fault is not None]

    def export(self, path: str | Path) -> int:
        """Write every event to a new file, one a line of JSON: all that it takes to verify them elsewhere.

        Returns how many. Raises FileExistsError, OSError.
        """
        log = self.events()
        with Path(path).open("x", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in export_lines(log))
        return len(log)

    def anchor(self, path: str | Path) -> Anchor:
        """Append the head to a file; keep it where nobody can change both. Raises OSError."""
        head = self.head
        anchors.add_to_file(Path(path), head)
        return head


def export_lines(log: Iterable[Event]) -> Iterable[str]:
    """Each event as one line of JSON, its fields the columns of the table."""
    return (json.dumps(asdict(event), ensure_ascii=False) for event in log)


def parse_lines(lines: Iterable[str]) -> list[Event]:
    """The events of an exported file. Raises InvalidValueError."""
    return [_parse(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def verify_exported(lines: Iterable[str], anchored: Sequence[Anchor] = ()) -> list[str]:
    """What is wrong with an exported log, a sentence each. Raises InvalidValueError for what is no export."""
    log = parse_lines(lines)
    faults = (events.first_fault(log), anchors.anchor_fault(log, anchored))
    return [fault for fault in faults if fault is not None]


def _parse(number: int, line: str) -> Event:
    try:
        content = json.loads(line)
        event = Event(**{field.name: content[field.name] for field in fields(Event)})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidValueError(f"Line {number} is not an event: {shown(line)}.") from error
    wrong = [name for name, kind in _TYPES.items() if type(getattr(event, name)) is not kind]
    if wrong:
        raise InvalidValueError(f"Line {number} is not an event: its {wrong[0]} has the wrong type.")
    return event
