"""Anchors: the head of the log of events, kept where the store's owner does not reach. They make truncation visible.

An anchor is one line of JSON, in a file. Reads and writes nothing in the store.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from modelmgmt.errors import InvalidValueError, NotFoundError
from modelmgmt.store.events import FIRST, Event
from modelmgmt.store.names import shown
from modelmgmt.store.times import now_iso

FORMAT = "modelmgmt.anchor/1"


@dataclass(frozen=True, slots=True)
class Anchor:
    """The newest event at some time: its number and hash. `log` is the hash of the first event, which tells logs apart."""

    event: int
    hash: str
    log: str
    time: str

    @property
    def line(self) -> str:
        """One line of JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)


def head_anchor(log: Sequence[Event]) -> Anchor:
    """The anchor of the newest event."""
    last = log[-1] if log else None
    return Anchor(last.id if last else 0, last.hash if last else FIRST, log[0].hash if log else FIRST, now_iso())


def parse_anchors(text: str) -> list[Anchor]:
    """Anchors, one a line; lines that are none are refused. Raises InvalidValueError."""
    return [_parse(line) for line in text.splitlines() if line.strip()]


def anchor_fault(log: Sequence[Event], anchors: Iterable[Anchor]) -> str | None:
    """None when every anchor is in the log, else a sentence about the first that is not. Pure."""
    for anchor in sorted(anchors, key=lambda anchor: anchor.event):
        if anchor.event > len(log):
            return (
                f"The log ends with event {len(log)}, and event {anchor.event} was anchored at {anchor.time}: the newest "
                "events were removed."
            )
        found = log[anchor.event - 1].hash if anchor.event else FIRST
        if found != anchor.hash:
            return (
                f"Event {anchor.event} is not the one that was anchored at {anchor.time}: the log up to there was "
                "rewritten."
            )
    return None


def read_file(path: Path) -> list[Anchor]:
    """The anchors in a file. Raises NotFoundError, InvalidValueError."""
    try:
        anchors = parse_anchors(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no file {path}: write one with 'modelmgmt audit anchor {path}'.") from error
    except UnicodeDecodeError as error:
        raise InvalidValueError(f"{path} contains no anchors: it is not text.") from error
    if not anchors:
        raise InvalidValueError(f"{path} contains no anchor.")
    return anchors


def add_to_file(path: Path, anchor: Anchor) -> None:
    """Append an anchor to a file, made where it is not there; earlier ones stay."""
    with path.open("a", encoding="utf-8") as file:
        file.write(anchor.line + "\n")


def _parse(line: str) -> Anchor:
    try:
        content = json.loads(line)
        anchor = Anchor(content["event"], str(content["hash"]), str(content["log"]), str(content["time"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidValueError(f"{shown(line)} is not an anchor in the format {FORMAT}.") from error
    if content.get("format") != FORMAT or type(anchor.event) is not int or anchor.event < 0:
        raise InvalidValueError(f"{shown(line)} is not an anchor in the format {FORMAT}.")
    return anchor
