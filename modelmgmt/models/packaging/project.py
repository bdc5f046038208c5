"""The files of the project that a model needs: those of its modules, and of what these import, in functions, too.

Reads source files and `sys.modules`; imports nothing.
"""

from __future__ import annotations

import ast
import dis
import functools
import importlib.util
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

from modelmgmt import packaged
from modelmgmt.errors import InvalidTypeError, NotFoundError
from modelmgmt.store.secrets import Found, is_secret_file, replaced
from modelmgmt.versions.left_out import why_replaced

_OWN = "modelmgmt"
AnyPath = str | os.PathLike[str]
_HIDDEN = re.compile(r"/(\.|__pycache__/)")
_MAIN = {"__main__", "__mp_main__"}


@dataclass(frozen=True, slots=True)
class ProjectCode:
    """What a package takes along of the project."""

    files: dict[str, Path] = field(default_factory=dict)
    """By the path that they are imported by: `features/text.py`."""
    modules: set[str] = field(default_factory=set)
    """What the model refers to, and what these files import, by absolute names."""

    def content(self, path: str, *, with_secrets: bool = False) -> bytes:
        """A file as it is packaged: with placeholders for the secrets in it."""
        data = self.files[path].read_bytes()
        return data if with_secrets else _without_secrets(path, data)[0]

    def hide_secrets(self) -> dict[str, str]:
        """Leave out the files that are secrets by their name. Returns what is done to these, and to those that have some."""
        notes = {path: "left out: by its name it holds secrets" for path in self.files if is_secret_file(path)}
        for path in notes:
            del self.files[path]
        for path, file in self.files.items():
            found = _without_secrets(path, file.read_bytes())[1]
            notes |= {path: why_replaced(found)} if found else {}
        return notes

    @property
    def foreign(self) -> set[str]:
        """The modules that are not of these files: of others' distributions, or of Python."""
        tops = {path.partition("/")[0].removesuffix(".py") for path in self.files}
        return {name for name in self.modules if name.partition(".")[0] not in tops}

    def add(self, path: str, file: Path) -> None:
        """Raises InvalidTypeError where another version of the file is in it."""
        before = self.files.setdefault(path, file)
        if before != file and before.read_bytes() != file.read_bytes():
            raise InvalidTypeError(
                f"The model is made of two versions of {path}, {before} and {file}, and a package holds one: log the parts "
                "as models of their own."
            )
        self.modules.update(_imports_of(path, file))

    def joined(self, other: ProjectCode) -> ProjectCode:
        """Both in one. Raises InvalidTypeError for two versions of one file."""
        found = ProjectCode(dict(self.files), self.modules | other.modules)
        for path, file in other.files.items():
            found.add(path, file)
        return found


@functools.lru_cache(maxsize=256)
def _without_secrets(path: str, data: bytes) -> tuple[bytes, tuple[Found, ...]]:
    return (data, ()) if b"\0" in data[:8192] else replaced(data, path)


def project_code(modules: Iterable[str], paths: Iterable[AnyPath] = ()) -> ProjectCode:
    """The source files of the project's own modules among these, and of those that they use in turn.

    A module is the project's own when it comes from a Python file that is neither the standard library's nor an installed
    distribution's, whatever its name. Of a model that was loaded with the code of its package, all of that code. `paths`
    are files and folders that are taken along besides. Raises NotFoundError, InvalidTypeError.
    """
    found = ProjectCode(modules=set(modules))
    for path, file in _in_paths(paths):
        found.add(path, file)
    todo, seen = list(found.modules), set[str]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if name.startswith(packaged.PREFIX):
            code = packaged.code_of(name.split(".")[2])
            for path in code.manifest:
                found.add(path, code.folder / path)
            continue
        todo += [name.rpartition(".")[0]] if "." in name else []
        origin = source_of(name)
        if origin is not None and is_project_file(origin):
            path = "/".join(name.split(".")) + ("/__init__.py" if origin.name == "__init__.py" else ".py")
            found.add(path, origin)
            todo += [*_imports_of(path, origin), *_used(sys.modules.get(name))]
    return found


def is_project_file(file: Path) -> bool:
    """Whether it is a Python file that nobody installed."""
    return file.suffix == ".py" and not any(file.is_relative_to(folder) for folder in _installed_folders())


