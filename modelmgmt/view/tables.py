"""Tables of runs for a terminal, a notebook and a page: values become text once, then three renderers lay it out.

Reads frames, writes nothing. Text that came from outside (names, params, tags) is made harmless here: control
characters are shown as escapes, and each renderer escapes for its own medium.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal

from modelmgmt.view.text import (
    MISSING,
    clean,
    format_age,
    format_duration,
    format_value,
    is_float,
    is_missing,
    is_nan,
)

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Group

SHOWN_ROWS = 20
_HEADING = 24
_GAP = "  "
_LEAST = 16  # cells that a narrowed column keeps
_GROUPS = ("params", "metrics", "tags")
_STATUS = {"running": "cyan", "finished": "green", "failed": "red", "crashed": "magenta"}
_DOT = {"running": "#1f8fd6", "finished": "#2a9d57", "failed": "#e0483e", "crashed": "#b65fcf"}


@dataclass(frozen=True, slots=True)
class Column:
    """A heading. `group` says whose key `name` is: "params", "metrics", "tags", or "" for the run's own facts.

    Where there is no room, columns of the highest `rank` go first. What is `whole` is not narrowed: half a digest is none.
    """

    name: str
    group: str = ""
    right: bool = False
    rank: int = 0
    is_whole: bool = False

    @property
    def full_name(self) -> str:
        """The name that a filter would use: `params.lr`, `status`."""
        return f"{self.group}.{self.name}" if self.group else self.name


@dataclass(frozen=True, slots=True)
class Table:
    """Finished text: `rows` hold one string per column; `note` is what the columns do not say, or empty."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


# ------------------------------------------------------------------------------------------- tables of runs


def runs_table(
    frame: pd.DataFrame, *, now: datetime | None = None, max_rows: int | None = SHOWN_ROWS, total: int | None = None
) -> Table:
    """The frame of a runs collection as a table: the first `max_rows` runs (None: all), and what differs among them.

    Columns: name, status, started, duration, then params that differ, metrics, and tags that differ. What is the same
    in all the runs shown is said once, in the note, as is how many runs of `total` (default: the frame's length) are
    not shown. `now` makes the start an age ("2 min ago"). No run is marked as best: which way is better is not known.
    """
    total = len(frame) if total is None else total
    shown = frame if max_rows is None else frame.head(max_rows)
    if len(shown) == 0:
        return Table((Column("name"), Column("status")), (), "No runs.")
    fields = _run_fields(shown, now)
    constant: list[str] = []
    empty: list[str] = []
    for name in frame.columns:
        if str(name) not in _OWN_COLUMNS:
            _add_field(fields, constant, empty, str(name), shown[name].tolist())
    notes = []
    if len(shown) < total:
        notes.append(f"The first {len(shown):,} of {total:,} runs; {total - len(shown):,} more are not shown.")
    if constant:
        subject = "Set" if len(shown) == 1 else "Same in all shown" if len(shown) < total else "Same in all"
        notes.append(f"{subject}: {', '.join(constant)}")
    if any(column.group == "metrics" and MISSING in cells for column, cells in fields):
        # A frame holds NaN for both.
        notes.append(f"{MISSING} in a metric: not logged, or not a number.")
    if empty:
        notes.append(f"No number in any: {', '.join(empty)}")
    rows = zip(*(cells for _, cells in fields), strict=True)
    return Table(tuple(column for column, _ in fields), tuple(rows), "\n".join(notes))


