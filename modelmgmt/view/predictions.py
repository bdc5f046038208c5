"""Predictions as tables. Draws, never computes."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from modelmgmt.store.names import counted
from modelmgmt.view.models import facts_table
from modelmgmt.view.tables import Column, Table
from modelmgmt.view.text import MISSING, clean, format_value, is_missing

if TYPE_CHECKING:
    import pandas as pd

    from modelmgmt.observe.monitor import Batch
    from modelmgmt.observe.predictions import Prediction

SHOWN_ROWS = 20
SHOWN_COLUMNS = 12
SHOWN_VALUES = 30
_CELL = 40  # characters
_LINE = 60


def predictions_table(frame: pd.DataFrame, *, total: int) -> Table:
    """One prediction a row, oldest first: `frame` has the newest ones of `total`."""
    labels = frame["label"].where(frame["label"].notna(), None).unique().tolist()
    own = ["id", "time", "version", *(["label"] if len(labels) > 1 else [])]
    rest = [name for name in frame.columns if name not in (*own, "label")]
    shown = rest[: SHOWN_COLUMNS - len(own)]
    columns = [
        Column(clean(name, 200), right=_are_numbers(frame[name].tolist()), is_key=name == "id", is_whole=name == "time",
               rank={"id": 0, "time": 2, "version": 1}.get(name, max(0, place - len(own))))
        for place, name in enumerate((*own, *shown))
    ]  # fmt: skip
    times = [f"{moment:%Y-%m-%d %H:%M:%S}" for moment in frame["time"]]
    cells = [times if name == "time" else [_cell(value) for value in frame[name].tolist()] for name in (*own, *shown)]
    notes = []
    if len(frame) < total:
        notes.append(f"The newest {len(frame):,} of {counted(total, 'prediction')}.")
    if len(labels) == 1 and labels[0] is not None:
        notes.append(f"All asked for as {clean(labels[0], _CELL)}.")
    if len(shown) < len(rest):
        notes.append(f"{len(shown):,} of {len(rest):,} columns of predictions and inputs: to_frame() has all.")
    if any(MISSING in column for column in cells):
        notes.append(f"{MISSING}: missing, or not in that batch.")
    return Table(tuple(columns), tuple(zip(*cells, strict=True)), "\n".join(notes) if total else "No predictions.")


def one_line(one: Prediction) -> str:
    """What was said, by whom, when.

    >>> from datetime import UTC, datetime
    >>> from modelmgmt.observe.predictions import Prediction
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> one_line(Prediction("order-3", noon, "churn:1", None, None, "", "", {"stays": 0.25, "leaves": 0.75}, None))
    '<Prediction order-3: stays=0.25, leaves=0.75, by churn:1, 2026-01-01 12:00:00 UTC>'
    """
    said = one.prediction
    if isinstance(said, dict):
        text = ", ".join(f"{clean(str(name), _CELL)}={_value(value)}" for name, value in islice(said.items(), 10))
    else:
        text = _value(said)
    by = clean(str(one.version), None)
    return f"<Prediction {clean(one.id)}: {clean(text, _LINE)}, by {by}, {one.time:%Y-%m-%d %H:%M:%S} UTC>"


def prediction_table(one: Prediction) -> Table:
    """What was said, what was asked, by whom: one line each, the first of many."""
    values = [*_named("prediction", one.prediction), *([] if one.inputs is None else _named("input", one.inputs))]
    facts = {
        "id": one.id, "time": f"{one.time:%Y-%m-%d %H:%M:%S} UTC", "version": one.version, "asked for as": one.label,
        "run": one.run, **{name: _value(value) for name, value in values[:SHOWN_VALUES]},
    }  # fmt: skip
    table = facts_table({**facts, "digest": one.package})
    left = len(values) - SHOWN_VALUES
    return (
        table
        if left <= 0
        else replace(table, note=f"{counted(left, 'more value')} of predictions and inputs.\n{table.note}")
    )


def batch_table(batch: Batch) -> Table:
    """What was logged at once: when, how many, the ids of the first."""
    ids = ", ".join(batch.ids[:3]) + (", ..." if len(batch) > 3 else "")
    facts = {
        "batch": batch.id,
        "time": f"{batch.time:%Y-%m-%d %H:%M:%S} UTC",
        "predictions": f"{len(batch):,}",
        "ids": ids,
    }
    return facts_table(facts)


def _named(role: str, value: object) -> list[tuple[str, object]]:
    if isinstance(value, dict):
        return [(f"{role}.{name}", one) for name, one in value.items()]
    return [(role, value)]


def _value(value: object) -> str:
    return clean(value, _LINE) if isinstance(value, str) else format_value(value)


def _are_numbers(values: list[object]) -> bool:
    return any(isinstance(value, (int, float)) for value in values) and all(
        is_missing(value) or (isinstance(value, (int, float)) and type(value) is not bool) for value in values
    )


def _cell(value: object) -> str:
    return clean(value if isinstance(value, str) else format_value(value), _CELL)
