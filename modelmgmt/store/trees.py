"""Trees: a folder as one small canonical JSON manifest, `path -> digest, size, mode`, which is itself an object.

`Tree`, its encoding and `diff` are pure. `Trees` reads folders and fills them; in the store it writes only through
`Objects`. Folders with the same files have the same digest, on every machine.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from modelmgmt.errors import (
    CorruptDataError,
    InvalidTypeError,
    InvalidValueError,
    ModelmgmtError,
    NotFoundError,
    SourceChangedError,
    StoreTooNewError,
    printable,
)
from modelmgmt.store.disk import THEIRS, reads
from modelmgmt.store.folder import Found, Ignore, Mode, check_links, list_folder, new_folder
from modelmgmt.store.names import check_path, counted, shown
from modelmgmt.store.objects import Objects, check_digest

_FAMILY = "modelmgmt.tree/"
FORMAT = f"{_FAMILY}1"
LINK_LIMIT = 4_096  # bytes in the target of a symbolic link; what Linux allows

_MODES = frozenset(get_args(Mode))
_ENTRY_FIELDS = {"digest", "mode", "size"}
_TREE_FIELDS = {"entries", "format"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a tree. The object of a "link" is its target as text; `size` is that of the object, in bytes."""

    digest: str
    size: int
    mode: Mode = "file"

    def __post_init__(self) -> None:
        check_digest(self.digest)
        if type(self.size) is not int or not 0 <= self.size < 1 << 63:
            raise InvalidValueError(f"a size is a count of bytes, found {str(self.size)[:40]!r}; give an int >= 0")
        if self.mode not in _MODES:
            raise InvalidValueError(f"a mode is one of {sorted(_MODES)}, found {str(self.mode)[:40]!r}")


@dataclass(frozen=True, slots=True)
class StoredTree:
    """What `put_folder` returns: the tree's digest, the bytes of all its files together, and how many they are."""

    digest: str
    size: int
    count: int