def comparison_table(rows: Iterable[tuple[str, str, Mapping[str, object]]], *, all_rows: bool = False) -> Table:
    """What differs, with one row per key and one column per run.

    `rows` are `(section, key, {run name: value})`; a run that lacks the key shows a dash. Rows in which every run has
    the same value are left out and counted in the note, unless `all_rows`.

    >>> print(as_text(comparison_table([("params", "lr", {"a": 0.1, "b": 0.2}), ("params", "n", {"a": 1, "b": 1})])))
    section  key  a    b
    -------  ---  ---  ---
    params   lr   0.1  0.2
    <BLANKLINE>
    1 more value is the same in all.
    """
    given = list(rows)
    runs = list(dict.fromkeys(run for _, _, values in given for run in values))
    lines = [(section, key, [values.get(run) for run in runs]) for section, key, values in given]
    kept = [line for line in lines if all_rows or _differs(line[2])]
    cells = [(clean(section), clean(key), *format_all(values)) for section, key, values in kept]
    columns = (Column("section"), Column("key"), *(Column(clean(run)) for run in runs))
    same = len(lines) - len(kept)
    if not kept:
        return Table(columns, (), f"No differences in {same:,} {'value' if same == 1 else 'values'}.")
    note = f"{same:,} more {'value is' if same == 1 else 'values are'} the same in all." if same else ""
    return Table(columns, tuple(cells), note)


_Field = tuple[Column, Sequence[str]]
_OWN_COLUMNS = ("name", "status", "started_at", "duration_s", "parent")


def _run_fields(shown: pd.DataFrame, now: datetime | None) -> list[_Field]:
    """The run's own facts; its id only when the names do not tell the runs apart."""
    names = [clean(str(name)) for name in shown["name"]]
    fields: list[_Field] = [(Column("name"), names)]
    if len(set(names)) < len(names):
        fields.append((Column("run"), [clean(str(run)) for run in shown.index]))
    seconds = [None if is_missing(value) else float(value) for value in shown["duration_s"].tolist()]
    return [
        *fields,
        (Column("status"), [format_value(status) for status in shown["status"]]),
        (Column("started"), [format_age(moment, now) for moment in shown["started_at"]]),
        (Column("duration", right=True), [format_duration(value) for value in seconds]),
    ]


def _add_field(
    fields: list[_Field], constant: list[str], empty: list[str], full_name: str, values: list[object]
) -> None:
    group, _, key = full_name.partition(".")
    group, key = (group, key) if group in _GROUPS and key else ("", full_name)
    if group == "metrics" and all(is_missing(value) or is_nan(value) for value in values):
        empty.append(clean(key, _HEADING))
        return
    # What a run lacks comes out of a frame as NaN.
    values = [None if is_nan(value) else value for value in values]
    if all(is_missing(value) for value in values):
        return
    label = clean(key, _HEADING)
    if group != "metrics" and not _differs(values):
        constant.append(f"{label}={format_value(values[0])}")
        return
    right = all(is_missing(value) or _is_number(value) for value in values)
    cells = _format_metric(values) if group == "metrics" else format_all(values)
    fields.append((Column(label, group, right=right), cells))


def _is_number(value: object) -> bool:
    from numbers import Number

    return isinstance(value, Number) and not isinstance(value, bool)


def _differs(values: Sequence[object]) -> bool:
    return len({_identity(value) for value in values}) > 1


def _identity(value: object) -> Hashable:
    """Equal for values that a reader would call the same: 1 and 1.0 are, 1 and True and "1" are not; NaN is NaN."""
    if is_missing(value):
        return None
    if _is_number(value):
        return "nan" if is_nan(value) else ("number", value)
    return (type(value).__name__, value if isinstance(value, str) else repr(value))


def format_all(values: Sequence[object]) -> list[str]:
    """With as many digits as it takes for different numbers to look different."""
    wanted = len({_identity(value) for value in values})
    cells: list[str] = []
    for digits in (4, 6, 9, 17):
        cells = [format_value(value, digits) for value in values]
        if len(set(cells)) >= wanted or not any(map(is_float, values)):
            break
    return cells


def _format_metric(values: Sequence[object]) -> list[str]:
    """Four significant digits with their zeros, so that a column lines up: 0.9300 over 0.9121; counts stay whole."""
    numbers = [value for value in values if is_float(value) and math.isfinite(value)]  # type: ignore[arg-type]
    if all(float(value).is_integer() and abs(value) < 10**7 for value in numbers):  # type: ignore[arg-type]
        return [f"{value:.0f}" if is_float(value) else format_value(value) for value in values]
    return [
        f"{value:#.4g}" if is_float(value) and 1e-4 <= abs(value) < 1e4 else format_value(value)  # type: ignore[arg-type]
        for value in values
    ]


