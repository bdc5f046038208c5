"""What a model needs from outside: the distributions of the modules that it refers to, and the files of the project.

Reads `sys.modules` and the metadata of installed distributions; nothing is imported and no process is started for it.
"""

from __future__ import annotations

import functools
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath
from types import ModuleType

_COMMON = {
    "PIL": ("pillow",), "cv2": ("opencv-python", "opencv-python-headless"), "google": ("protobuf",),
    "sklearn": ("scikit-learn",), "xgboost": ("xgboost", "xgboost-cpu"), "yaml": ("PyYAML",),
}  # fmt: skip
"""Well-known modules whose distribution is named otherwise: each one spares a look at all that is installed."""

_OWN = "modelmgmt"


def requirements(modules: Iterable[str]) -> tuple[str, ...]:
    """The distributions that have these modules, with their versions, sorted: `name==version`.

    >>> requirements({"numpy", "numpy.random", "json"})[0].partition("==")[0]
    'numpy'
    """
    tops = {name.partition(".")[0] for name in modules}
    outside = [top for top in tops if top not in sys.stdlib_module_names and top != _OWN]
    names = {name for top in outside for name in _distributions_of(top)}
    return tuple(sorted(map(_pinned, names)))


def installed(names: Iterable[str]) -> tuple[str, ...]:
    """The distributions of these names that are installed, with their versions."""
    there = (name for asked in names for name in _COMMON.get(asked, (asked,)) if _is_installed(name))
    return tuple(map(_pinned, there))


def _pinned(name: str) -> str:
    # What follows a plus is how this one was built (+cpu): no index has it under that name.
    return f"{name}=={metadata.version(name).partition('+')[0]}"


def differing(pinned: Iterable[str]) -> list[str]:
    """What of these requirements, `name==version`, is not here as it was: in words, one for each.

    >>> differing(["no-such-thing==1.0"])
    ['no-such-thing 1.0, not installed']
    """
    found = []
    for line in pinned:
        name, _, wanted = line.partition("==")
        here = _version_of(name)
        if here != wanted:
            found.append(f"{name} {wanted}, {'not installed' if here is None else f'{here} here'}")
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


# ---------------------------------------------------------------------------------------------------- the project's own


def project_files(modules: Iterable[str]) -> dict[str, Path]:
    """The source files of the project's own modules among these, and of those that they use in turn.

    By the path that they are imported by: `features/text.py`. A module is the project's own when it is loaded from a
    Python file that is neither the standard library's nor an installed distribution's.
    """
    todo = [name for name in modules if is_project(sys.modules.get(name))]
    found: dict[str, Path] = {}
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        module = sys.modules.get(name)
        if not is_project(module) or module is None or module.__file__ is None:
            continue
        path = Path(module.__file__)
        found[str(_import_path(name, is_package=path.name == "__init__.py"))] = path
        todo += _used(module)
        todo += [name.rpartition(".")[0]] if "." in name else []
    return dict(sorted(found.items()))


def is_project(module: ModuleType | None) -> bool:
    """Whether a loaded module is a file of the project."""
    file = getattr(module, "__file__", None)
    name = getattr(module, "__name__", "")
    if not isinstance(file, str) or not file.endswith(".py") or name in {"", "__main__"}:
        return False
    top = name.partition(".")[0]
    if top == _OWN or top in sys.stdlib_module_names:
        return False
    return not any(Path(file).is_relative_to(folder) for folder in _installed_folders())


@functools.cache
def _installed_folders() -> tuple[Path, ...]:
    paths = (sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    site = (path for path in sys.path if path.endswith(("site-packages", "dist-packages")))
    return tuple(dict.fromkeys(Path(path) for path in (*paths, *site)))


def _import_path(name: str, *, is_package: bool) -> PurePosixPath:
    path = PurePosixPath(*name.split("."))
    return path / "__init__.py" if is_package else path.with_name(f"{path.name}.py")


def _used(module: ModuleType) -> Iterator[str]:
    """The modules that the names in this one come from."""
    for value in list(vars(module).values()):
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str):
            yield name
