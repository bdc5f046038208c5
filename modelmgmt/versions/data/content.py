"""The content of a table in a store: columns cut into chunks, each an object, under a tree that names them all.

Writes objects, no tables. A chunk that an earlier version has is not written again; one in which few rows are others,
more or gone is written as a patch of the earlier one, which the tree then names, too. A patch is always one of a whole chunk.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelmgmt.errors import CorruptDataError, StoreReadError, StoreTooNewError
from modelmgmt.store.names import counted
from modelmgmt.store.trees import Entry, Tree, Trees
from modelmgmt.versions.data import align, pack
from modelmgmt.versions.data.columns import Column, Table, canonical, label_json, label_of
from modelmgmt.versions.data.cut import Cut, cuts, spread_of
from modelmgmt.versions.data.pack import Patch, Rows

if TYPE_CHECKING:
    from modelmgmt.store.objects import Objects

FAMILY = "modelmgmt.columns/"
FORMAT = f"{FAMILY}1"
MANIFEST = "content.json"
_PATCH = ".patch"
_LEAST_KEPT = 0.5  # of the rows of a chunk that a patch leaves as they are; below, it is written whole


def write_content(objects: Objects, table: Table, before: str | None = None) -> str:
    """Keep the content of a table and return the digest of its tree. On return it survives a power cut.

    `before` is the tree of an earlier version, to write only what is new. Raises StoreWriteError.
    """
    writer = _Writer(objects, _Earlier.read(objects, before))
    columns = [writer.column(f"columns/{place:05}", column) for place, column in enumerate(table.columns)]
    index = [writer.column(f"index/{place:05}", column) for place, column in enumerate(table.index)]
    manifest = {
        "format": FORMAT, "kind": table.kind, "rows": table.rows, "shape": table.shape, "columns": columns,
        "index": index, "container": dict(table.container),
    }  # fmt: skip
    text = json.dumps(manifest, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True).encode()
    stored = objects.put_bytes(text, pending=writer.pending)
    tree = Tree({**writer.entries, MANIFEST: Entry(stored.digest, stored.size)})
    objects.sync(writer.pending)
    return objects.put_bytes(tree.encode()).digest


def read_content(objects: Objects, digest: str) -> Table:
    """The table that `write_content` kept. Raises NotFoundError, CorruptDataError, StoreTooNewError."""
    tree = Trees(objects).get(digest)
    manifest = _manifest(objects, tree, digest)
    try:
        columns = [
            _read(objects, tree, f"columns/{place:05}", about) for place, about in enumerate(manifest["columns"])
        ]
        index = [_read(objects, tree, f"index/{place:05}", about) for place, about in enumerate(manifest["index"])]
        shape = None if manifest["shape"] is None else tuple(manifest["shape"])
        return Table(manifest["kind"], manifest["rows"], tuple(columns), tuple(index), shape, manifest["container"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptDataError(f"The content {digest} cannot be read ({error}).") from error


class Content:
    """A table that `write_content` kept, of which only some rows are read: whole chunks, but no more than it takes.

    Raises NotFoundError, CorruptDataError, StoreTooNewError, as its methods do.
    """

    def __init__(self, objects: Objects, digest: str) -> None:
        self._objects = objects
        self._tree = Trees(objects).get(digest)
        manifest = _manifest(objects, self._tree, digest)
        try:
            self.rows = int(manifest["rows"])
            self._columns = list(manifest["columns"])
            self.labels = [label_of(about["name"]) for about in self._columns]
            self._counts = [[int(rows) for rows, _ in about["chunks"]] for about in self._columns]
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptDataError(f"The content {digest} cannot be read ({error}).") from error

    def chunks(self, column: int) -> Iterator[tuple[int, Rows]]:
        """(the first row of it, a chunk) of one column, in order."""
        start = 0
        for place, count in enumerate(self._counts[column]):
            yield start, self._chunk(column, place)
            start += count

    def take(self, places: Sequence[int]) -> tuple[Column, ...]:
        """These rows, rising, of all columns; they have no categories."""
        return tuple(self.take_of(column, places) for column in range(len(self._columns)))

    def take_of(self, column: int, rising: Sequence[int]) -> Column:
        """These rows of one column."""
        places = np.asarray(rising, np.intp)
        about = self._columns[column]
        ends = np.cumsum(self._counts[column], dtype=np.intp)
        parts = []
        which = np.searchsorted(ends, places, "right")
        for place in np.unique(which).tolist():
            first = int(ends[place]) - self._counts[column][place]
            parts.append(self._chunk(column, place).take(places[which == place] - first))
        rows = pack.joined(parts) if parts else _nothing(about)
        return Column(self.labels[column], about["type"], rows.values, rows.lengths, rows.valid)

    def _chunk(self, column: int, place: int) -> Rows:
        rows = _read_chunk(self._objects, self._tree, f"columns/{column:05}", self._columns[column], place)[1]
        if rows.count != self._counts[column][place]:
            raise CorruptDataError(f"A chunk of the column {self.labels[column]!r} has {counted(rows.count, 'row')}, and "
                                   f"{self._counts[column][place]:,} were kept.")  # fmt: skip
        return rows


@dataclass
class _Earlier:
    """The columns of an earlier version: where each is in its tree."""

    objects: Objects
    tree: Tree = field(default_factory=lambda: Tree({}))
    columns: dict[tuple[Any, ...], tuple[str, Mapping[str, Any]]] = field(default_factory=dict)

    @classmethod
    def read(cls, objects: Objects, digest: str | None) -> _Earlier:
        if digest is None:
            return cls(objects)
        try:
            tree = Trees(objects).get(digest)
            manifest = _manifest(objects, tree, digest)
        except (CorruptDataError, KeyError, StoreReadError, StoreTooNewError):
            return cls(objects)  # an earlier version that cannot be read is not built upon
        found = {}
        for group in ("columns", "index"):
            seen: Counter[str] = Counter()
            for place, about in enumerate(manifest[group]):
                name = json.dumps(about["name"])
                for path, inner in _with_categories(f"{group}/{place:05}", about):
                    found[_identity(path, name, seen[name], inner)] = (path, inner)
                seen[name] += 1
        return cls(objects, tree, found)

    def rows(self, path: str, about: Mapping[str, Any], place: int) -> tuple[Rows, Rows, bool]:
        """(the whole chunk, what it stands for after its patch, whether it has one)"""
        return _read_chunk(self.objects, self.tree, path, about, place)


def _with_categories(path: str, about: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, about
    if about["categories"] is not None:
        yield f"{path}.categories", about["categories"]


def _identity(path: str, name: str, place: int, about: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes two columns of two versions one: group, name (the place among those of one name), type."""
    kind = (about["type"], about["dtype"], tuple(about["item"]), about["variable"])
    return (path.partition("/")[0], path.endswith(".categories"), name, place, *kind)


