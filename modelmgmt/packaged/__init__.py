"""The code of loaded models: `modelmgmt.packaged._<digest>.features` is the module `features` that a model was logged with.

Each code has names of its own, so that two versions of a model, and the program that loads them, each have their own
`features`. Importing this package puts a finder on `sys.meta_path`; to unpickle a class of such a module imports this
package first, so a worker process finds the code, in the folder of its digest, as the process did that loaded the model.

Within a code, absolute imports mean its own modules, too: `import features` in a packaged module, at any time. The module
gets builtins of its own for that, whose `__import__` knows the names. So the source stays as it was logged, which
tracebacks and `inspect` show, and imports in functions and in text that is executed are covered; rewriting the source
would do neither. `__import__` runs for import statements only: all other code is as fast as before. The standard
library's functions that take the name of a module (`importlib.import_module`, ...) are replaced in what these imports
give, and nowhere else.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from modelmgmt.errors import CorruptDataError
from modelmgmt.packaged import folder as folders

PREFIX = f"{__name__}._"
_SUFFIX, _INIT = ".py", "__init__"

_TAKE_A_NAME = {
    "importlib": ("import_module",),
    "importlib.resources": ("files", "open_binary", "open_text", "path", "read_binary", "read_text"),
    "importlib.util": ("find_spec",),
    "pkgutil": ("get_data",),
}
"""Functions whose first argument may be the name of a module."""


class Code:
    """The modules of one package, and the names that they have here."""

    def __init__(self, place: Path) -> None:
        self.folder = place
        self.prefix = f"{__name__}.{place.name}"
        self.manifest = folders.read_manifest(place)
        self._paths: dict[str, str | None] = {}  # module -> path of its source; None for a namespace package
        for path in self.manifest:
            if path.endswith(_SUFFIX):
                parts = path.removesuffix(_SUFFIX).split("/")
                is_package = parts[-1] == _INIT
                name = ".".join(parts[:-1] if is_package else parts)
                if is_package or not (self._paths.get(name) or "").endswith(f"/{_INIT}{_SUFFIX}"):
                    self._paths[name] = path
                for depth in range(1, len(parts)):
                    self._paths.setdefault(".".join(parts[:depth]), None)
        self._paths.pop("", None)
        self._tops = frozenset(name.partition(".")[0] for name in self._paths)
        self.replaced = {
            module: {name: _Mapped(self, module, name) for name in names} for module, names in _TAKE_A_NAME.items()
        }
        self.builtins = {**vars(builtins), "__import__": self._import}

    def private(self, module: str) -> str:
        """What a module is called here: a name within the code's own; other names stay."""
        return f"{self.prefix}.{module}" if module.partition(".")[0] in self._tops else module

    def import_module(self, name: str) -> ModuleType:
        """The module that the name stands for in this code."""
        return self._view(importlib.import_module(self.private(name)))

    def spec(self, name: str) -> ModuleSpec | None:
        """Where the module of that original name comes from; None when the code does not have it."""
        full = f"{self.prefix}.{name}" if name else self.prefix
        if not name or (name in self._paths and self._paths[name] is None):
            spec = ModuleSpec(full, None, is_package=True)
            spec.submodule_search_locations = [str(self.folder.joinpath(*name.split(".")))]
            return spec
        path = self._paths.get(name)
        if path is None:
            parent = name.rpartition(".")[0]
            # A namespace package has parts elsewhere: what the code has not of it, is the host's.
            return ModuleSpec(full, _Elsewhere(name)) if parent and self._paths.get(parent, "") is None else None
        file = self.folder / path
        return importlib.util.spec_from_file_location(
            full, file, loader=_Loader(full, file, self, path),
            submodule_search_locations=[str(file.parent)] if file.stem == _INIT else None,
        )  # fmt: skip

    def read(self, path: str) -> bytes:
        """A file, as the manifest has it. Raises CorruptDataError."""
        data = (self.folder / path).read_bytes()
        if sha256(data).hexdigest() != self.manifest[path]:
            raise CorruptDataError(
                f"The file {self.folder / path}, code of a model, was changed: delete its folder, and load the model again."
            )
        return data

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 - as __import__ has it
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """`__import__` of the modules of this code, and of functions that were pickled with them."""
        package = (globals or {}).get("__package__") or ""
        if level and package.partition(".")[0] in self._tops:  # a function that was pickled by value
            name, level = importlib.util.resolve_name("." * level + name, package), 0
        if level or name.partition(".")[0] not in self._tops:
            return self._view(builtins.__import__(name, globals, locals, fromlist or (), level))
        try:
            if fromlist:
                return builtins.__import__(self.private(name), None, None, fromlist, 0)
            importlib.import_module(self.private(name))
        except ModuleNotFoundError as error:
            if error.name is None or not error.name.startswith(f"{self.prefix}."):
                raise
            name = original(error.name)
            message = f"No module named {name!r} in the code of the model: log it with code_paths= if it is needed"
            raise ModuleNotFoundError(message, name=name) from None
        return sys.modules[self.private(name.partition(".")[0])]

    def _view(self, module: ModuleType) -> ModuleType:
        """The module, or what stands for it in this code."""
        name = getattr(module, "__name__", "")
        return _View(module, self) if name in self.replaced and module is sys.modules.get(name) else module


