"""Artifacts: files, folders, text, tables, pictures of a run. Alone writes the table `artifacts`.

The object is written first and the row that names it second, so an artifact is there whole or not at all.
"""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import Enum
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError
from modelmgmt.store.disk import THEIRS, reads
from modelmgmt.store.names import among, check_path
from modelmgmt.store.rows import row_crc, verified
from modelmgmt.store.times import from_iso, now_iso

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

TREES = frozenset({"folder", "model"})
"""The kinds whose object is a tree."""

COLUMNS = "run, name, kind, digest, size, logged_at, crc"


@dataclass(frozen=True, slots=True)
class Kept:
    """An object in the store, and what it is to the run."""

    name: str
    kind: str
    digest: str
    size: int


@dataclass(frozen=True, repr=False)
class Artifact:
    """One artifact of a run. Reading verifies its digest and raises CorruptDataError when the bytes have changed."""

    _kernel: Kernel
    name: str
    kind: str
    digest: str
    size: int
    logged_at: datetime

    def __repr__(self) -> str:
        return f"<Artifact {self.name}: {self.kind}, {self.size:,} bytes, {self.digest[:12]}>"

    def read_bytes(self) -> bytes:
        """The content of a file; a folder has none of its own."""
        if self.kind in TREES:
            raise InvalidTypeError(f"The artifact {self.name!r} is a {self.kind}, of several files: use save(path).")
        return self._kernel.objects.get(self.digest)

    def read_text(self) -> str:
        """The content as UTF-8 text."""
        return self.read_bytes().decode("utf-8", "surrogatepass")

    def load(self) -> Any:
        """What was logged: text as str, a dict as a dict, a table as a DataFrame, an image as a uint8 array, else bytes."""
        match self.kind:
            case "model":
                raise InvalidTypeError(f"The artifact {self.name!r} is a model: mm.load_model('run:<id>/{self.name}').")
            case "text":
                return self.read_text()
            case "dict":
                return json.loads(self.read_bytes())
            case "table":
                from modelmgmt.tracking.table_file import decode

                return decode(self.read_bytes())
            case "image":
                return _image(self.read_bytes())
            case _:
                return self.read_bytes()

    def save(self, path: str | Path) -> Path:
        """Write the file or folder to `path`, which must not exist yet (an existing folder takes a file under its own
        name). Returns the path written."""
        target = Path(path)
        if self.kind in TREES:
            from modelmgmt.store.trees import Trees

            Trees(self._kernel.objects).checkout(self.digest, target)
            return target
        if target.is_dir():
            target /= self.name.rpartition("/")[2]
        if target.exists():
            raise InvalidValueError(f"{target} exists: choose another path, or remove it first.")
        self._kernel.objects.copy_to(self.digest, target)
        return target

    def _repr_png_(self) -> bytes | None:
        return self.read_bytes() if self.kind in ("image", "figure") and self.name.endswith(".png") else None


def keep_path(kernel: Kernel, source: Path, name: str | None) -> Kept:
    """Keep a file or a folder. Raises FileNotFoundError, SourceChangedError, StoreReadError, StoreWriteError."""
    with reads(source, but=THEIRS):
        is_folder = stat.S_ISDIR(source.stat().st_mode)
        # Strict: a link that can not be read now would be kept under its own name, not that of what it points to.
        name = check_path(source.resolve(strict=True).name if name is None else name, "artifact")
    if is_folder:
        from modelmgmt.store.trees import Trees

        folder = Trees(kernel.objects).put_folder(source)
        return Kept(name, "folder", folder.digest, folder.size)
    stored = kernel.objects.put_file(source)
    return Kept(name, "file", stored.digest, stored.size)


def keep_bytes(kernel: Kernel, data: bytes, name: str, kind: str) -> Kept:
    """Keep bytes under a name that was checked. Raises StoreWriteError."""
    stored = kernel.objects.put_bytes(data)
    return Kept(name, kind, stored.digest, stored.size)


def dict_bytes(content: object) -> bytes:
    """A mapping or list as JSON, readable. Raises InvalidTypeError."""
    if not isinstance(content, (Mapping, list, tuple)):
        raise InvalidTypeError(f"log_dict keeps a mapping or a list, and {type(content).__name__} was given.")
    try:
        return json.dumps(content, indent=2, ensure_ascii=False, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidTypeError(
            f"This can not be kept as JSON ({error}): use numbers, text, lists, mappings."
        ) from error


def write(connection: sqlite3.Connection, run: str, kept: Kept) -> None:
    """Name an object as an artifact of the run; the same name again takes the new content."""
    row = (run, kept.name, kept.kind, kept.digest, kept.size, now_iso())
    connection.execute(
        f"INSERT OR REPLACE INTO artifacts ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, row_crc("artifacts", row))
    )


def read(kernel: Kernel, run: str) -> dict[str, Artifact]:
    """The artifacts of a run, by name."""
    with kernel.database.reading() as connection:
        rows = connection.execute(f"SELECT {COLUMNS} FROM artifacts WHERE run = ? ORDER BY name", (run,)).fetchall()
    found = (verified("artifacts", row) for row in rows)
    return {
        name: Artifact(kernel, name, kind, digest, size, from_iso(logged_at))
        for _, name, kind, digest, size, logged_at in found
    }


def find(artifacts: Mapping[str, Artifact], name: str, run: str) -> Artifact:
    """The artifact of that name. Raises NotFoundError with the names there are."""
    if name in artifacts:
        return artifacts[name]
    # log_table(x, "rows") has kept rows.table.json, and "rows" is what the caller remembers.
    completed = [full for full in artifacts if full.startswith(f"{name}.")]
    if len(completed) == 1:
        return artifacts[completed[0]]
    raise NotFoundError(f"The run {run} has no artifact {name!r}; it has: {among(name, artifacts)}")


def _plain(value: Any) -> Any:
    """What JSON has for a value that it does not know."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"a {type(value).__name__} is no JSON value")


def _image(data: bytes) -> Any:
    import io

    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)