# ------------------------------------------------------------------------------------------- renderers


def as_text(table: Table, width: int = 100) -> str:
    """Plain text, no line wider than `width` terminal cells: cells end in "…", or columns are named below."""
    import textwrap

    places, widths, dropped = _fit(table, width)
    kept = [table.columns[place] for place in places]
    heads = [[_group_label(kept, i) for i in range(len(kept))]] if _has_groups(kept) else []
    heads.append([column.name for column in kept])
    lines = [_line(head, kept, widths) for head in heads]
    lines.append(_GAP.join("-" * size for size in widths))
    lines.extend(_line([row[place] for place in places], kept, widths) for row in table.rows)
    notes = [line for note in _notes(table, dropped) for line in textwrap.wrap(note, width)]
    return "\n".join([line.rstrip() for line in lines] + ([""] if notes else []) + notes)


def as_html(table: Table) -> str:
    """One escaped HTML fragment with its own small style, at home on a light or a dark page; no script, no class."""
    line = "border-bottom:1px solid rgba(128,128,128,.35);padding:.3em .7em;white-space:nowrap;"
    base = "background:transparent;color:inherit;"
    parts = [
        '<div style="overflow-x:auto;max-width:100%">',
        f'<table style="border-collapse:collapse;font-size:.92em;font-variant-numeric:tabular-nums;{base}">',
    ]
    head = "".join(
        f'<th scope="col" style="{base}{line}text-align:{_side(column)};font-weight:600;vertical-align:bottom">'
        f"{_html_group(column)}{escape(column.name)}</th>"
        for column in table.columns
    )
    parts.append(f'<thead style="{base}"><tr style="{base}">{head}</tr></thead><tbody>')
    for row in table.rows:
        cells = "".join(
            f'<td style="{base}{line}text-align:{_side(column)}">{_html_cell(column, cell)}</td>'
            for column, cell in zip(table.columns, row, strict=True)
        )
        parts.append(f'<tr style="{base}">{cells}</tr>')
    parts.append("</tbody></table>")
    parts.extend(f'<p style="margin:.5em .7em;font-size:.92em">{escape(note)}</p>' for note in _notes(table, []))
    return "".join([*parts, "</div>"])


