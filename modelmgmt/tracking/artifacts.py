"""Artifacts: files, folders, text, tables, pictures of a run. Alone writes the table `artifacts`.

The object is written first and the row that names it second, so an artifact is there whole or not at all.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from modelmgmt.errors import (
    CorruptDataError,
    InvalidTypeError,
    InvalidValueError,
    MissingExtraError,
    NotFoundError,
    printable,
)
from modelmgmt.store.disk import THEIRS, reads
from modelmgmt.store.names import among, check_path
from modelmgmt.store.rows import row_crc, verified
from modelmgmt.store.times import from_iso, now_iso
from modelmgmt.versions.data.values import REPAIR, advice, entries, plain

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

TREES = frozenset({"folder", "model", "page"})
"""The kinds whose object is a tree. A page is one file: what the files of its tree hold, one after the other."""

COLUMNS = "run, name, kind, digest, size, logged_at, step, caption, crc"

_FLOAT, _PAIRS = "$float", "$pairs"
"""What JSON has no form for: {"$float": "nan"}, and a mapping with a key that is no text, {"$pairs": [[key, value], ...]}."""
_YAML = (".yaml", ".yml")
_IMAGE = re.compile(r"(?:/step-(?P<step>-?\d+))?(?:/(?P<place>\d+))?")
_IMAGE_END = re.compile(rf"{_IMAGE.pattern}$")


@dataclass(frozen=True, slots=True)
class Kept:
    """An object in the store, and what it is to the run."""

    name: str
    kind: str
    digest: str
    size: int
    step: int | None = None
    caption: str | None = None


@dataclass(frozen=True, repr=False)
class Artifact:
    """One artifact of a run. Reading verifies its digest and raises CorruptDataError when the bytes have changed.

    `step` and `caption` are those of an image, where it was logged with them.
    """

    _kernel: Kernel
    name: str
    kind: str
    digest: str
    size: int
    logged_at: datetime
    step: int | None = None
    caption: str | None = None

    def __repr__(self) -> str:
        return printable(f"<Artifact {self.name}: {self.kind}, {self.size:,} bytes, {self.digest[:12]}>")

    def read_bytes(self) -> bytes:
        """The content of a file; a folder has none of its own."""
        if self.kind == "page":
            from modelmgmt.store.trees import Trees

            parts = Trees(self._kernel.objects).get(self.digest)
            return b"".join(self._kernel.objects.get(parts[path].digest) for path in sorted(parts))
        if self.kind in TREES:
            raise InvalidTypeError(f"The artifact {self.name!r} is a {self.kind}, of several files: use save(path).")
        return self._kernel.objects.get(self.digest)

    def read_text(self) -> str:
        """The content as UTF-8 text."""
        return self.read_bytes().decode("utf-8", "surrogatepass")

    def load(self) -> Any:
        """What was logged: text as str, a dict as a dict, a table as a DataFrame, an image as an array, else bytes.

        The array of an image is `(height, width)` or `(height, width, 3 or 4)`, uint8; uint16 for 16 bits of grey; the
        numbers of the classes for a mask. Raises MissingExtraError where the package that reads the format is missing,
        CorruptDataError when the content is not of its kind; `read_bytes` gives it as it is.
        """
        if self.kind == "model":
            raise InvalidTypeError(f"The artifact {self.name!r} is a model: mm.load_model('run:<id>/{self.name}').")
        data = self.read_bytes()
        try:
            return _value_of(data, self.kind, self.name)
        except (MissingExtraError, MemoryError):
            raise
        except Exception as error:
            what = (
                "is nested too deep."
                if isinstance(error, RecursionError)
                else f"cannot be read: {str(error).rstrip('.')}."
            )
            raise CorruptDataError(
                f"The artifact {self.name!r} was logged as {self.kind}, and its content {what} read_bytes() gives it."
            ) from error

    def save(self, path: str | Path) -> Path:
        """Write the file or folder to `path`, which must not exist yet (an existing folder takes a file under its own
        name). Returns the path written."""
        target = Path(path)
        if self.kind in TREES and self.kind != "page":
            from modelmgmt.store.trees import Trees

            Trees(self._kernel.objects).checkout(self.digest, target)
            return target
        if target.is_dir():
            target /= self.name.rpartition("/")[2]
        if target.exists():
            raise InvalidValueError(f"{target} exists: choose another path, or remove it first.")
        if self.kind == "page":
            target.write_bytes(self.read_bytes())
        else:
            self._kernel.objects.copy_to(self.digest, target)
        return target

    def _repr_png_(self) -> bytes | None:
        return self._picture(".png")

    def _repr_jpeg_(self) -> bytes | None:
        return self._picture(".jpg", ".jpeg")

    def _repr_svg_(self) -> str | None:
        picture = self._picture(".svg")
        return None if picture is None else picture.decode()

    def _picture(self, *suffixes: str) -> bytes | None:
        is_one = self.kind in ("image", "figure") and self.name.lower().endswith(suffixes)
        return self.read_bytes() if is_one else None


def keep_path(kernel: Kernel, source: Path, name: str | None) -> Kept:
    """Keep a file or a folder. Raises FileNotFoundError, SourceChangedError, StoreReadError, StoreWriteError."""
    with reads(source, but=THEIRS):
        is_folder = stat.S_ISDIR(source.stat().st_mode)
        if name is None:
            # The name by which the caller knows it, also of a symbolic link; "." and ".." have none of their own.
            name = source.name if source.name not in {"", ".."} else source.resolve(strict=True).name
        name = check_path(name, "artifact")
    if is_folder:
        from modelmgmt.store.trees import Trees

        folder = Trees(kernel.objects).put_folder(source)
        return Kept(name, "folder", folder.digest, folder.size)
    stored = kernel.objects.put_file(source)
    return Kept(name, "file", stored.digest, stored.size)


def keep_bytes(
    kernel: Kernel, data: bytes, name: str, kind: str, step: int | None = None, caption: str | None = None
) -> Kept:
    """Keep bytes under a name that was checked; the long scripts of a page once for all pages. Raises StoreWriteError."""
    if kind == "figure" and name.lower().endswith((".html", ".htm")):
        from modelmgmt.store.trees import Entry, Tree, Trees
        from modelmgmt.tracking.images import split_page

        parts = split_page(data)
        if len(parts) > 1:
            stored = [kernel.objects.put_bytes(part) for part in parts]
            tree = {f"{place:04}": Entry(part.digest, part.size, "file") for place, part in enumerate(stored)}
            return Kept(name, "page", Trees(kernel.objects).put(Tree(tree)), len(data))
    stored_whole = kernel.objects.put_bytes(data)
    return Kept(name, kind, stored_whole.digest, stored_whole.size, step, caption)


def dict_file(content: object, name: str) -> tuple[bytes, str]:
    """A mapping or list as a file, and the whole name: YAML where the name says so, else JSON.

    Raises InvalidTypeError, MissingExtraError.
    """
    data = dict_bytes(content)
    if not name.lower().endswith(_YAML):
        return data, name if name.lower().endswith(".json") else f"{name}.json"
    found = dict_of(data)
    if _has_tuples(found):
        raise InvalidTypeError(f"YAML has no key of several values, as {name!r} would hold: name it .json.")
    text: str = _yaml(name).safe_dump(found, sort_keys=False, allow_unicode=True)
    return text.encode(), name


def _value_of(data: bytes, kind: str, name: str) -> Any:
    match kind:
        case "text":
            return data.decode("utf-8", "surrogatepass")
        case "dict":
            return load_dict(data, name)
        case "table":
            from modelmgmt.tracking.table_file import load

            return load(data, name)
        case "image":
            from modelmgmt.tracking.images import load_image

            return load_image(data)
        case _:
            return data


def load_dict(data: bytes, name: str) -> Any:
    """What `dict_file` was given. Raises MissingExtraError."""
    return _yaml(name).safe_load(data) if name.lower().endswith(_YAML) else dict_of(data)


def _yaml(name: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        message = f"{name!r} is a YAML file, which takes PyYAML: pip install pyyaml, or name it .json."
        raise MissingExtraError(message) from error
    return yaml


def dict_bytes(content: object) -> bytes:
    """A mapping or list as JSON, readable. Raises InvalidTypeError, InvalidValueError."""
    given = plain(content)
    if not isinstance(given, (Mapping, list)):
        raise InvalidTypeError(f"log_dict keeps a mapping or a list, and {type(content).__name__} was given.")
    try:
        return json.dumps(_json(given, "content"), indent=2, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError as error:
        raise InvalidValueError(
            "The content is nested too deep, or contains itself: flatten it, or remove the cycle."
        ) from error
    except UnicodeEncodeError as error:
        text = error.object[max(0, error.start - 20) : error.end + 20]
        raise InvalidValueError(f"The text {text!r} is not valid Unicode ({error.reason}): {REPAIR}.") from error


def dict_of(data: bytes) -> Any:
    """What `dict_bytes` was given, tuples as lists, and all that JSON has no form for as what stands for it."""
    return from_json(json.loads(data))


def from_json(value: Any) -> Any:
    """What JSON has no form for, out of the form that `dict_bytes` gave it."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if list(value) == [_FLOAT]:
        return float(value[_FLOAT])
    if list(value) == [_PAIRS]:
        return {_key(from_json(key)): from_json(item) for key, item in value[_PAIRS]}
    return {key: from_json(item) for key, item in value.items()}


