"""What is never kept as code: secrets, data, what is too large. Each left-out thing is a note that people see. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from modelmgmt.errors import InvalidValueError
from modelmgmt.store.secrets import Found, is_secret_file

MAX_FILE_BYTES = 1 << 20
MAX_FILES = 5_000
MAX_TOTAL_BYTES = 50 << 20
MAX_NOTES = 100

Note = tuple[str, str]
"""(a path, or what it is; why it was left out)"""

_COMPILED = frozenset({"a", "class", "dll", "dylib", "egg", "exe", "jar", "o", "pyc", "pyd", "pyo", "so", "whl"})
_DATA = frozenset({
    "arrow", "bin", "bz2", "ckpt", "csv", "db", "dta", "feather", "gz", "h5", "hdf", "hdf5", "joblib", "jpeg", "jpg",
    "jsonl", "keras", "mat", "mp3", "mp4", "ndjson", "npy", "npz", "onnx", "orc", "parquet", "pdf", "pickle", "pkl", "png",
    "pt", "pth", "rds", "safetensors", "sas7bdat", "sqlite", "sqlite3", "tar", "tfrecord", "tif", "tiff", "tsv", "wav",
    "xls", "xlsx", "xz", "zip", "zst",
})  # fmt: skip


def why_not(path: str, size: int) -> str | None:
    """Why a file of the project is not kept; None when it is.

    >>> why_not("conf/.env.local", 10)
    'its name is that of a secret'
    >>> why_not("train.py", 10)
    """
    if is_secret_file(path):
        return "its name is that of a secret"
    kind = path.rpartition(".")[2].lower()
    if kind in _COMPILED:
        return "it is compiled, not source"
    if kind in _DATA:
        return "it is data, not code"
    if size > MAX_FILE_BYTES:
        return f"it has {size:,} bytes, more than {MAX_FILE_BYTES:,}"
    return None


CodeSecrets = Literal["replace", "keep"]
"""What happens to secrets in code that is kept."""


def keeps_secrets(code_secrets: object) -> bool:
    """Whether they are kept. Raises InvalidValueError."""
    if code_secrets not in get_args(CodeSecrets):
        raise InvalidValueError(f"code_secrets is 'replace' or 'keep', and {code_secrets!r:.100} was given.")
    return code_secrets == "keep"


def why_replaced(found: Iterable[Found]) -> str:
    """What was replaced in a file that is kept.

    >>> why_replaced([Found("github-token", 3), Found("password", 9), Found("password", 12)])
    'kept with placeholders for secrets: github-token in line 3, password in lines 9 and 12'
    """
    lines: dict[str, list[str]] = {}
    for each in found:
        lines.setdefault(each.kind, []).append(str(each.line))
    what = [f"{kind} in {_joined('line', numbers)}" for kind, numbers in lines.items()]
    return f"kept with placeholders for secrets: {', '.join(what)}"


def _joined(noun: str, words: list[str]) -> str:
    words = list(dict.fromkeys(words))
    if len(words) == 1:
        return f"{noun} {words[0]}"
    return f"{noun}s {', '.join(words[:-1])} and {words[-1]}"


def bounded(notes: Iterable[Note]) -> tuple[Note, ...]:
    """At most `MAX_NOTES` notes, as text that can be kept; the last one counts the others."""
    found = [(readable(what), readable(why)) for what, why in dict.fromkeys(notes)]
    if len(found) > MAX_NOTES:
        rest = len(found) - MAX_NOTES + 1
        found = [*found[: MAX_NOTES - 1], (f"{rest:,} more", "only the first are listed")]
    return tuple(found)


def spelled_out(path: str) -> str:
    r"""A path as text that can be kept: bytes that are no UTF-8 are shown as what they are.

    >>> spelled_out("/home/caf\udce9")
    '/home/caf\\xe9'
    """
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def readable(text: str) -> str:
    r"""Text without what can't be kept or printed: a file's name may be any bytes.

    >>> readable("a\udcff\n")
    'a\\udcff\\n'
    """
    safe = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
    return safe.encode("utf-8", "backslashreplace").decode()