class _View(ModuleType):
    """A module of the standard library whose functions take the names of a code's modules."""

    def __init__(self, module: ModuleType, code: Code) -> None:
        super().__init__(module.__name__, module.__doc__)
        self._module, self._code = module, code
        vars(self).update(code.replaced[module.__name__])

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        return self._code._view(found) if isinstance(found, ModuleType) else found  # noqa: SLF001

    def __reduce__(self) -> tuple[Any, ...]:
        from cloudpickle.cloudpickle import subimport  # what another code's reader takes for a view of its own

        return subimport, (self.__name__,)


class _Mapped:
    """A function whose first argument may be the name of a module of the code."""

    def __init__(self, code: Code, module: str, name: str) -> None:
        self._code, self._module = code, module
        self.__name__ = self.__qualname__ = name

    def __call__(self, first: Any, *args: Any, **options: Any) -> Any:
        called = getattr(importlib.import_module(self._module), self.__name__)
        return called(self._code.private(first) if isinstance(first, str) else first, *args, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._code.import_module(self._module), self.__name__)


class _Loader(SourceFileLoader):
    """Runs the bytes that were verified: no compiled file is read, or written, in their place."""

    def __init__(self, fullname: str, file: Path, code: Code, path: str) -> None:
        super().__init__(fullname, str(file))
        self._code, self._path = code, path

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        compiled: CodeType = self.source_to_code(self._code.read(self._path), self.path)
        return compiled

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self._code.builtins
        super().exec_module(module)


class _Elsewhere(Loader):
    """A module of the host under a name of the code."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: ModuleSpec) -> None:
        del spec

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(self._name)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if not fullname.startswith(PREFIX):
            return None
        name, _, module = fullname.removeprefix(f"{__name__}.").partition(".")
        return code_of(name).spec(module)


_codes: dict[str, Code] = {}
_lock = threading.RLock()


def put(manifest: Mapping[str, str], copy: Callable[[Path], None]) -> Code:
    """The code of these files, path -> SHA-256, which `copy` writes to an empty folder if they are not there yet.

    From now on this user's processes can import it: call it after the user has decided to trust it.
    """
    place = folders.put(manifest, copy)
    with _lock:
        if place.name not in _codes or not _codes[place.name].folder.is_dir():
            _codes[place.name] = Code(place)
        return _codes[place.name]


def code_of(name: str) -> Code:
    """The code named `_<digest>`, which this process or another one of this user has loaded. Raises ModuleNotFoundError."""
    with _lock:
        if name not in _codes:
            place = folders.find(name)
            if place is None:
                message = (
                    f"{__name__}.{name} is the code of a model that is not on this machine: load the model with "
                    "modelmgmt.load_model first."
                )
                raise ModuleNotFoundError(message, name=f"{__name__}.{name}")
            _codes[name] = Code(place)
        return _codes[name]


def original(name: str) -> str:
    """What a module, or something in one, was called when the model was logged.

    >>> original("modelmgmt.packaged._0123456789abcdef0123456789abcdef.shop.features")
    'shop.features'
    """
    return name.removeprefix(PREFIX).partition(".")[2] if name.startswith(PREFIX) else name


sys.meta_path.insert(0, _Finder())
