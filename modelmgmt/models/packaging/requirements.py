"""What a model needs from outside: the distributions of the modules that it refers to.

Reads `sys.modules` and the metadata of installed distributions; nothing is imported and no process is started for it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from modelmgmt.versions.distributions import Distribution, from_elsewhere, normalized

_COMMON = {
    "PIL": ("pillow",), "cv2": ("opencv-python", "opencv-python-headless"), "google": ("protobuf",),
    "sklearn": ("scikit-learn",), "xgboost": ("xgboost", "xgboost-cpu"), "yaml": ("PyYAML",),
}  # fmt: skip
"""Well-known modules whose distribution is named otherwise: each one spares a look at all that is installed."""

_OWN = "modelmgmt"


def requirements(modules: Iterable[str]) -> tuple[str, ...]:
    """The distributions that have these modules, as pip takes them, sorted: `name==version`, `name @ git+https://...`.

    Without those that were installed from a folder or file of this machine (`local`).

    >>> requirements({"numpy", "numpy.random", "json"})[0].partition("==")[0]
    'numpy'
    """
    return tuple(sorted(filter(None, map(_requirement, _names(modules)))))


def installed(names: Iterable[str]) -> tuple[str, ...]:
    """The distributions of these names that are installed, with their versions."""
    there = (name for asked in names for name in _COMMON.get(asked, (asked,)) if _is_installed(name))
    return tuple(filter(None, map(_requirement, there)))


def local(modules: Iterable[str], files: Iterable[Path]) -> tuple[Distribution, ...]:
    """The distributions that these modules and files belong to, of those that were installed from a folder or file here.

    No index has them: an editable install is its project's folder, and a version of it may be any state of that folder.
    """
    names = {normalized(name) for name in _names(modules)}
    around = {folder for file in files for folder in file.resolve().parents}
    found = []
    for key, each in from_elsewhere().items():
        folder = _folder(each)
        if key != _OWN and folder is not None and (key in names or (each.is_editable and folder in around)):
            found.append(each)
    return tuple(found)


def _names(modules: Iterable[str]) -> set[str]:
    tops = {name.partition(".")[0] for name in modules}
    outside = [top for top in tops if top not in sys.stdlib_module_names and top != _OWN]
    return {name for top in outside for name in _distributions_of(top)}


def _folder(distribution: Distribution) -> Path | None:
    """The folder or file that a distribution was installed from."""
    url = urlsplit((distribution.origin or "").removesuffix(" (editable)"))
    return Path(url2pathname(url.path)).resolve() if url.scheme == "file" else None


def _requirement(name: str) -> str | None:
    """As pip takes it; None for what comes from a folder or file of this machine."""
    elsewhere = from_elsewhere().get(normalized(name))
    if elsewhere is None:
        return _pinned(name)
    return None if _folder(elsewhere) is not None else f"{name} @ {elsewhere.origin}"


def _pinned(name: str) -> str:
    # What follows a plus is how this one was built (+cpu): no index has it under that name.
    return f"{name}=={metadata.version(name).partition('+')[0]}"


def differing(pinned: Iterable[str]) -> list[str]:
    """What of these requirements is not here as it was: in words, one for each.

    >>> differing(["no-such-thing==1.0"])
    ['no-such-thing 1.0, not installed']
    """
    found = []
    for line in pinned:
        name, at, wanted = line.partition(" @ ") if " @ " in line else line.partition("==")
        here = _version_of(name)
        origin = from_elsewhere().get(normalized(name)) if at != "==" else None
        if here is None:
            found.append(f"{name} {wanted}, not installed")
        elif (here if at == "==" else origin and origin.origin) != wanted:
            found.append(f"{name} {wanted}, {(origin and origin.origin) or here} here")
    return found


@functools.cache
def _version_of(name: str) -> str | None:
    return _pinned(name).partition("==")[2] if _is_installed(name) else None


@functools.cache
def _distributions_of(top: str) -> tuple[str, ...]:
    for name in (*_COMMON.get(top, ()), top):
        if _is_installed(name):
            return (metadata.distribution(name).name,)
    return tuple(sorted(set(_all_distributions().get(top, ()))))


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return False
    return True


@functools.cache
def _all_distributions() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())