def write(connection: sqlite3.Connection, run: str, kept: Kept) -> None:
    """Name an object as an artifact of the run; the same name again takes the new content."""
    row = (run, kept.name, kept.kind, kept.digest, kept.size, now_iso(), kept.step, kept.caption)
    marks = ", ".join("?" * (len(row) + 1))
    connection.execute(
        f"INSERT OR REPLACE INTO artifacts ({COLUMNS}) VALUES ({marks})", (*row, row_crc("artifacts", row))
    )


def forget_images(connection: sqlite3.Connection, run: str, name: str, step: int | None) -> None:
    """Take away what an earlier call logged as these images: its list may have been longer."""
    from modelmgmt.tracking.images import split_name

    stem, suffix = split_name(name)
    pattern = re.compile(
        re.escape(stem) + ("" if step is None else f"/step-{step}") + r"(/\d+)?" + re.escape(suffix or ".png")
    )
    rows = connection.execute("SELECT name FROM artifacts WHERE run = ? AND kind = 'image' AND step IS ?", (run, step))
    for (full,) in rows.fetchall():
        if pattern.fullmatch(full):
            connection.execute("DELETE FROM artifacts WHERE run = ? AND name = ?", (run, full))


def read(kernel: Kernel, run: str) -> dict[str, Artifact]:
    """The artifacts of a run, by name."""
    with kernel.database.reading() as connection:
        rows = connection.execute(f"SELECT {COLUMNS} FROM artifacts WHERE run = ? ORDER BY name", (run,)).fetchall()
    found = (verified("artifacts", row) for row in rows)
    return {
        name: Artifact(kernel, name, kind, digest, size, from_iso(logged_at), step, caption)
        for _, name, kind, digest, size, logged_at, step, caption in found
    }