def source_of(name: str) -> Path | None:
    """The file that the module has, or would come from; None for a namespace, and for this library's own.

    Parents are looked at first: looking must not import anything.
    """
    parts = name.split(".")
    if name in _MAIN or parts[0] == _OWN or not all(part.isidentifier() for part in parts):
        return None
    loaded = sys.modules.get(name)
    if loaded is not None:
        file = getattr(loaded, "__file__", None)
        return Path(file) if isinstance(file, str) else None
    locations = spec = None
    for depth in range(1, len(parts) + 1):
        part = ".".join(parts[:depth])
        finders = (finder for finder in list(sys.meta_path) if hasattr(finder, "find_spec"))
        spec = next(filter(None, (finder.find_spec(part, locations) for finder in finders)), None)
        if spec is None:
            return None
        locations = spec.submodule_search_locations
    return Path(spec.origin) if spec is not None and spec.origin and spec.has_location else None


def imported_by(function: FunctionType) -> Iterator[str]:
    """The modules that a function imports, in functions within it, too, and what it takes from them, which may be modules."""
    package = function.__globals__.get("__package__") or ""
    todo = [function.__code__]
    while todo:
        code = todo.pop()
        todo += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        steps = list(dis.get_instructions(code))
        base = ""
        for at, step in enumerate(steps):
            if step.opname == "IMPORT_NAME":
                base = _absolute("." * steps[at - 2].argval + str(step.argval), package)
                yield base
            elif step.opname == "IMPORT_FROM":
                yield f"{base}.{step.argval}"


def _in_paths(paths: Iterable[AnyPath]) -> Iterator[tuple[str, Path]]:
    """The files there, each by the path that it is imported by, with the `__init__.py` of the packages around them."""
    for given in paths:
        path = Path(given).resolve()
        if not path.exists():
            raise NotFoundError(f"code_paths= names {str(given)!r}, and there is no such file or folder: {path}")
        root = _import_root(path)
        around = (folder / "__init__.py" for folder in path.parents if folder != root and folder.is_relative_to(root))
        inside = (
            each for each in sorted(path.rglob("*")) if not _HIDDEN.search(f"/{each.relative_to(path).as_posix()}")
        )
        for file in (*around, *(inside if path.is_dir() else [path])):
            if file.is_file():
                yield file.relative_to(root).as_posix(), file


def _import_root(path: Path) -> Path:
    """The folder that what is at the path is imported from: the nearest of `sys.path`, else the one around its package."""
    known = [folder for entry in sys.path if path.is_relative_to(folder := Path(entry).resolve())]
    if known:
        return max(known, key=lambda folder: len(folder.parts))
    return next(folder for folder in path.parents if not (folder / "__init__.py").is_file())


def _imports_of(path: str, file: Path) -> frozenset[str]:
    if file.suffix != ".py":
        return frozenset()
    about = file.stat()
    return _parsed(path, file, about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=4096)
def _parsed(path: str, file: Path, changed_ns: int, size: int) -> frozenset[str]:
    """What a file imports anywhere in it, by absolute names. Where a name that it takes may be a module, it is in it, too."""
    del changed_ns, size  # parts of the key
    package = path.removesuffix(".py").replace("/", ".").rpartition(".")[0]
    try:
        return frozenset(_in_tree([ast.parse(file.read_bytes())], package))
    except (SyntaxError, ValueError):
        return frozenset()  # of a later Python, or no source: it fails where it is imported


def _in_tree(todo: list[ast.AST], package: str) -> Iterator[str]:
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute("." * node.level + (node.module or ""), package)
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Call) and _name_of(node.func) in {"import_module", "__import__"} and node.args:
            first = getattr(node.args[0], "value", None)
            yield _absolute(first, package) if isinstance(first, str) else ""
        if isinstance(node, ast.If) and _name_of(node.test) == "TYPE_CHECKING":
            todo += node.orelse  # the rest is imported by type checkers alone
        else:
            todo += ast.iter_child_nodes(node)


def _name_of(node: ast.AST) -> str:
    return getattr(node, "id", "") or getattr(node, "attr", "")


def _absolute(name: str, package: str) -> str:
    try:
        return importlib.util.resolve_name(name, package)
    except ImportError:
        return ""  # beyond the top: it fails where it is imported


def _used(module: ModuleType | None) -> Iterator[str]:
    """The modules that the names in this one come from."""
    for value in list(vars(module).values()) if module is not None else ():
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str):
            yield name


@functools.cache
def _installed_folders() -> tuple[Path, ...]:
    paths = (sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    site = (path for path in sys.path if path.endswith(("site-packages", "dist-packages")))
    return tuple(dict.fromkeys(Path(path) for path in (*paths, *site)))
