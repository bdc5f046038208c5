"""Tables for a terminal, a notebook and a page: values become text once, then three renderers lay it out.

Where there is no room, one rule for all tables: text wraps at blanks; then columns go that say the same in every row, then
those of the highest rank. A note below names what went. Columns of rank 0 stay: what is still too wide continues in a
second block below the first. Numbers and words are not broken; a word longer than its column loses its middle.

Reads frames, writes nothing. Text that came from outside (names, params, tags) is made harmless here: control
characters are shown as escapes, and each renderer escapes for its own medium.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal

from modelmgmt.errors import printable
from modelmgmt.store.names import counted
from modelmgmt.view.text import (
    MISSING,
    clean,
    format_age,
    format_all,
    format_duration,
    format_exact,
    format_value,
    identity,
    is_missing,
)

if TYPE_CHECKING:
    import pandas as pd
    from rich.text import Text

SHOWN_ROWS = 20
_GAP = "  "
_LEAST = 16  # cells that narrowed text keeps
_WORD = 24  # cells of a word that is left whole
_HEADING = 12  # cells of a heading's piece that is left whole
_PART = re.compile(r"[^/\\.,:;=&|@\s]*[/\\.,:;=&|@\s]+|[^/\\.,:;=&|@\s]+")
_SHORTER = re.compile(r"[^_]*_+|[^_]+")
_NUMBER = re.compile(r"[-+~<>]?\d[\d.,_]*(e[-+]?\d+)?%?")
_GROUPS = ("params", "metrics", "tags")
_STATUS = {"running": "cyan", "finished": "green", "failed": "red", "crashed": "magenta", "interrupted": "yellow"}
_DOT = {
    "running": "#1f8fd6", "finished": "#2a9d57", "failed": "#e0483e", "crashed": "#b65fcf", "interrupted": "#d99a1c",
}  # fmt: skip
_LATE = 1000  # the rank of what goes before params and metrics


@dataclass(frozen=True, slots=True)
class Column:
    """A heading. `group` says whose key `name` is: "params", "metrics", "tags", or "" for the run's own facts."""

    name: str
    group: str = ""
    right: bool = False
    """Numbers: aligned to the right."""
    rank: int = 0
    """Where there is no room, columns of the highest rank go first; those of rank 0 stay."""
    is_whole: bool = False
    """Never broken at a blank, nor shortened: half a digest is none. No number is, in any column."""
    is_key: bool = False
    """Says what the row is about: repeated where a table continues in a second block, as the first column is anyway."""
    folds: bool = False
    """A word that is too long continues on the next line, as a path among facts does, and does not lose its middle."""

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
    frame: pd.DataFrame,
    *,
    now: datetime | None = None,
    max_rows: int | None = SHOWN_ROWS,
    total: int | None = None,
    asked: Sequence[str] = (),
    columns: Sequence[str] | None = None,
) -> Table:
    """The frame of a runs collection as a table: the first `max_rows` runs (None: all), and what differs among them.

    Columns: name, status, started, duration, then params that differ, metrics, and tags that differ. What is the same
    in all the runs shown is said once, in the note, as is how many runs of `total` (default: the frame's length) are
    not shown. `asked` are columns of the frame that a filter or an order names: they stay where there is little room.
    `columns` are all that is wanted beside the name, in their order. `now` makes the start an age ("2 min ago").

    Runs whose frame has something under `diverged` are marked. None is marked as best: which way is better is not known.
    """
    total = len(frame) if total is None else total
    shown = frame if max_rows is None else frame.head(max_rows)
    if len(shown) == 0:
        return Table((Column("name"), Column("status")), (), "No runs.")
    names = [clean(str(name), 200) for name in shown["name"]]
    fields: list[_Field] = [(Column("name", is_key=True), names)]
    # The id only when the names do not tell the runs apart.
    if len(set(names)) < len(names):
        fields.append((Column("run", is_key=True, is_whole=True), [clean(str(run)) for run in shown.index]))
    constant: list[str] = []
    if columns is None:
        fields += _facts_of_runs(shown, now, asked)
        keys = [str(name) for name in shown.columns if str(name) not in _OWN_COLUMNS]
        ranks = {key: 0 if key in asked else rank for rank, key in enumerate(_by_turns(keys), start=2)}
        for key in keys:
            _add_field(fields, constant, key, shown[key].tolist(), ranks[key])
    else:
        fields += [field for name in columns for field in _wanted(shown, now, name)]
    notes = []
    if len(shown) < total:
        more = counted(total - len(shown), "more is", "more are")
        notes.append(f"The first {len(shown):,} of {total:,} runs; {more} not shown.")
    if constant:
        subject = "Set" if len(shown) == 1 else "Same in all shown" if len(shown) < total else "Same in all"
        notes.append(f"{subject}: {', '.join(constant)}")
    rows = zip(*(cells for _, cells in fields), strict=True)
    return Table(tuple(column for column, _ in fields), tuple(rows), "\n".join(notes))


