"""Predictions as tables. Draws, never computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelmgmt.view.tables import Column, Table
from modelmgmt.view.text import MISSING, clean, format_value, is_missing, is_nan

if TYPE_CHECKING:
    import pandas as pd

SHOWN_ROWS = 20
SHOWN_COLUMNS = 12
_CELL = 40  # characters


def predictions_table(frame: pd.DataFrame, *, total: int) -> Table:
    """One prediction a row, oldest first: `frame` has the newest ones of `total`."""
    labels = frame["label"].where(frame["label"].notna(), None).unique().tolist()
    own = ["id", "time", "version", *(["label"] if len(labels) > 1 else [])]
    rest = [name for name in frame.columns if name not in (*own, "label")]
    shown = rest[: SHOWN_COLUMNS - len(own)]
    columns = [Column(clean(name, _CELL), right=frame[name].dtype.kind in "iuf") for name in (*own, *shown)]
    times = frame["time"].dt.strftime("%Y-%m-%d %H:%M:%S").tolist()
    cells = [times if name == "time" else [_cell(value) for value in frame[name].tolist()] for name in (*own, *shown)]
    notes = []
    if len(frame) < total:
        notes.append(f"The newest {len(frame):,} of {total:,} predictions.")
    if len(labels) == 1 and labels[0] is not None:
        notes.append(f"All asked for as {clean(labels[0], _CELL)}.")
    if len(shown) < len(rest):
        notes.append(f"{len(shown):,} of {len(rest):,} columns of predictions and inputs: to_frame() has all.")
    if any(MISSING in column for column in cells):
        # A frame holds NaN for all of these.
        notes.append(f"{MISSING}: missing, not a number, or not in that batch.")
    return Table(tuple(columns), tuple(zip(*cells, strict=True)), "\n".join(notes) if total else "No predictions.")


def _cell(value: object) -> str:
    if is_missing(value) or is_nan(value):
        return MISSING
    return clean(value if isinstance(value, str) else format_value(value), _CELL)