def as_rich(table: Table, width: int | None = None) -> Group:
    """A Rich table, statuses in colour; no cell is read as markup. `width` folds or drops what does not fit.

    What is said below is as wide as the terminal, not as the table: a caption would be folded to a word a line.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    # The box has an edge of one space on both sides.
    places, widths, dropped = _fit(table, sys.maxsize if width is None else width - 2)
    kept = [table.columns[place] for place in places]
    drawn = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for index, column in enumerate(kept):
        heading = Text(f"{_group_label(kept, index)}\n" if _has_groups(kept) else "", style="dim")
        heading.append(column.name, style="bold")
        side: Literal["left", "right"] = "right" if column.right else "left"
        most = widths[index] + 1  # with the space beside it
        least = widths[index] if column.is_whole else None
        drawn.add_column(heading, justify=side, overflow="fold", max_width=most, min_width=least)
    for row in table.rows:
        cells = [(column, row[place]) for column, place in zip(kept, places, strict=True)]
        drawn.add_row(*(Text(cell, style=_cell_style(column, cell)) for column, cell in cells))
    return Group(drawn, *(Text(note, style="dim") for note in _notes(table, dropped)))


def _fit(table: Table, width: int) -> tuple[list[int], list[int], list[Column]]:
    """The columns that fit: where they are, how wide in terminal cells; and the columns that do not fit."""
    from rich.cells import cell_len

    widths: list[int] = []
    for index, column in enumerate(table.columns):
        heads = [column.name, *([column.group] if column.group else [])]
        widths.append(max(map(cell_len, [*heads, *(row[index] for row in table.rows)])))
    if not _has_groups(table.columns) and (narrowed := _narrowed(table.columns, widths, width)):
        kept = sorted(narrowed)
        return kept, [narrowed[index] for index in kept], _without(table.columns, kept)
    kept = []
    room = width + len(_GAP)
    for index in _by_importance(table.columns):
        if not kept or widths[index] + len(_GAP) <= room:
            kept.append(index)
            room -= widths[index] + len(_GAP)
    kept.sort()
    return kept, [min(widths[index], width) for index in kept], _without(table.columns, kept)


def _without(columns: Sequence[Column], kept: Sequence[int]) -> list[Column]:
    return [column for index, column in enumerate(columns) if index not in kept]


def _narrowed(columns: Sequence[Column], widths: Sequence[int], width: int) -> dict[int, int]:
    """The columns that are in `width`, and how wide: the widest give way, none below _LEAST; then those with a rank go.

    A key without its value would say nothing, so a table of keys and values rather shortens than drops. Empty if nothing
    helps.
    """
    kept = sorted(range(len(columns)), key=lambda index: (columns[index].rank, index))
    while kept:
        room = width - len(_GAP) * (len(kept) - 1)
        narrow = [widths[index] for index in kept if not columns[index].is_whole]
        for cap in range(max(narrow, default=_LEAST), _LEAST - 1, -1):
            given = {index: widths[index] if columns[index].is_whole else min(widths[index], cap) for index in kept}
            if sum(given.values()) <= room:
                return given
        if not columns[kept.pop()].rank:
            break
    return {}


def _by_importance(columns: Sequence[Column]) -> list[int]:
    """Who gets room first: the run and its status, then params and metrics by turns, then the rest from the left."""
    places = range(len(columns))
    if not _has_groups(columns):
        return sorted(places, key=lambda place: columns[place].rank)
    first = [place for place in places if columns[place].full_name in {"name", "run", "status"}]
    params = [place for place in places if columns[place].group == "params"]
    metrics = [place for place in places if columns[place].group == "metrics"]
    turns = [place for pair in zip_longest(metrics, params) for place in pair if place is not None]
    return list(dict.fromkeys([*first, *turns, *places]))


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    """Cells side by side, padded by terminal cells, since an emoji or a Chinese character is two wide."""
    from rich.cells import cell_len, set_cell_size

    padded = []
    for cell, column, size in zip(cells, columns, widths, strict=False):
        room = size - cell_len(cell)
        text = set_cell_size(cell, size - 1) + "…" if room < 0 else cell
        padded.append(" " * max(room, 0) + text if column.right else text + " " * max(room, 0))
    return _GAP.join(padded)


def _has_groups(columns: Sequence[Column]) -> bool:
    return any(column.group for column in columns)


def _group_label(columns: Sequence[Column], index: int) -> str:
    """The group's name, over the first of its columns only."""
    group = columns[index].group
    return "" if index and columns[index - 1].group == group else group


def _notes(table: Table, dropped: Sequence[Column]) -> list[str]:
    notes = [note for note in table.note.split("\n") if note]
    if dropped:
        named = ", ".join(column.full_name for column in dropped[:12]) + (", …" if len(dropped) > 12 else "")
        notes.append(f"+{len(dropped)} more {'column' if len(dropped) == 1 else 'columns'}: {named}")
    return notes


def _side(column: Column) -> str:
    return "right" if column.right else "left"


def _html_group(column: Column) -> str:
    return (
        f'<span style="font-weight:400;font-size:.85em;opacity:.75">{column.group}<br></span>' if column.group else ""
    )


def _html_cell(column: Column, cell: str) -> str:
    colour = _DOT.get(cell) if column.full_name == "status" else None
    dot = f'<span aria-hidden="true" style="color:{colour}">●</span> ' if colour else ""
    return dot + escape(cell)


def _cell_style(column: Column, cell: str) -> str:
    return _STATUS.get(cell, "") if column.full_name == "status" else ""
