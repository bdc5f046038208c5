"""The project's own modules in a package: used when they are not there where the model is loaded."""

from __future__ import annotations

import atexit
import hashlib
import importlib.machinery
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from modelmgmt.models.packaging.files import PackageFiles
from modelmgmt.models.packaging.package import CODE, Package

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

_folders: dict[str, Path] = {}


def missing(package: Package) -> list[str]:
    """The modules that the package has and this process can not import. Says so where one that it can has changed."""
    absent = []
    for path in package.code:
        name = _module_name(path)
        origin = _origin(name)
        if origin is None:
            absent.append(name)
        elif _digest(origin) != package.tree[f"{CODE}/{path}"].digest:
            warnings.warn(
                f"The module {name} is not what it was when the model {package.name} was logged: the one that is here, "
                f"{origin}, is used.",
                stacklevel=5,
            )
    return absent


def make_importable(kernel: Kernel, package: Package) -> None:
    """Put the package's code at the end of `sys.path`, for as long as the process lives: what is here goes first."""
    if package.digest in _folders:
        return
    folder = Path(tempfile.mkdtemp(prefix="modelmgmt-code-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    PackageFiles(kernel, package, CODE).copy_to(folder)
    _folders[package.digest] = folder
    sys.path.append(str(folder))
    importlib.invalidate_caches()


def _module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _origin(name: str) -> Path | None:
    """The file that the module would come from. Parents are looked at first: looking must not import anything."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        file = getattr(loaded, "__file__", None)
        return Path(file) if file else None
    locations = None
    for depth in range(1, name.count(".") + 2):
        part = ".".join(name.split(".")[:depth])
        spec = importlib.machinery.PathFinder.find_spec(part, locations)
        if spec is None:
            return None
        locations = spec.submodule_search_locations
    return Path(spec.origin) if spec is not None and spec.origin else None


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