@dataclass(frozen=True, slots=True)
class TreeDiff:
    """The paths, sorted, by which a second tree differs from a first; false when there are none."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


class Tree(Mapping[str, Entry]):
    """An unchangeable mapping of path to `Entry`, sorted by path. It holds files: an empty folder leaves no trace.

    Raises `InvalidNameError` for a path that `check_path` refuses, and `InvalidValueError` when a path is both a file
    and a folder.

    >>> tree = Tree({"b.txt": Entry("0" * 64, 5), "a/run.sh": Entry("1" * 64, 7, "executable")})
    >>> list(tree), tree.size, Tree.decode(tree.encode()) == tree
    (['a/run.sh', 'b.txt'], 12, True)
    """

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        kept = {check_path(path, "path in a tree"): entry for path, entry in entries.items()}
        for path, entry in kept.items():
            if not isinstance(entry, Entry):
                raise InvalidTypeError(f"a tree holds Entry values, found {type(entry).__name__} at {shown(path)}")
        if both := _folders(kept) & kept.keys():
            raise InvalidValueError(f"{shown(min(both))} is both a file and a folder in this tree; rename one")
        self._entries = dict(sorted(kept.items()))

    def __getitem__(self, path: str) -> Entry:
        return self._entries[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        return hash(tuple(self._entries.items()))

    def __repr__(self) -> str:
        return printable(f"<Tree of {counted(len(self), 'file')}, {self.size:,} bytes>")

    @property
    def size(self) -> int:
        """The bytes of all files together, as if none were shared."""
        return sum(entry.size for entry in self._entries.values())

    def encode(self) -> bytes:
        """Return the one canonical form: UTF-8 JSON, keys sorted, no spaces. Equal trees give equal bytes."""
        entries = {
            path: {"digest": entry.digest, "mode": entry.mode, "size": entry.size} for path, entry in self.items()
        }
        fields = {"entries": entries, "format": FORMAT}
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def decode(cls, data: bytes) -> Tree:
        """Return the tree that `encode` wrote. Pure; trusts nothing.

        Raises `CorruptDataError` for anything that `encode` does not write, unknown fields and another order included:
        a tree has one digest. Raises `StoreTooNewError` for a later format.
        """
        try:
            tree = cls(_entries(json.loads(data)))
        except (StoreTooNewError, CorruptDataError):
            raise
        except (ModelmgmtError, ValueError, RecursionError) as error:
            raise _malformed(str(error)[:200]) from error
        if tree.encode() != data:
            raise _malformed("it is not in the canonical form, or names a path twice")
        return tree


def diff(a: Tree, b: Tree) -> TreeDiff:
    """Return what `b` adds to, removes from and changes in `a`; a changed mode is a change. Pure.

    >>> one, two = Entry("1" * 64, 1), Entry("2" * 64, 1)
    >>> diff(Tree({"x": one, "y": one}), Tree({"y": two, "z": one}))
    TreeDiff(added=('z',), removed=('x',), changed=('y',))
    """
    return TreeDiff(
        added=tuple(sorted(b.keys() - a.keys())),
        removed=tuple(sorted(a.keys() - b.keys())),
        changed=tuple(path for path in a if path in b and a[path] != b[path]),
    )


class Trees:
    """Folders in and out of a store's objects.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     trees, folder = Trees(Objects(Path(name) / "store")), Path(name) / "data"
    ...     folder.mkdir()
    ...     _ = (folder / "x.csv").write_text("a,b")
    ...     stored = trees.put_folder(folder)
    ...     trees.checkout(stored.digest, Path(name) / "copy")
    ...     (Path(name) / "copy" / "x.csv").read_text(), stored.size, stored.count
    ('a,b', 3, 1)
    """

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    def put_folder(
        self,
        folder: str | os.PathLike[str],
        *,
        ignore: Ignore | None = None,
        links: Literal["keep", "follow"] = "keep",
        move: bool = False,
    ) -> StoredTree:
        """Keep every file below `folder`. On return all of it survives power loss; a file already kept costs nothing.

        `ignore` is given each path relative to `folder` and skips it, a folder with all that it holds. The store's own
        folder is left out. Of modes, only the owner's executable bit is kept.

        A symbolic link that stays inside the folder is kept as the link it is, as git does: following it would store
        its files twice and give back another folder than was put. One that leaves the folder, is absolute or leads in
        a circle is refused, because the copy would be broken or would show other files on each machine; with
        `links="follow"` every link is replaced by what it points to, which is what caches of downloaded models need.

        With `move` the files are ones that we wrote ourselves in the store's `tmp/`: they are moved, not copied.

        Each file is consistent in itself; the folder is not frozen between them. Raises `SourceChangedError` when a
        file changes or goes while it is copied, `InvalidNameError` for a name that is not UTF-8 or that
        `check_path` refuses, `InvalidValueError` for such a link and for a pipe, socket or device,
        `StoreWriteError` when our disk refuses; what can't be read raises what `open` does. No tree is kept then.
        """
        if links not in {"keep", "follow"}:
            raise InvalidValueError(f"links is 'keep' or 'follow', found {links!r}")
        follow = links == "follow"
        with reads(Path(folder), but=THEIRS):
            found = list_folder(Path(folder), ignore=ignore, follow=follow, leave_out=self.objects.root)
        pending: set[Path] = set()
        keep = self._move if move else functools.partial(self._keep, follow=follow)
        tree = Tree({path: keep(path, file, pending) for path, file in found.items()})
        self.objects.sync(pending)
        return StoredTree(self.objects.put_bytes(tree.encode()).digest, tree.size, len(tree))

    def put(self, tree: Tree) -> str:
        """Keep a tree of objects that the store holds already, and return its digest. On return it survives power loss.

        Raises `NotFoundError` when an object is missing, and `InvalidValueError` when its size is another or a link
        is one that `put_folder` would refuse.
        """
        for path, entry in tree.items():
            size = self.objects.freshen(entry.digest)
            if size is None and not self.objects.has(entry.digest):
                raise NotFoundError(
                    f"{shown(path)} names object {entry.digest}, which is not in the store; put it first"
                )
            if size not in {None, entry.size}:
                raise InvalidValueError(f"{shown(path)} has {size:,} bytes in the store, not {entry.size:,}")
        check_links(self._links(tree))
        return self.objects.put_bytes(tree.encode()).digest

    def get(self, digest: str) -> Tree:
        """Return a tree, verified. Raises `NotFoundError`, `CorruptDataError`, and `StoreTooNewError`."""
        data = self.objects.get(digest)
        try:
            return Tree.decode(data)
        except CorruptDataError as error:
            raise CorruptDataError(f"object {digest} is not a tree: {error}") from error

    def checkout(self, digest: str, target: Path) -> None:
        """Write the files of a tree, verified, to `target`: a new folder, which appears complete, or an empty one.

        Nothing is written outside it: paths are checked, files are created and never opened, and links come last, after
        every one of them was found to stay inside. On return the files survive SIGKILL; being copies, they are not
        synced. On any error what was written is removed.

        Raises `InvalidValueError` when `target` is anything else, `NotFoundError`, `CorruptDataError`, and whatever the
        disk of `target` raises.
        """
        tree = self.get(digest)
        links = self._links(tree)
        try:
            check_links(links)
        except InvalidValueError as error:
            raise CorruptDataError(f"tree {digest} can't be checked out safely: {error}") from error
        with new_folder(Path(target)) as stage:
            for folder in sorted(_folders(tree)):
                (stage / folder).mkdir()
            for path, entry in tree.items():
                if entry.mode != "link":
                    self._write(entry, stage / path)
            for path, text in links.items():
                (stage / path).symlink_to(text)

    def _keep(self, path: str, file: Found, pending: set[Path], *, follow: bool) -> Entry:
        if file.mode == "link":
            stored = self.objects.put_bytes(file.target.encode(), pending=pending)
        else:
            try:
                stored = self.objects.put_file(file.source, follow_links=follow, pending=pending)
            except FileNotFoundError as error:
                raise SourceChangedError(f"{shown(path)} was removed while its folder was copied; try again") from error
        return Entry(stored.digest, stored.size, file.mode)

    def _move(self, path: str, file: Found, pending: set[Path]) -> Entry:
        if file.mode == "link":
            return self._keep(path, file, pending, follow=False)
        stored = self.objects.adopt(file.source, pending=pending)
        return Entry(stored.digest, stored.size, file.mode)

    def _links(self, tree: Tree) -> dict[str, str]:
        return {path: self._link(path, entry) for path, entry in tree.items() if entry.mode == "link"}

    def _link(self, path: str, entry: Entry) -> str:
        if max(entry.size, self.objects.size(entry.digest)) > LINK_LIMIT:
            raise CorruptDataError(f"the symbolic link {shown(path)} has a target of more than {LINK_LIMIT:,} bytes")
        try:
            return self.objects.get(entry.digest).decode()
        except UnicodeDecodeError as error:
            raise CorruptDataError(f"the target of the symbolic link {shown(path)} is not UTF-8") from error

    def _write(self, entry: Entry, place: Path) -> None:
        size = self.objects.size(entry.digest)
        if size != entry.size:
            raise CorruptDataError(f"object {entry.digest} has {size:,} bytes, and {entry.size:,} in this tree")
        self.objects.copy_to(entry.digest, place, mode=0o777 if entry.mode == "executable" else 0o666, replace=False)


def _folders(paths: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def _entries(fields: object) -> dict[str, Entry]:
    if not isinstance(fields, dict) or not isinstance(fields.get("format"), str):
        raise _malformed("it names no format")
    written = fields["format"]
    if written != FORMAT and written.removeprefix(_FAMILY).isdecimal():
        raise StoreTooNewError(f"this tree has the format {shown(written)}, and this version reads {FORMAT}; upgrade")
    entries = fields.get("entries")
    if written != FORMAT or fields.keys() != _TREE_FIELDS or not isinstance(entries, dict):
        raise _malformed(f"the fields of {FORMAT} are {sorted(_TREE_FIELDS)}")
    return {path: _entry(path, value) for path, value in entries.items()}


def _entry(path: str, value: object) -> Entry:
    if not isinstance(value, dict) or value.keys() != _ENTRY_FIELDS:
        raise _malformed(f"the fields of an entry are {sorted(_ENTRY_FIELDS)}, and not so at {shown(path)}")
    if not isinstance(value["mode"], str):
        raise _malformed(f"the mode at {shown(path)} is not text")
    return Entry(**value)


def _malformed(why: str) -> CorruptDataError:
    return CorruptDataError(f"these bytes are not a tree: {why}; put the folder again")
