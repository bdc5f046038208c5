"""The files that this process executes and no package has installed, as they were when it was first seen to do so.

Reads the project's files, and the files in `tmp/` that say what was known of them; `remember` alone writes those. A
file is read and hashed once: while neither its module is loaded again, nor, in another process, its stat has changed,
its digest is known.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelmgmt.errors import InvalidNameError, warn
from modelmgmt.store.disk import token
from modelmgmt.store.names import check_path
from modelmgmt.store.secrets import replaced
from modelmgmt.store.trees import Entry, Tree
from modelmgmt.versions import bytecode, notebook
from modelmgmt.versions.left_out import MAX_FILES, MAX_TOTAL_BYTES, Note, why_not, why_replaced
from modelmgmt.versions.project import Imported, Project, process_start, relative

_RACY_S = 2.0  # a file that was written so shortly before it was read may be written again without a newer time
_LOADING_S = 1.0  # what changed so shortly after the process began was hardly loaded before
_SOURCES = (".py", ".pyw", ".pyx", ".ipy")
_VERSION_CONTROL = frozenset({".git", ".hg", ".svn", ".bzr", "_darcs", ".jj"})
_RULES = 1
"""Goes up when `secrets.txt` finds more: what earlier rules let pass is looked at again."""

Signature = list[int]
"""Of a file: device, inode, size, modification and change time in nanoseconds."""

Known = dict[str, list[Any]]
"""path -> signature and digest"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is executed, at one moment."""

    root: str
    cwd: str
    """The working folder, relative to the root where it is below it."""
    script: str | None
    tree: bytes
    """The manifest, as `Tree.encode` writes it."""
    tree_digest: str
    files: Mapping[str, str]
    """path in the tree -> where it is on this disk; without the cells of a notebook"""
    entries: Mapping[str, Entry]
    contents: Mapping[str, bytes]
    """digest -> bytes, of what was read since the snapshot before"""
    left_out: tuple[Note, ...]
    repository: Path | None
    outside: Mapping[str, str]
    """a folder outside of the project that modules were imported from -> its name in the tree"""
    keeps_secrets: bool
    """Whether what looks like a secret is in it as it was."""


