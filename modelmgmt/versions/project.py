"""Whose code runs here: the root of the project, its script, and which imported modules are no installed package's.

Reads `sys.modules`, changes nothing. What was imported is told by the module's spec: a reload gives it a new one, so
nothing on disk is asked about a module that was seen before.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from modelmgmt.versions.git import find_repository

ROOT_VARIABLE = "MODELMGMT_PROJECT"
OUTSIDE = "outside-project"
"""The folder, in the tree of a run's code, of modules that were imported from elsewhere."""
_TOOLS = ("modelmgmt", "debugpy", "pydev", "_pydev")  # this library, which the environment names, and debuggers
_PACKAGE_FOLDERS = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages", "__pypackages__"))


@dataclass(frozen=True, slots=True)
class Project:
    """The folder that the code belongs to."""

    root: str
    """Real path: `$MODELMGMT_PROJECT` where the script is below it, else the git repository, else the folder of the script,
    else the working folder."""
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
    named = os.path.realpath(os.environ[ROOT_VARIABLE]) if os.environ.get(ROOT_VARIABLE) else None
    if named is not None and (base == named or base.startswith(named + os.sep)):
        repository = Path(named) if os.path.lexists(os.path.join(named, ".git")) else None  # noqa: PTH118 - text
        root = named
    else:
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
    """The modules that are no installed package's, as this process has imported them. Not safe to share between threads."""

    root: str
    files: dict[str, str] = field(default_factory=dict)
    """name of the module -> path of its file, as the module names it"""
    outside: dict[str, str] = field(default_factory=dict)
    """a folder outside of the project that modules were imported from -> its name in the tree of the code"""
    _specs: dict[str, Any] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def news(self) -> dict[str, str]:
        """The modules that were imported, or loaded again, since this was asked last. Takes microseconds when none was."""
        modules = sys.modules.copy()  # at once: other threads import
        names = modules.keys() - self._seen
        names.update(name for name, spec in self._specs.items() if _spec(modules.get(name)) is not spec)
        found = {}
        folders: dict[str, tuple[bool, bool]] = {}  # of a package there may be a thousand modules in one
        for name in modules if names else ():  # in the order in which they were imported, which is the same each time
            if name not in names:
                continue
            self._seen.add(name)
            path = _file(modules.get(name))
            if path is None:
                continue
            folder = path[: path.rfind(os.sep) + 1]
            if folder not in folders:
                folders[folder] = _is_installed(path), relative(path, self.root) is not None
            is_installed, is_below = folders[folder]
            if not is_installed and (is_below or _is_somebodys(name, modules)):
                found[name] = path
                self._specs[name] = _spec(modules.get(name))
        self.files.update(found)
        return found

    def name_outside(self, module: str, path: str) -> str:
        """Where a module from outside of the project is kept: below the name of the folder that it is imported from."""
        parts, (stem, suffix) = module.split("."), os.path.splitext(_real(path))  # noqa: PTH122 - text
        folders = stem.split(os.sep)  # noqa: PTH206 - text
        if folders[-1] == "__init__":
            parts.append("__init__")
        depth = len(parts) if folders[-len(parts) :] == parts else 1  # else it was loaded under a name of its own
        base = os.sep.join(folders[:-depth]) or os.sep  # noqa: PTH118
        if base not in self.outside:
            label = os.path.basename(base) or "root"  # noqa: PTH119
            place = f"{OUTSIDE}/{label}"
            if place in self.outside.values():
                place = f"{place}-{hashlib.sha256(os.fsencode(base)).hexdigest()[:8]}"
            self.outside[base] = place
        return "/".join([self.outside[base], *folders[-depth:]]) + suffix


def relative(path: str, root: str) -> str | None:
    """The path below the root, with slashes; None when it is elsewhere."""
    start = root + os.sep
    if not path.startswith(start):
        path = _real(path)
    return path[len(start) :].replace(os.sep, "/") if path.startswith(start) else None


def import_path(root: str, outside: Mapping[str, str]) -> list[str]:
    """The folders from which this process imports, in order: relative to the root, or as they are kept from outside."""
    found = []
    for entry in sys.path:
        place = os.path.realpath(entry or ".")
        if place == root:
            found.append(".")
        elif place in outside:
            found.append(outside[place])
        elif not is_foreign(place + os.sep) and (name := relative(place, root)) is not None:
            found.append(name)
    return list(dict.fromkeys([*found, *outside.values()]))


def process_start() -> float:
    """When this process began, in seconds since 1970; where the system does not say, now."""
    now = time.time()
    with suppress(OSError, ValueError, IndexError, AttributeError):
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        up = time.clock_gettime(time.CLOCK_BOOTTIME)
        return now - up + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return now


def _is_installed(path: str) -> bool:
    return is_foreign(path) or is_foreign(_real(path))


def _is_somebodys(name: str, modules: Mapping[str, ModuleType]) -> bool:
    """Whether a module from elsewhere is code of the user's: not what a tool has made, nor what was installed there."""
    top = name.partition(".")[0]
    if name in ("__main__", "__mp_main__") or top.startswith(_TOOLS):
        return False
    package = _file(modules.get(top))  # a package writes modules of its own to a cache: they are not the user's either
    path = _file(modules.get(name)) or ""
    if package is not None and _is_installed(package):
        return False
    folder = os.path.dirname(package or path)  # noqa: PTH120
    return not _has_distributions(os.path.dirname(folder) if "." in name or path.endswith("__init__.py") else folder)  # noqa: PTH120


@functools.lru_cache(maxsize=1_000)
def _has_distributions(folder: str) -> bool:
    """Whether packages were installed into this folder, as with `pip install --target`: the environment names them."""
    try:
        return any(name.endswith(".dist-info") for name in os.listdir(folder))
    except OSError:
        return False


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
