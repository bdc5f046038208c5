"""What is never kept as code: secrets, data, what is too large. Each left-out thing is a note that people see. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate

MAX_FILE_BYTES = 1 << 20
MAX_FILES = 5_000
MAX_TOTAL_BYTES = 50 << 20
MAX_NOTES = 100

Note = tuple[str, str]
"""(a path, or what it is; why it was left out)"""

_SECRET_NAMES = (
    ".env*", "*.env", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.secret", "*.secrets",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "credentials*", "*-credentials.*", "*_credentials.*", "secrets.*",
    ".netrc", "_netrc", ".pgpass", ".pypirc", ".npmrc", ".htpasswd", ".git-credentials", ".dockercfg", "kubeconfig*",
    "service-account*.json", "service_account*.json", "*.tfvars", "*.tfstate*", "*.ovpn", "*.asc", "*.gpg",
    "client_secret*.json", "client-secret*.json", ".s3cfg", ".boto", ".my.cnf", "*.token",
    *(
        f"{word}.{kind}"
        for word in ("*secret", "*secrets", "*token", "*password", "*passwords", "*api_key", "*apikey", "*api-key")
        for kind in ("json", "yaml", "yml", "toml", "ini", "cfg", "conf", "txt")
    ),
)  # fmt: skip
_SECRET_FOLDERS = frozenset({".ssh", ".aws", ".azure", ".gnupg", ".kube", ".docker"})
_DATA = frozenset({
    "arrow", "bin", "bz2", "ckpt", "csv", "db", "dta", "feather", "gz", "h5", "hdf", "hdf5", "joblib", "jpeg", "jpg",
    "jsonl", "keras", "mat", "mp3", "mp4", "ndjson", "npy", "npz", "onnx", "orc", "parquet", "pdf", "pickle", "pkl", "png",
    "pt", "pth", "rds", "safetensors", "sas7bdat", "sqlite", "sqlite3", "tar", "tfrecord", "tif", "tiff", "tsv", "wav",
    "xls", "xlsx", "xz", "zip", "zst",
})  # fmt: skip
_answers = re.compile("|".join(translate(name) for name in _SECRET_NAMES), re.IGNORECASE).match


def _shortest(words: Iterable[str]) -> tuple[str, ...]:
    """Those that hold no other one."""
    found: list[str] = []
    for word in sorted(words, key=len):
        if not any(one in word for one in found):
            found.append(word)
    return tuple(found)


# What a name must hold to answer to one of the patterns: looked for first, as there may be thousands of names.
_WORDS = _shortest(max(re.split(r"[*.]", name), key=len) for name in _SECRET_NAMES)


def _is_secret_name(name: str) -> bool:
    lower = name.lower()
    if name.isascii() and not any(word in lower for word in _WORDS):
        return False
    return _answers(name) is not None


def why_not(path: str, size: int) -> str | None:
    """Why a file of the project is not kept; None when it is.

    >>> why_not("conf/.env.local", 10)
    'its name is that of a secret'
    >>> why_not("train.py", 10)
    """
    *folders, name = path.split("/")
    if _is_secret_name(name) or not _SECRET_FOLDERS.isdisjoint(folders):
        return "its name is that of a secret"
    if name.rpartition(".")[2].lower() in _DATA:
        return "it is data, not code"
    if size > MAX_FILE_BYTES:
        return f"it has {size:,} bytes, more than {MAX_FILE_BYTES:,}"
    return None


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