@dataclass
class Sources:
    """What this process has executed of one project. Not safe to share between threads."""

    project: Project
    keeps_secrets: bool = False
    """Whether what looks like a secret is kept as it is."""
    imported: Imported = field(init=False)
    known: Known = field(default_factory=dict)
    """From this process or an earlier one."""
    _entries: dict[str, Entry] = field(default_factory=dict)
    _files: dict[str, str] = field(default_factory=dict)
    _notes: dict[str, str] = field(default_factory=dict)
    _fresh: dict[str, bytes] = field(default_factory=dict)
    _chosen: dict[str, Signature] = field(default_factory=dict)
    _secrets: set[str] = field(default_factory=set)
    """The files in which there are some."""
    _total: int = 0
    _last: Snapshot | None = None
    _place: tuple[str, str] = ("", "")
    _began: float = field(default_factory=process_start)

    def __post_init__(self) -> None:
        self.imported = Imported(self.project.root)
        if self.project.script is None and notebook.executed_cells() is None:
            self._notes["the script"] = "it was no file of this project: an interactive session, -c, or a tool"

    def snapshot(self, chosen: Sequence[str] = ()) -> Snapshot:
        """The state of now. `chosen` are patterns, relative to the root, of more files: their state on disk counts."""
        news = self.imported.news()
        if self._last is None and self.project.script is not None:
            news["__main__"] = self.project.script
        changed = [self._take(path, module=module) for module, path in news.items()]
        changed += [self._choose(path) for path in self._matching(chosen)]
        changed.append(self._take_cells())
        if self._last is None or any(changed) or self._last.cwd != self._cwd():
            self._last = self._made()
        return self._last

    def settled(self, kept: Snapshot) -> None:
        """What that snapshot had read is kept now: it need not be held in memory.

        But for the cells, which no file has: another store of this process may need them, too.
        """
        cells = self._entries.get(notebook.PATH)
        for digest in kept.contents:
            if cells is None or digest != cells.digest:
                self._fresh.pop(digest, None)
        if self._last is not None:
            self._last = replace(self._last, contents=dict(self._fresh))

    def _made(self) -> Snapshot:
        tree = Tree(self._entries).encode()
        script = relative(self.project.script, self.project.root) if self.project.script else None
        if script is None and notebook.PATH in self._entries:
            script = notebook.PATH
        return Snapshot(
            self.project.root, self._cwd(), script if script in self._entries else None, tree,
            hashlib.sha256(tree).hexdigest(), dict(self._files), dict(self._entries), dict(self._fresh),
            tuple(self._notes.items()), self.project.repository, dict(self.imported.outside), self.keeps_secrets,
        )  # fmt: skip

    def _cwd(self) -> str:
        folder, cwd = self._place
        if folder != self.project.folder:
            here = os.path.realpath(self.project.folder)
            cwd = "." if here == self.project.root else relative(here, self.project.root) or here
            self._place = self.project.folder, cwd
        return cwd

    def _matching(self, chosen: Sequence[str]) -> list[str]:
        root = Path(self.project.root)
        found: list[str] = []
        for pattern in chosen:
            paths = [path for path in sorted(root.glob(pattern)) if path.is_file()]
            if not paths:
                self._notes[pattern] = "no file of the project answers to it"
            found += [str(path) for path in paths if not self._is_of_a_tool(root, path)]
        return found

    def _is_of_a_tool(self, root: Path, path: Path) -> bool:
        """Whether a file belongs to version control or to a store: `**/*` is not meant to keep those."""
        folder = root
        for part in path.relative_to(root).parts:
            folder /= part
            if part in _VERSION_CONTROL:
                self._notes[str(folder.relative_to(root))] = "it belongs to version control"
                return True
            if folder != path and (folder / "store.db").is_file():
                self._notes[str(folder.relative_to(root))] = "it is a store"
                return True
        return False

    def _choose(self, path: str) -> bool:
        try:
            signature = _signature(os.stat(path))  # noqa: PTH116 - as below
        except OSError:
            return self._take(path)
        if self._chosen.get(path) == signature:
            return False
        self._chosen[path] = signature
        return self._take(path, is_source=True, is_chosen=True)

    def _take_cells(self) -> bool:
        cells = notebook.executed_cells()
        if cells is None or self.project.script is not None:  # a script that IPython runs is a script
            return False
        data = self._without_secrets(notebook.PATH, notebook.as_script(cells))
        entry = Entry(hashlib.sha256(data).hexdigest(), len(data))
        if self._entries.get(notebook.PATH) == entry:
            return False
        self._entries[notebook.PATH] = entry
        self._fresh[entry.digest] = data
        return True

    def _take(self, path: str, *, module: str | None = None, is_source: bool = False, is_chosen: bool = False) -> bool:
        """Add a file, or say why not; whether that changes the snapshot."""
        name = relative(path, self.project.root)
        if name is None and module is not None:
            name = self.imported.name_outside(module, path)
        if name is None:
            return False
        try:
            entry = self._entry(name, path, is_source=is_source, is_chosen=is_chosen)
        except NotADirectoryError:
            entry = f"it was imported from an archive, {path}, which is not kept"
        except OSError as error:
            entry = error.strerror or str(error)
        if isinstance(entry, str):
            is_news = self._notes.get(name) != entry
            self._notes[name] = entry
            return is_news
        before = self._entries.get(name)
        if before == entry:
            return False
        self._entries[name], self._files[name] = entry, path
        self._total += entry.size - (before.size if before else 0)
        return True

    def _entry(self, name: str, path: str, *, is_source: bool, is_chosen: bool) -> Entry | str:
        try:
            check_path(name, "file of the project")
        except InvalidNameError:
            return "its name is not one that can be kept everywhere"
        if not is_source and not name.endswith(_SOURCES):
            return "it is compiled, not source"
        about = os.stat(path)  # noqa: PTH116 - the text is at hand, and there may be thousands
        if not stat.S_ISREG(about.st_mode):
            return "it is no file"
        why = why_not(name, about.st_size) or self._no_room(name, about.st_size)
        if why is not None:
            return why
        if about.st_mtime > self._began + _LOADING_S and not is_chosen:
            self._notes[name] = "kept, but it changed after the process began: what was executed may be older"
        digest, size = self._digest(name, path, about)
        return Entry(digest, size, "executable" if about.st_mode & 0o100 else "file")

    def _digest(self, name: str, path: str, about: os.stat_result) -> tuple[str, int]:
        """Digest and size of what is kept of a file."""
        signature = _signature(about)
        known = self.known.get(path)
        if known is not None and known[0] == signature:
            return str(known[1]), about.st_size
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            data = file.read(about.st_size + 1)
        if len(data) != about.st_size:
            raise OSError(0, "it changed while it was read")
        kept = self._without_secrets(name, data)
        digest = hashlib.sha256(kept).hexdigest()
        self._fresh[digest] = kept
        if bytecode.is_of_another_text(path, about, data):
            self._notes[name] = "kept, but its bytecode is older than its text: what was executed is the text before"
        elif name not in self._secrets and time.time() - max(about.st_mtime, about.st_ctime) > _RACY_S:
            self.known[path] = [signature, digest]
        return digest, len(kept)

    def _without_secrets(self, name: str, data: bytes) -> bytes:
        """What is kept of a file: placeholders for the secrets in it, which is said once."""
        kept, found = replaced(data, name)
        if not found:
            self._secrets.discard(name)
            return data
        self._secrets.add(name)
        if self.keeps_secrets:
            return data
        why = why_replaced(found)
        if self._notes.get(name) != why:
            self._notes[name] = why
            warn(
                f"{name} is {why}. Take secrets from environment variables, or pass code_secrets='keep' to start_run, "
                "which keeps them."
            )
        return kept

    def _no_room(self, name: str, size: int) -> str | None:
        before = self._entries.get(name)
        if before is None and len(self._entries) >= MAX_FILES:
            return f"there are more than {MAX_FILES:,} files"
        if self._total + size - (before.size if before else 0) > MAX_TOTAL_BYTES:
            return f"all files together have more than {MAX_TOTAL_BYTES:,} bytes"
        return None


def recall(folder: Path, root: str) -> Known:
    """What earlier processes knew of the files below `root`; nothing when it can't be read."""
    try:
        content: Any = json.loads(_place(folder, root).read_bytes())
    except (OSError, ValueError):
        return {}
    is_sound = isinstance(content, dict) and all(
        type(known) is list and len(known) == 2 and type(known[1]) is str and len(known[1]) == 64
        for known in content.values()
    )
    return content if is_sound else {}


def remember(folder: Path, root: str, known: Known) -> None:
    """Write down what is known of the files, for the next process. Losing it costs a few milliseconds."""
    place = _place(folder, root)
    part = place.with_suffix(f".{token()}.part")
    with suppress(OSError):
        place.parent.mkdir(exist_ok=True)
        part.write_text(json.dumps(known), "utf-8")
        part.replace(place)


def _place(folder: Path, root: str) -> Path:
    return folder / f"code-{_RULES}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:16]}.json"


def _signature(about: os.stat_result) -> Signature:
    return [about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns]
