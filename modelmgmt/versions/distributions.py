"""Every installed distribution: name, version, where it came from. Reads the folders on `sys.path`.

The layout is that of the packaging specifications ("Recording installed projects", "Direct URL"). Only the head of
each METADATA file is read: a thousand distributions take some hundredths of a second.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmgmt.versions.git import without_credentials

_HEAD_BYTES = 1 << 12


@dataclass(frozen=True, slots=True)
class Distribution:
    """One installed distribution."""

    name: str
    version: str
    origin: str | None = None
    """None for one from a package index; else `git+https://...@commit`, `https://...`, `file:///...`, and
    ` (editable)` after it where that was asked for."""

    @property
    def is_editable(self) -> bool:
        return self.origin is not None and self.origin.endswith(" (editable)")

    @property
    def key(self) -> str:
        """The name as the index compares it."""
        return normalized(self.name)


def normalized(name: str) -> str:
    """The name as the index compares it: `Foo.Bar_baz` is `foo-bar-baz`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(paths: list[str] | None = None) -> tuple[Distribution, ...]:
    """Every distribution that this process can import, by name; of two with one name the first on the path counts."""
    found: dict[str, Distribution] = {}
    for folder in sys.path if paths is None else paths:
        for distribution in _in_folder(folder or "."):
            found.setdefault(distribution.key, distribution)
    return tuple(found[key] for key in sorted(found))


def from_elsewhere() -> dict[str, Distribution]:
    """Those that no index has as they are here: installed from a folder, a file, a URL or a repository; by `key`."""
    return _from_elsewhere(str(signature()))


@functools.lru_cache(maxsize=4)
def _from_elsewhere(signature: str) -> dict[str, Distribution]:
    del signature  # the key
    return {each.key: each for each in installed() if each.origin is not None}


def signature() -> list[Any]:
    """Changes when something is installed or removed: what the folders on the path look like from outside."""
    return [[path, *_times(path or ".")] for path in sys.path]


def _times(path: str) -> tuple[int, int]:
    try:
        about = os.stat(path)  # noqa: PTH116 - as it is on sys.path
    except OSError:
        return 0, 0
    return about.st_mtime_ns, about.st_ino


def _in_folder(folder: str) -> Iterator[Distribution]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return  # a zip, or a path that is not there
    for entry in entries:
        if entry.name.endswith(".dist-info"):
            head = _head(Path(entry.path) / "METADATA")
        elif entry.name.endswith(".egg-info"):
            head = _head(Path(entry.path) / "PKG-INFO") or _head(Path(entry.path))
        else:
            continue
        name, version = _field(head, "Name"), _field(head, "Version")
        if name and version:
            yield Distribution(name, version, _origin(Path(entry.path) / "direct_url.json"))


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _field(head: str, name: str) -> str | None:
    match = re.search(rf"^{name}:[ \t]*(\S+)", head, re.MULTILINE)
    return match[1] if match else None


def _origin(path: Path) -> str | None:
    about: Any = None
    with suppress(OSError, ValueError):
        about = json.loads(path.read_bytes())
    if not isinstance(about, dict) or not isinstance(about.get("url"), str):
        return None
    url = without_credentials(about["url"])
    vcs, folder = about.get("vcs_info"), about.get("dir_info")
    if isinstance(vcs, dict):
        return f"{vcs.get('vcs', 'git')}+{url}@{vcs.get('commit_id', '')}"
    is_editable = isinstance(folder, dict) and folder.get("editable") is True
    return f"{url} (editable)" if is_editable else url