class _Writer:
    """Puts chunks and remembers what the tree is to name."""

    def __init__(self, objects: Objects, earlier: _Earlier) -> None:
        self.objects = objects
        self.earlier = earlier
        self.pending: set[Path] = set()
        self.entries: dict[str, Entry] = {}
        self._seen: Counter[tuple[str, str]] = Counter()

    def column(self, path: str, column: Column, name: Any = None) -> dict[str, Any]:
        """Keep a column. Returns what the manifest says of it."""
        name = label_json(column.label) if name is None else name
        about: dict[str, Any] = {
            "name": label_json(column.label), "type": column.type, "dtype": column.values.dtype.str,
            "item": [] if column.lengths is not None else list(column.values.shape[1:]), "rows": column.rows,
            "variable": column.lengths is not None, "categories": None,
        }  # fmt: skip
        key = (path.partition("/")[0], json.dumps(name))
        old = self.earlier.columns.get(_identity(path, json.dumps(name), self._seen[key], about))
        about["spread"] = old[1]["spread"] if old else spread_of(column)
        about["chunks"] = self._chunks(path, column, about["spread"], old)
        if column.categories is not None:
            about["categories"] = self.column(f"{path}.categories", column.categories, name)
        if not path.endswith(".categories"):
            self._seen[key] += 1
        return about

    def _chunks(
        self, path: str, column: Column, spread: int, old: tuple[str, Mapping[str, Any]] | None
    ) -> list[list[Any]]:
        before = [(rows, int(anchor, 16)) for rows, anchor in old[1]["chunks"]] if old else []
        marks = column.offsets() if column.lengths is not None else None
        kept = []
        for place, cut in enumerate(cuts(column, spread, before)):
            rows = _slice(column, cut, marks)
            name = f"{path}/{place:06}"
            if old is None or cut.like is None or not self._as_before(name, rows, old, cut.like):
                self._put(name, pack.encode(rows))
            kept.append([cut.end - cut.start, f"{cut.anchor:016x}"])
        return kept

    def _as_before(self, name: str, rows: Rows, old: tuple[str, Mapping[str, Any]], place: int) -> bool:
        """Name the chunk of the earlier version, with a patch if need be. False when a whole one is better."""
        try:
            whole, patched, has_patch = self.earlier.rows(*old, place)
        except (CorruptDataError, KeyError, StoreReadError):
            return False
        path = f"{old[0]}/{place:06}"
        if rows.count == patched.count and not len(rows.differing(patched)):
            self._name(name, self.earlier.tree[path])
            if has_patch:
                self._name(name + _PATCH, self.earlier.tree[path + _PATCH])
            return True
        mine, theirs = align.matches(whole, rows)
        if len(theirs) < _LEAST_KEPT * rows.count:
            return False
        self._name(name, self.earlier.tree[path])
        dropped, added = align.others(mine, whole.count), align.others(theirs, rows.count)
        if len(dropped) or len(added):
            self._put(name + _PATCH, pack.encode(Patch(dropped, added, rows.take(added))))
        return True

    def _name(self, path: str, entry: Entry) -> None:
        """An object that is there; made young, so that a collector of garbage spares it until the tree names it."""
        self.objects.freshen(entry.digest)
        self.entries[path] = entry

    def _put(self, path: str, data: bytes) -> None:
        stored = self.objects.put_bytes(data, pending=self.pending)
        self.entries[path] = Entry(stored.digest, stored.size)


