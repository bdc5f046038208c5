"""The rows of an SQLite file, found page by page, for when SQLite cannot open it or cannot reach them. Reads only.

Every row of a record table says by its checksum which table it is of, so neither the first page nor the list of tables is
needed: any page that is sound gives its rows. The format is that of https://sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import os
import re
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmgmt.errors import CorruptDataError
from modelmgmt.store.chunk import decode
from modelmgmt.store.disk import is_there
from modelmgmt.store.events import Event
from modelmgmt.store.rows import CHECKSUM, checked_columns, verified
from modelmgmt.store.series import identity

PAGE_BYTES = 4096  # what SQLite makes unless told otherwise, and nobody does
_INTERIOR_INDEX, _LEAF_INDEX, _LEAF_TABLE = 0x02, 0x0A, 0x0D
_TABLE_LOCAL = PAGE_BYTES - 35  # how many bytes of a row are on its own page
_INDEX_LOCAL = (PAGE_BYTES - 12) * 64 // 255 - 23
_SMALLEST_LOCAL = (PAGE_BYTES - 12) * 32 // 255 - 23
_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)  # bytes of a value by its serial type

_is_segment = re.compile(r"[0-9a-f]+-[0-9a-f]+-[0-9a-f]{8}").fullmatch

Row = tuple[Any, ...]
Place = tuple[int, int]  # page, cell


@dataclass(frozen=True)
class Table:
    """What a row of a table looks like in the file."""

    name: str
    columns: tuple[str, ...]
    stored: tuple[int, ...]
    """The columns in the order of the file: a table without row ids begins with its primary key."""
    reals: frozenset[int]
    row_id: int | None
    """The column that is the row id; None for a table without row ids."""
    has_row_ids: bool


def tables(schema: sqlite3.Connection) -> list[Table]:
    """The tables of a store, as its migrations make them."""
    found = []
    for _, name, kind, _, without, _ in schema.execute("PRAGMA main.table_list"):
        if kind != "table" or name.startswith("sqlite_"):
            continue
        info = schema.execute(f'PRAGMA table_info("{name}")').fetchall()
        keys = [row[0] for row in sorted((row for row in info if row[5]), key=lambda row: row[5])]
        rest = [row[0] for row in info if row[0] not in keys]
        alias = next((row[0] for row in info if row[5] and row[2].upper() == "INTEGER" and len(keys) == 1), None)
        found.append(
            Table(
                name=name,
                columns=tuple(row[1] for row in info),
                stored=tuple([*keys, *rest] if without else range(len(info))),
                reals=frozenset(row[0] for row in info if row[2].upper() == "REAL"),
                row_id=None if without else alias,
                has_row_ids=not without,
            )
        )
    return found


class Pages:
    """The pages of a database and its write-ahead log, as of its last commit. Close it.

    Pages on the list of free ones hold rows of earlier, and are left out. Where that list is damaged, they are not.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self._log: int | None = None
        log = path.with_name(path.name + "-wal")
        self._newest: dict[int, int] = {}
        if is_there(log):
            self._log = os.open(log, os.O_RDONLY)
            self._newest = dict(_committed(self._log))
        self.count = max([os.fstat(self._file).st_size // PAGE_BYTES, *self._newest])
        self._free = self._free_pages()

    def close(self) -> None:
        os.close(self._file)
        if self._log is not None:
            os.close(self._log)

    def find(self, wanted: Sequence[Table]) -> dict[str, list[Place]]:
        """Where the sound rows of each table are."""
        found: dict[str, list[Place]] = {table.name: [] for table in wanted}
        for number in range(1, self.count + 1):
            for cell, (row_id, values) in self._cells(number):
                for table in wanted:
                    row = _as_row(table, row_id, values)
                    if row is not None and _is_sound(table, row):
                        found[table.name].append((number, cell))
                        break
        return found

    def row(self, table: Table, place: Place) -> Row:
        """A row that was found, its columns in the order of the table."""
        number, cell = place
        row_id, values = next(content for at, content in self._cells(number) if at == cell)
        row = _as_row(table, row_id, values)
        assert row is not None  # noqa: S101 - it was found
        return row

    def _page(self, number: int) -> bytes:
        if number in self._newest and self._log is not None:
            return os.pread(self._log, PAGE_BYTES, self._newest[number])
        return os.pread(self._file, PAGE_BYTES, (number - 1) * PAGE_BYTES)

    def _cells(self, number: int) -> Iterator[tuple[int, tuple[int | None, list[Any]]]]:
        """Every row of a page that can be decoded: the number of its cell, its row id, its values."""
        page = self._page(number)
        head = 100 if number == 1 else 0
        if len(page) < PAGE_BYTES or number in self._free:
            return
        kind = page[head]
        if kind not in (_INTERIOR_INDEX, _LEAF_INDEX, _LEAF_TABLE):
            return
        (count,) = struct.unpack_from(">H", page, head + 3)
        pointers = head + (12 if kind == _INTERIOR_INDEX else 8)
        for cell in range(min(count, (PAGE_BYTES - pointers) // 2)):
            (start,) = struct.unpack_from(">H", page, pointers + 2 * cell)
            try:
                yield cell, self._cell(page, kind, start)
            except (IndexError, ValueError, struct.error):
                continue  # this cell is damaged, or its page is not what it looks like

    def _cell(self, page: bytes, kind: int, at: int) -> tuple[int | None, list[Any]]:
        if kind == _INTERIOR_INDEX:
            at += 4  # the page of the rows before it
        size, at = _varint(page, at)
        row_id = None
        if kind == _LEAF_TABLE:
            row_id, at = _varint(page, at)
        return row_id, _values(self._payload(page, at, size, _TABLE_LOCAL if kind == _LEAF_TABLE else _INDEX_LOCAL))

    def _payload(self, page: bytes, at: int, size: int, most: int) -> bytes:
        if size > self.count * PAGE_BYTES:
            raise ValueError("longer than the file")
        local = size
        if size > most:
            local = _SMALLEST_LOCAL + (size - _SMALLEST_LOCAL) % (PAGE_BYTES - 4)
            local = local if local <= most else _SMALLEST_LOCAL
        parts = [page[at : at + local]]
        left = size - local
        (number,) = struct.unpack_from(">I", page, at + local) if left else (0,)
        while left:
            more = self._page(number)
            (number,) = struct.unpack_from(">I", more)
            parts.append(more[4 : 4 + left])
            if not parts[-1]:
                raise ValueError("ends early")
            left -= len(parts[-1])
        return b"".join(parts)

    def _free_pages(self) -> set[int]:
        trunk, count = struct.unpack_from(">II", self._page(1).ljust(PAGE_BYTES, b"\0"), 32)
        found: set[int] = set()
        while trunk and trunk <= self.count and trunk not in found:
            found.add(trunk)
            page = self._page(trunk)
            trunk, leaves = struct.unpack_from(">II", page)
            found.update(struct.unpack_from(f">{min(leaves, PAGE_BYTES // 4 - 2)}I", page, 8))
        return found if len(found) == count else set()


def _committed(log: int) -> Iterator[tuple[int, int]]:
    """(page, where its newest committed copy is) of a write-ahead log."""
    head = os.pread(log, 32, 0)
    if len(head) < 32:
        return
    magic, _, page_bytes, _ = struct.unpack_from(">4I", head)
    order = "big" if magic & 1 else "little"
    if magic & ~1 != 0x377F0682 or page_bytes != PAGE_BYTES:
        return
    sums = _checksum(head[:24], (0, 0), order)
    at, waiting = 32, list[tuple[int, int]]()
    while len(frame := os.pread(log, 24 + PAGE_BYTES, at)) == 24 + PAGE_BYTES:
        number, commit = struct.unpack_from(">II", frame)
        sums = _checksum(frame[24:], _checksum(frame[:8], sums, order), order)
        if frame[8:16] != head[16:24] or struct.pack(">II", *sums) != frame[16:24]:
            return
        waiting.append((number, at + 24))
        if commit:
            yield from waiting
            waiting = []
        at += len(frame)


def _checksum(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    one, two = sums
    words = struct.unpack(f"{'>' if order == 'big' else '<'}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return value, place + 1
    value = value << 8 | data[at + 8]
    return value - (1 << 64) if value >= 1 << 63 else value, at + 9


def _values(payload: bytes) -> list[Any]:
    end, at = _varint(payload, 0)
    kinds = []
    while at < end:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    values, at = [], end
    for kind in kinds:
        size = _SIZES[kind] if kind < 10 else (kind - 12) // 2
        data = payload[at : at + size]
        if len(data) < size or kind in (10, 11):
            raise ValueError("ends early")
        values.append(_value(kind, data))
        at += size
    return values


def _value(kind: int, data: bytes) -> Any:
    if kind == 0:
        return None
    if kind == 7:
        return struct.unpack(">d", data)[0]
    if kind in (8, 9):
        return kind - 8
    if kind < 10:
        return int.from_bytes(data, "big", signed=True)
    return data.decode("utf-8") if kind % 2 else data


def _as_row(table: Table, row_id: int | None, values: list[Any]) -> Row | None:
    if len(values) != len(table.columns) or (row_id is not None) != table.has_row_ids:
        return None
    row: list[Any] = [None] * len(values)
    for column, value in zip(table.stored, values, strict=True):
        # A real that is a whole number is kept as one.
        row[column] = float(value) if column in table.reals and isinstance(value, int) else value
    if table.row_id is not None:
        row[table.row_id] = row_id
    return tuple(row)


def _is_sound(table: Table, row: Row) -> bool:
    """Whether this is a row of that table, as it was written."""
    values = dict(zip(table.columns, row, strict=True))
    try:
        if table.columns[-1] == CHECKSUM:
            verified(table.name, [values[name] for name in checked_columns(table.name, table.columns)])
            return True
        match table.name:
            case "chunks":
                return isinstance(values["data"], bytes) and bool(
                    decode(identity(values["run"], values["key"]), values["data"])
                )
            case "events":
                return bool(Event(*row).expected_hash == values["hash"])
            case "folds":
                return bool(_is_segment(values["segment"])) and isinstance(values["records"], int)
    except (CorruptDataError, TypeError, UnicodeError):
        return False
    return False