def comparison_table(rows: Iterable[tuple[str, str, Mapping[str, object]]], *, all_rows: bool = False) -> Table:
    """What differs, with one row per key and one column per run.

    `rows` are `(section, key, {run name: value})`; a run that lacks the key shows a dash. Params are exact; other numbers
    have as many digits as it takes to see how they differ. Rows in which every run has the same value are left out and
    counted in the note, unless `all_rows`.

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
    cells = [(clean(section), clean(key, 200), *_side_by_side(section, values)) for section, key, values in kept]
    columns = (
        Column("section", is_key=True), Column("key", is_key=True), *(Column(clean(run, 200)) for run in runs),
    )  # fmt: skip
    same = len(lines) - len(kept)
    if not kept:
        return Table(columns, (), f"No differences in {counted(same, 'value')}.")
    note = f"{counted(same, 'more value is', 'more values are')} the same in all." if same else ""
    return Table(columns, tuple(cells), note)


def _side_by_side(section: str, values: Sequence[object]) -> list[str]:
    there = [value for value in values if value is not None]
    cells = iter(format_all(there, is_exact=section == "params"))
    return [MISSING if value is None else next(cells) for value in values]


_Field = tuple[Column, Sequence[str]]
_OWN_COLUMNS = ("name", "status", "started_at", "duration_s", "parent", "diverged")


def _facts_of_runs(shown: pd.DataFrame, now: datetime | None, asked: Sequence[str]) -> Iterator[_Field]:
    for place, name in enumerate(("status", "diverged", "started_at", "duration_s")):
        for column, cells in _wanted(shown, now, name):
            rank = 0 if name in asked else 1 if name == "status" else _LATE + place
            if name != "diverged":
                yield replace(column, rank=rank), cells
            elif any(cells):
                yield column, cells


def _wanted(shown: pd.DataFrame, now: datetime | None, name: str) -> Iterator[_Field]:
    """The field of one column of the frame; none where the frame lacks it."""
    if name not in shown.columns:
        return
    values = shown[name].tolist()
    if name == "started_at":
        yield Column("started"), [format_age(moment, now) for moment in values]
    elif name == "duration_s":
        seconds = [None if is_missing(value) else float(value) for value in values]
        yield Column("duration", right=True, is_whole=True), [format_duration(value) for value in seconds]
    elif name == "diverged":
        yield Column("diverged"), [clean(str(value), 200) for value in values]
    else:
        fields: list[_Field] = []
        _add_field(fields, None, name, values, 0)
        yield from fields


def _by_turns(keys: Sequence[str]) -> list[str]:
    """Who gets room first: metrics and params by turns, then the rest from the left."""
    groups = [[key for key in keys if key.startswith(f"{group}.")] for group in ("metrics", "params")]
    turns = [key for pair in zip_longest(*groups) for key in pair if key is not None]
    return list(dict.fromkeys([*turns, *keys]))


def _add_field(
    fields: list[_Field], constant: list[str] | None, full_name: str, values: list[object], rank: int
) -> None:
    """A column of what differs; what is the same in all goes to `constant`, unless that is None."""
    group, _, key = full_name.partition(".")
    group, key = (group, key) if group in _GROUPS and key else ("", full_name)
    label = clean(key, 200)
    exact = group == "params"
    if constant is not None and all(is_missing(value) for value in values) and not (exact and None in values):
        return
    if constant is not None and group != "metrics" and not _differs(values):
        constant.append(f"{label}={(format_exact if exact else format_value)(values[0])}")
        return
    right = any(map(_is_number, values)) and all(is_missing(value) or _is_number(value) for value in values)
    cells = format_all(values, is_exact=exact, fill=group == "metrics")
    fields.append((Column(label, group, right=right, rank=rank), cells))


def _is_number(value: object) -> bool:
    from numbers import Number

    return isinstance(value, Number) and not isinstance(value, bool)


def _differs(values: Sequence[object]) -> bool:
    return len({identity(value) for value in values}) > 1


# ------------------------------------------------------------------------------------------- layout

_Segment = tuple[str, str]
"""Text, and how it looks: "", "bold", "dim", or a colour."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which columns stand beside one another, block by block; how wide each is, in cells; and those that have no room."""

    blocks: list[list[int]]
    widths: dict[int, int]
    dropped: list[int]