def _slice(column: Column, cut: Cut, marks: np.ndarray[Any, Any] | None) -> Rows:
    valid = None if column.valid is None else column.valid[cut.start : cut.end]
    if valid is not None and valid.all():
        valid = None
    if column.lengths is None or marks is None:
        return Rows(canonical(column.values[cut.start : cut.end]), None, valid)
    return Rows(column.values[marks[cut.start] : marks[cut.end]], column.lengths[cut.start : cut.end], valid)


def _manifest(objects: Objects, tree: Tree, digest: str) -> dict[str, Any]:
    if MANIFEST not in tree:
        raise CorruptDataError(f"The tree {digest} is no content of a table: it has no {MANIFEST}.")
    try:
        manifest: dict[str, Any] = json.loads(objects.get(tree[MANIFEST].digest))
        written = str(manifest["format"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptDataError(f"The content {digest} cannot be read ({error}).") from error
    if written != FORMAT:
        if written.startswith(FAMILY) and written.removeprefix(FAMILY).isdecimal():
            raise StoreTooNewError(
                f"This content is written as {written!r}, and this version reads {FORMAT!r}: upgrade."
            )
        raise CorruptDataError(f"Content of the format {written!r} cannot be read, only {FORMAT!r}.")
    return manifest


def _read(objects: Objects, tree: Tree, path: str, about: Mapping[str, Any]) -> Column:
    parts = [_read_chunk(objects, tree, path, about, place)[1] for place in range(len(about["chunks"]))]
    categories = None
    if about["categories"] is not None:
        categories = _read(objects, tree, f"{path}.categories", about["categories"])
    rows = pack.joined(parts) if parts else _nothing(about)
    if rows.count != about["rows"]:
        raise CorruptDataError(
            f"The column {about['name']!r} has {counted(rows.count, 'row')}, and {about['rows']:,} were kept."
        )
    return Column(label_of(about["name"]), about["type"], rows.values, rows.lengths, rows.valid, categories)


def _nothing(about: Mapping[str, Any]) -> Rows:
    if about["variable"]:
        return Rows(np.zeros(0, about["dtype"]), np.zeros(0, "<i8"))
    return Rows(np.zeros((0, *about["item"]), about["dtype"]))


def _read_chunk(
    objects: Objects, tree: Tree, path: str, about: Mapping[str, Any], place: int
) -> tuple[Rows, Rows, bool]:
    name = f"{path}/{place:06}"
    item: Sequence[int] = about["item"]
    whole = pack.decode(objects.get(tree[name].digest), about["dtype"], tuple(item))
    if isinstance(whole, Patch):
        raise CorruptDataError(f"The chunk {name} is a patch.")
    if name + _PATCH not in tree:
        return whole, whole, False
    patch = pack.decode(objects.get(tree[name + _PATCH].digest), about["dtype"], tuple(item))
    if not isinstance(patch, Patch):
        raise CorruptDataError(f"The patch {name} is none.")
    return whole, patch.of(whole), True
