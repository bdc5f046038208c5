"""Whose code runs here: the root of the project, its script, and which imported modules are its own.

Reads `sys.modules`, changes nothing. What was imported is told by the module's spec: a reload gives it a new one, so
nothing on disk is asked about a module that was seen before.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from modelmgmt.versions.git import find_repository

_PACKAGE_FOLDERS = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages", "__pypackages__"))


@dataclass(frozen=True, slots=True)
class Project:
    """The folder that the code belongs to."""

    root: str
    """Real path: that of the git repository, else the folder of the script, else the working folder."""
    repository: Path | None
    script: str | None
    """Real path of what was started, when it is below the root."""
    folder: str
    """The working folder that this was found from."""


def find_project() -> Project | None:
    """The project of this process; None when the working folder is gone, or is the root of the file system."""
    try:
        here = os.getcwd()  # noqa: PTH109 - text, as os.path gives it
    except OSError:
        return None
    script = _script()
    base = os.path.dirname(script) if script else os.path.realpath(here)  # noqa: PTH120
    repository = find_repository(Path(base))
    root = str(repository) if repository else base
    if root == os.path.abspath(os.sep):  # noqa: PTH100
        return None
    return Project(root, repository, script, here)


def is_foreign(path: str) -> bool:
    """Whether a file belongs to Python or to an installed package."""
    return path.startswith(_foreign_roots()) or any(folder in path for folder in _PACKAGE_FOLDERS)


@dataclass
class Imported:
    """The project's own modules, as this process has imported them. Not safe to share between threads."""

    root: str
    files: dict[str, str] = field(default_factory=dict)
    """name of the module -> path of its file, as the module names it"""
    _specs: dict[str, Any] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def news(self) -> dict[str, str]:
        """The modules that were imported, or loaded again, since this was asked last. Takes microseconds when none was."""
        modules = sys.modules.copy()  # at once: other threads import
        names = modules.keys() - self._seen
        names.update(name for name, spec in self._specs.items() if _spec(modules.get(name)) is not spec)
        found = {}
        for name in names:
            self._seen.add(name)
            path = _file(modules.get(name))
            if path is not None and _is_below(path, self.root):
                found[name] = path
                self._specs[name] = _spec(modules.get(name))
        self.files.update(found)
        return found


def relative(path: str, root: str) -> str | None:
    """The path below the root, with slashes; None when it is elsewhere."""
    start = root + os.sep
    if not path.startswith(start):
        path = _real(path)
    return path[len(start) :].replace(os.sep, "/") if path.startswith(start) else None


def import_path(root: str) -> list[str]:
    """The folders below the root from which this process imports, relative to it, in order."""
    found = []
    for entry in sys.path:
        place = os.path.realpath(entry or ".")
        if place == root:
            found.append(".")
        elif not is_foreign(place + os.sep) and (name := relative(place, root)) is not None:
            found.append(name)
    return list(dict.fromkeys(found))


def process_start() -> float:
    """When this process began, in seconds since 1970; where the system does not say, now."""
    now = time.time()
    with suppress(OSError, ValueError, IndexError, AttributeError):
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        up = time.clock_gettime(time.CLOCK_BOOTTIME)
        return now - up + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return now


def _is_below(path: str, root: str) -> bool:
    # The cheap question first: most modules are Python's or a package's.
    if is_foreign(path) or relative(path, root) is None:
        return False
    real = _real(path)
    return real == path or not is_foreign(real)


def _real(path: str) -> str:
    """The path with the links of its folder resolved."""
    folder, name = os.path.split(path)
    return os.path.join(_real_folder(folder), name)  # noqa: PTH118 - text


@functools.lru_cache(maxsize=10_000)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _script() -> str | None:
    """What was started, when it is somebody's own file: not a tool such as pytest, nor a console script."""
    path = _file(sys.modules.get("__main__"))
    if path is None:
        return None
    path = os.path.realpath(path)
    is_tool = is_foreign(path) or os.path.dirname(path) == os.path.dirname(sys.executable)  # noqa: PTH120
    return None if is_tool else path


def _file(module: ModuleType | None) -> str | None:
    """The file of a module, absolute, when it names one: anything may sit in sys.modules."""
    try:
        path = getattr(module, "__file__", None)
    except Exception:  # noqa: BLE001 - a module that makes its attributes itself may raise anything: it has no file
        return None
    # Python itself gives absolute paths; others are made up, as those of modules without a file in torch.
    return os.path.normpath(path) if isinstance(path, str) and os.path.isabs(path) else None  # noqa: PTH117


def _spec(module: ModuleType | None) -> Any:
    try:
        return getattr(module, "__spec__", None)
    except Exception:  # noqa: BLE001 - as above
        return None


_roots: list[tuple[str, ...]] = []


def _foreign_roots() -> tuple[str, ...]:
    if not _roots:
        # Not sysconfig, which takes milliseconds; installed packages are told by the name of their folder.
        folders = [os.path.dirname(os.__file__)]  # noqa: PTH120
        if sys.prefix != sys.base_prefix:
            folders.append(sys.prefix)
        both = {form for folder in folders for form in (folder, os.path.realpath(folder))}
        _roots.append(tuple(f"{folder}{os.sep}" for folder in sorted(both)))
    return _roots[0]