def screen_width() -> int | None:
    """The width of the terminal, or $COLUMNS; None where output goes into a file or a pipe, which has room for all."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal():
        return shutil.get_terminal_size().columns
    return None


def as_text(table: Table, width: int | None = None) -> str:
    """Plain text, no line wider than `width` terminal cells; by default the terminal's, or 100 where there is none."""
    lines = _lines(table, width or screen_width() or 100)
    return "\n".join(printable("".join(text for text, _ in line)) for line in lines)


def as_rich(table: Table, width: int | None = None) -> Text:
    """The same for a Rich console, statuses in colour, what is not finite in red; no cell is read as markup."""
    from rich.text import Text

    drawn = Text(no_wrap=True, overflow="ignore", end="\n")
    for place, line in enumerate(_lines(table, width or sys.maxsize)):
        drawn.append("\n" if place else "")
        for text, style in line:
            drawn.append(printable(text), style=style)
    return drawn


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
    parts.extend(
        f'<p style="margin:.5em .7em;font-size:.92em;white-space:pre-wrap">{escape(note)}</p>'
        for note in (note for note in printable(table.note).split("\n") if note)
    )
    return "".join([*parts, "</div>"])


def _lines(table: Table, width: int) -> Iterator[list[_Segment]]:
    """The table, its blocks one below the other, and its notes."""
    layout = _layout(table, width)
    for block in layout.blocks:
        if block is not layout.blocks[0]:
            yield []
        kept = [table.columns[place] for place in block]
        sizes = [layout.widths[place] for place in block]
        if any(column.group for column in kept):
            groups = [
                "" if place and kept[place - 1].group == column.group else column.group
                for place, column in enumerate(kept)
            ]
            yield from _row(groups, kept, sizes, ["dim"] * len(kept))
        yield from _row([column.name for column in kept], kept, sizes, ["bold"] * len(kept), is_heading=True)
        yield [(_GAP.join("-" * size for size in sizes), "dim")]
        for row in table.rows:
            cells = [row[place] for place in block]
            yield from _row(cells, kept, sizes, [_style(*pair) for pair in zip(kept, cells, strict=True)])
    notes = [line for note in _notes(table, layout.dropped) for line in _wrapped(note, width, "fact")]
    if notes:
        yield []
    for line in notes:
        yield [(line, "dim")]