def find(artifacts: Mapping[str, Artifact], name: str, run: str) -> Artifact:
    """The artifact of that name. Raises NotFoundError with the names there are."""
    if name in artifacts:
        return artifacts[name]
    # What is typed and what a file system gives may be the same letters in another form of Unicode.
    alike = [full for full in artifacts if isinstance(name, str) and normalize("NFC", full) == normalize("NFC", name)]
    if len(alike) == 1:
        return artifacts[alike[0]]
    # log_table(x, "rows") has kept rows.table.json, and "rows" is what the caller remembers.
    completed = [full for full in artifacts if full.startswith(f"{name}.")]
    if len(completed) == 1:
        return artifacts[completed[0]]
    if isinstance(name, str) and images_of(artifacts, name):
        raise NotFoundError(f"The run {run} has several images {name!r}: run.images({name!r}) gives them.")
    raise NotFoundError(f"The run {run} has no artifact {name!r}; it has: {among(name, artifacts)}")


def image_names(name: str, count: int | None, step: int | None) -> list[str]:
    """What the images of one call are called: `name.png`, or in a list `name/0.png`, ...; with a step, below it.

    >>> image_names("samples.jpg", 2, 3), image_names("sample", None, 3)
    (['samples/step-3/0.jpg', 'samples/step-3/1.jpg'], ['sample/step-3.png'])
    """
    from modelmgmt.tracking.images import split_name

    stem, suffix = split_name(name)
    parts = [stem, *([f"step-{step}"] if step is not None else [])]
    names = [*parts] if count is None else [*parts, "{}"]
    return ["/".join(names).replace("{}", str(place)) + (suffix or ".png") for place in range(count or 1)]


def logged_name(artifact: Artifact) -> str:
    """The name that an artifact was logged under: of an image without its step and its place in a list."""
    from modelmgmt.tracking.images import split_name

    if artifact.kind != "image":
        return artifact.name
    stem, suffix = split_name(artifact.name)
    return _IMAGE_END.sub("", stem) + (suffix if suffix != ".png" else "")


def images_of(artifacts: Mapping[str, Artifact], name: str) -> list[Artifact]:
    """The images that were logged under a name, by step, and then in the order of their list."""
    from modelmgmt.tracking.images import split_name

    stem, suffix = split_name(name)
    found = []
    for full, artifact in artifacts.items():
        below, ending = split_name(full)
        match = _IMAGE.fullmatch(below[len(stem) :]) if below.startswith(stem) else None
        if artifact.kind == "image" and match and (not suffix or suffix == ending):
            step, place = artifact.step, int(match["place"] or -1)
            found.append(((step is not None, step or 0, place, full), artifact))
    return [artifact for _, artifact in sorted(found, key=lambda each: each[0])]


def _json(value: Any, where: str) -> Any:
    value = plain(value, "value", where)
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [_json(item, f"{where}[{place}]") for place, item in enumerate(value)]
    if not isinstance(value, Mapping):
        raise InvalidTypeError(f"The value {where!r} is of type {type(value).__name__}: {advice(value)}.")
    pairs = [(key, _json(item, f"{where}.{key}")) for key, item in entries(value, "value", f"{where}.")]
    if all(isinstance(key, str) for key, _ in pairs) and [key for key, _ in pairs] not in ([_FLOAT], [_PAIRS]):
        return dict(pairs)
    keys = [_json(key, f"a key of {where}") for key, _ in pairs]
    if len({json.dumps(key) for key in keys}) < len(keys):
        raise InvalidValueError(f"The mapping {where!r} has two keys that stand for the same: rename one.")
    return {_PAIRS: [[key, item] for key, (_, item) in zip(keys, pairs, strict=True)]}


def _has_tuples(value: Any) -> bool:
    """Whether a key of a mapping is a tuple."""
    if isinstance(value, dict):
        return any(isinstance(key, tuple) or _has_tuples(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_tuples, value))


def _key(key: Any) -> Any:
    return tuple(map(_key, key)) if isinstance(key, list) else key