def _row(
    cells: Sequence[str],
    columns: Sequence[Column],
    sizes: Sequence[int],
    styles: Sequence[str],
    *,
    is_heading: bool = False,
) -> Iterator[list[_Segment]]:
    """Cells side by side, over several lines where one does not fit; headings stand on the lowest line."""
    from rich.cells import cell_len

    stacks = [
        _wrapped(cell, size, "heading" if is_heading else "fact" if column.folds else "cell")
        for cell, column, size in zip(cells, columns, sizes, strict=True)
    ]
    height = max(map(len, stacks))
    stacks = [
        [""] * (height - len(stack)) + stack if is_heading else stack + [""] * (height - len(stack)) for stack in stacks
    ]
    for texts in zip(*stacks, strict=True):
        line: list[_Segment] = []
        for text, column, size, style in zip(texts, columns, sizes, styles, strict=True):
            blanks = " " * (size - cell_len(text))
            line += [(_GAP, "")] if line else []
            line += [(blanks, ""), (text, style)] if column.right else [(text, style), (blanks, "")]
        while line and not line[-1][0].strip(" "):
            line.pop()
        yield line


def _layout(table: Table, width: int) -> _Layout:
    places = range(len(table.columns))
    natural = {place: _natural(table, place) for place in places}
    floors = {place: _floor(table, place, _WORD, natural[place]) for place in places}
    keys = [place for place in places if table.columns[place].is_key or place == 0]
    kept = {place for place in places if not table.columns[place].rank or place in keys}

    def room(chosen: Iterable[int]) -> int:
        sizes = [floors[place] for place in chosen]
        return width - sum(sizes) - len(_GAP) * (len(sizes) - 1)

    if room(kept) < 0:
        floors |= {place: _floor(table, place, _WORD // 2, natural[place]) for place in places if place not in keys}
    same = {place for place in places if len(table.rows) > 1 and len({row[place] for row in table.rows}) == 1}
    for place in sorted(places, key=lambda place: (place in same, table.columns[place].rank, place)):
        if place not in kept and room([*kept, place]) >= 0:
            kept.add(place)
    blocks = [sorted(kept)] if room(kept) >= 0 else _blocks(keys, sorted(kept), room)
    widths: dict[int, int] = {}
    for block in blocks:
        # The keys of a later block are as wide as in the first.
        widths |= _widths({place: (floors[place], widths.get(place, natural[place])) for place in block}, width)
    return _Layout(blocks, widths, [place for place in places if place not in kept])


def _blocks(keys: Sequence[int], kept: Sequence[int], room: Callable[[Iterable[int]], int]) -> list[list[int]]:
    """As many columns beside the keys as there is room for, at least one, block by block."""
    blocks = [list(keys)]
    for place in kept:
        if place not in keys:
            if len(blocks[-1]) > len(keys) and room([*blocks[-1], place]) < 0:
                blocks.append(list(keys))
            blocks[-1].append(place)
    return blocks


def _widths(bounds: Mapping[int, tuple[int, int]], width: int) -> dict[int, int]:
    """Between its floor and its natural width each: the widest give way first; all do where even the floors are too wide."""
    room = max(width - len(_GAP) * (len(bounds) - 1), len(bounds))
    for is_hard in (False, True):
        for cap in range(max(natural for _, natural in bounds.values()), 0, -1):
            sizes = {
                place: min(natural, max(cap, 1 if is_hard else floor)) for place, (floor, natural) in bounds.items()
            }
            if sum(sizes.values()) <= room:
                return sizes
    return dict.fromkeys(bounds, 1)


def _natural(table: Table, place: int) -> int:
    from rich.cells import cell_len

    column = table.columns[place]
    return max(map(cell_len, [column.name, column.group, *(row[place] for row in table.rows)]))


def _floor(table: Table, place: int, word: int, natural: int) -> int:
    """The least width that breaks no number, no whole text, and no word of up to `word` cells."""
    from rich.cells import cell_len

    column = table.columns[place]
    cells = {row[place] for row in table.rows}
    heading = max(min(cell_len(part), word) for part in _parts(column.name))
    if column.is_whole:
        return max([heading, cell_len(column.group), *map(cell_len, cells)])
    words = {part for cell in cells for part in cell.split(" ")}
    needed = [cell_len(part) if _NUMBER.fullmatch(part) else min(cell_len(part), word) for part in words]
    least = _LEAST if word == _WORD and not column.right else 1
    return min(natural, max([least, heading, cell_len(column.group), *needed]))


def _wrapped(text: str, width: int, kind: Literal["cell", "heading", "fact"]) -> list[str]:
    """Lines of at most `width` cells, broken at blanks. A longer word loses its middle; before, a heading is folded behind
    separators. A fact is folded whatever it takes.
    """
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return [text]
    indent = text[: len(text) - len(text.lstrip(" "))]
    lines: list[str] = []
    for word in text.split():
        pieces = [_cut(word, width)] if kind == "cell" else _folded(word, width, cuts=kind == "heading")
        for place, piece in enumerate(pieces):
            joined = f"{lines[-1]} {piece}" if lines and not place else ""
            if joined and cell_len(joined) <= width:
                lines[-1] = joined
            else:
                lines.append(indent + piece if cell_len(indent + piece) <= width else piece)
    return lines or [""]


def _folded(word: str, width: int, *, cuts: bool) -> list[str]:
    """A word in pieces of at most `width` cells, broken behind separators where there are any."""
    from rich.cells import cell_len, chop_cells

    if cell_len(word) <= width:
        return [word]
    pieces: list[str] = []
    for part in _parts(word):
        if pieces and cell_len(pieces[-1] + part) <= width:
            pieces[-1] += part
        else:
            pieces += [_cut(part, width)] if cuts else chop_cells(part, width)
    return pieces


def _parts(word: str) -> list[str]:
    """Pieces that end at a separator: `val/`, `score_1`, but `mean_`, `absolute_`, `error`, as that would be a long piece.

    A hyphen is no separator: `calm-otter-17` is one name.
    """
    return [
        piece for part in _PART.findall(word) for piece in (_SHORTER.findall(part) if len(part) > _HEADING else [part])
    ] or [""]


def _cut(word: str, width: int) -> str:
    """Its beginning and its end: names that begin alike differ in their last characters."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(word) <= width:
        return word
    tail = word[len(word) - (width - 1) // 2 :] if width > 2 else ""
    while cell_len(tail) > (width - 1) // 2:
        tail = tail[1:]
    return set_cell_size(word, width - 1 - cell_len(tail)).rstrip() + "…" + tail


def _notes(table: Table, dropped: Sequence[int]) -> list[str]:
    notes = [note for note in table.note.split("\n") if note]
    cells = {place: {row[place] for row in table.rows} for place in dropped}
    same = {place: min(found) for place, found in cells.items() if len(found) == 1 and len(table.rows) > 1}
    said = [f"{table.columns[place].full_name}={cell}" for place, cell in same.items() if cell not in {"", MISSING}]
    if said:
        notes.append(f"Same in all rows: {', '.join(said)}")
    names = [table.columns[place].full_name for place in dropped if place not in same]
    if names:
        named = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        notes.append(f"+{counted(len(names), 'more column')}: {named}")
    return notes


def _side(column: Column) -> str:
    return "right" if column.right else "left"


def _html_group(column: Column) -> str:
    return (
        f'<span style="font-weight:400;font-size:.85em;opacity:.75">{column.group}<br></span>' if column.group else ""
    )


def _html_cell(column: Column, cell: str) -> str:
    colour = _DOT.get(cell) if column.full_name == "status" else None
    if colour:
        return f'<span aria-hidden="true" style="color:{colour}">●</span> {escape(cell)}'
    return f'<span style="color:{_DOT["failed"]}">{escape(cell)}</span>' if is_alarm(column, cell) else escape(cell)


def _style(column: Column, cell: str) -> str:
    return _STATUS.get(cell, "") if column.full_name == "status" else "red" if is_alarm(column, cell) else ""


def is_alarm(column: Column, cell: str) -> bool:
    """Whether a cell says that a run diverged."""
    return (column.group == "metrics" and cell in {"nan", "inf", "-inf"}) or (
        column.full_name == "diverged" and cell != ""
    )
