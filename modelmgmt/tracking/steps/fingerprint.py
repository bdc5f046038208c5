"""Fingerprints of values and of code. Reads files, where a value is a path, and modules that it imports itself.

Of a value: SHA-256 over what it is, the same in every process. Equal fingerprints mean equal values. The other way round
it holds for plain values, arrays, frames, paths and objects made of them; a value that only pickle can describe may get
another fingerprint in another process, and then a step runs once more than it had to.

Of code: what counts is what Python executes, read from the compiled code: comments, blank lines, line numbers, type hints
of a function and docstrings do not. From the function on, it follows the names that the code uses: functions, classes and
values of the project are counted in; what comes from an installed package counts by its name and the package's version.
Another version of Python compiles other code, and so gives another fingerprint.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import dis
import enum
import fractions
import functools
import hashlib
import importlib.util
import inspect
import io
import itertools
import os
import sys
import sysconfig
import types
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

from modelmgmt.errors import InvalidTypeError
from modelmgmt.store.secrets import hidden, names_secret

_MARK = 12  # hexadecimal digits
PYTHON = "Python"


def mark(data: bytes | str) -> str:
    """What tells a part from another: the beginning of its SHA-256."""
    return f"#{hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()[:_MARK]}"


# -- values --------------------------------------------------------------------------------------------------------------

_BUFFER = 1 << 20  # bytes of a file at a time
_BY_TEXT = (
    complex, decimal.Decimal, fractions.Fraction, dt.datetime, dt.date, dt.time, dt.timedelta, dt.timezone, uuid.UUID,
    range, slice, type(None), type(Ellipsis), type(NotImplemented), bool,
)  # fmt: skip
_ATOMS = {str, float, bool, type(None)}  # and not int: the text of a long one takes long
_FUNCTIONS = (
    functools.partial, types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.CodeType, types.ModuleType,
    type,
)  # fmt: skip


def fingerprint(value: Any) -> str:
    """The SHA-256 of a value, in hex. Raises InvalidTypeError for what has none: a connection, a lock, a generator.

    Mappings count in their order, sets in none. A `Path` stands for the file or folder that it names, with all of its
    content; text that names a file stands for the text.

    >>> fingerprint({"lr": 0.1}) == fingerprint({"lr": 0.1}), fingerprint(1) == fingerprint(1.0)
    (True, False)
    """
    walk = Walk()
    try:
        walk.add(value)
    except (InvalidTypeError, OSError):
        raise
    except Exception as error:  # whatever a foreign object raises when it is asked what it is made of
        message = f"A {type(value).__name__} has no fingerprint ({type(error).__name__}: {str(error)[:200]})."
        raise InvalidTypeError(message) from error
    return walk.hexdigest()


class Walk:
    """Feeds a value, piece by piece and each with its length, to one hash. A value inside itself is a number."""

    def __init__(self, open_: list[int] | None = None) -> None:
        self._hash = hashlib.sha256()
        self.open: list[int] = [] if open_ is None else open_

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def put(self, tag: str, data: bytes | memoryview = b"") -> None:
        """One piece."""
        self._hash.update(f"{tag}:{len(data) if isinstance(data, bytes) else data.nbytes};".encode())
        self._hash.update(data)

    def add(self, value: Any) -> None:
        """A value of any kind."""
        if id(value) in self.open:
            self.put("again", str(len(self.open) - self.open.index(id(value))).encode())
            return
        self.open.append(id(value))
        try:
            self._add(value)
        except RecursionError as error:
            raise InvalidTypeError("This value is nested too deep to have a fingerprint.") from error
        finally:
            self.open.pop()

    def add_all(self, tag: str, values: Iterable[Any]) -> None:
        """Values in their order."""
        items = list(values)
        if _ATOMS.issuperset(map(type, items)) and len(items) > 8:
            # Their text says what they are, to the last bit, and takes one call for all of them.
            self.put(f"{tag} of atoms", repr(items).encode("utf-8", "surrogatepass"))
            return
        self.put(tag, str(len(items)).encode())
        for item in items:
            self.add(item)

    def add_path(self, path: Path) -> None:
        """The file or folder that is there, with all of its content."""
        _add_path(self, path)

    def add_code(self, thing: Any) -> None:
        """A function, class or module."""
        self.put("code", fingerprint_code(thing).encode())

    def _add(self, value: Any) -> None:
        kind = type(value)
        if kind is str:
            self.put("str", value.encode("utf-8", "surrogatepass"))
        elif kind is int:
            self.put("int", hex(value).encode())
        elif kind is float:
            self.put("float", value.hex().encode())
        elif kind in (bytes, bytearray):
            self.put(kind.__name__, memoryview(value))
        elif kind in _BY_TEXT:
            self.put(kind.__name__, repr(value).encode())
        elif kind in (list, tuple):
            self.add_all(kind.__name__, value)
        elif kind is dict:
            self.add_all("dict", (part for item in value.items() for part in item))
        elif kind in (set, frozenset):
            self.add_all(kind.__name__, sorted(fingerprint(item) for item in value))
        else:
            self._add_object(value)

    def _add_object(self, value: Any) -> None:
        own = _library_of(value)
        if isinstance(value, enum.Enum):
            self.add_all("enum", (type(value).__module__, type(value).__qualname__, value.name))
        elif isinstance(value, PurePath):
            self.add_path(Path(value))
        elif isinstance(value, _FUNCTIONS) or (callable(value) and hasattr(value, "__wrapped__")):
            self.add_code(value)
        elif own is not None and own(self, value):
            pass
        elif is_plain_object(value):
            self.add_all("object", (type(value), state_of(value)))
        else:
            self.put("pickle", _pickled(value))


def _add_path(walk: Walk, path: Path) -> None:
    if path.is_dir():
        walk.put("folder")
        for below in sorted(path.rglob("*"), key=os.fsencode):
            if below.is_file():
                walk.put("name", os.fsencode(below.relative_to(path)))
                walk.put("file", _file_hash(below))
    elif path.exists():
        walk.put("file", _file_hash(path))
    else:
        walk.put("path", os.fsencode(path))  # a place to write to


def _file_hash(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def is_plain_object(value: Any) -> bool:
    """Made of attributes and nothing else, by a class that says nothing about how it is kept."""
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        return True
    custom = any(getattr(kind, name) is not getattr(object, name) for name in ("__reduce__", "__reduce_ex__"))
    builtin = isinstance(value, (dict, list, tuple, set, frozenset, str, int, float, bytes, bytearray))
    return not custom and not builtin and isinstance(getattr(value, "__dict__", None), dict)


def state_of(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    try:
        return value.__getstate__()
    except Exception as error:  # whatever a foreign class raises when it is asked to describe itself
        raise InvalidTypeError(f"A {type(value).__name__} has no fingerprint: it does not say what it is.") from error


def _pickled(value: Any) -> bytes:
    import cloudpickle

    buffer = io.BytesIO()
    try:
        cloudpickle.CloudPickler(buffer, protocol=5).dump(value)
    except Exception as error:  # whatever a foreign class raises when it is asked to describe itself
        message = f"A {type(value).__name__} has no fingerprint ({type(error).__name__}: {str(error)[:200]})."
        raise InvalidTypeError(message) from error
    return buffer.getvalue()


# ------------------------------------------------------------------------------------------- arrays and frames


def _library_of(value: Any) -> Any:
    """What knows the values of a library, told by name: nothing is imported that the caller has not."""
    root = type(value).__module__.partition(".")[0]
    if root == "numpy" and "numpy" in sys.modules:
        return _add_numpy
    if root == "pandas" and "pandas" in sys.modules:
        return _add_pandas
    if root in ("polars", "pyarrow", "scipy"):
        return _add_other_table
    return None


def _add_numpy(walk: Walk, value: Any) -> bool:
    import numpy as np

    if isinstance(value, np.ma.MaskedArray):
        walk.add_all("masked", (value.data, np.ma.getmaskarray(value)))
    elif isinstance(value, np.ndarray) and type(value) in (np.ndarray, np.memmap):
        _add_array(walk, value)
    elif isinstance(value, np.generic):
        walk.put("scalar")
        _add_array(walk, np.asarray(value))
    elif isinstance(value, np.random.Generator):
        walk.add_all("generator", (value.bit_generator.state,))
    elif isinstance(value, np.random.RandomState):
        walk.add_all("generator", (value.get_state(legacy=False),))
    elif isinstance(value, np.dtype):
        walk.put("dtype", str(value).encode())
    else:
        return False
    return True


def _add_array(walk: Walk, array: Any) -> None:
    import numpy as np

    described = array.dtype.str if array.dtype.names is None else repr(array.dtype.descr)
    walk.put("array", f"{described} {array.shape}".encode())
    if array.dtype.hasobject or array.dtype.kind == "T":
        walk.add_all("cells", array.ravel().tolist())
    else:
        walk.put("bytes", np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _add_pandas(walk: Walk, value: Any) -> bool:
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        return _add_table(walk, value)
    if isinstance(value, pd.Series):
        walk.add_all("series", (value.name,))
        return _add_table(walk, value.to_frame("values"))
    if isinstance(value, pd.Index):
        walk.add_all("index", (type(value).__name__, list(value.names)))
        levels = {str(place): value.get_level_values(place).array for place in range(value.nlevels)}
        return _add_table(walk, pd.DataFrame(levels))
    if isinstance(value, (pd.Timestamp, pd.Timedelta, pd.Period, pd.Interval)):
        walk.put(type(value).__name__, repr(value).encode())
    elif value is pd.NA or value is pd.NaT:
        walk.put("missing", repr(value).encode())
    elif isinstance(value, pd.api.extensions.ExtensionArray):
        walk.put("column", type(value).__name__.encode())
        return _add_table(walk, pd.DataFrame({"values": value}))
    else:
        return False
    return True


def _add_table(walk: Walk, value: Any) -> bool:
    """The fingerprint that versions of data have, and all that it leaves out on purpose: which library, which dtypes."""
    from modelmgmt.versions.data.fingerprint import fingerprint as of_table
    from modelmgmt.versions.data.sources import table_of

    table = table_of(value, index=True)
    walk.put("table", of_table(table).encode())
    walk.add(dict(table.container))
    return True


def _add_other_table(walk: Walk, value: Any) -> bool:
    """Frames and matrices of other libraries; what is no such thing, or cannot be a table, is left to the pickle."""
    try:
        return _add_table(walk, value)
    except InvalidTypeError:
        return False


# -- code ----------------------------------------------------------------------------------------------------------------

_SKIPPED = {"CACHE", "EXTENDED_ARG", "NOP", "RESUME", "COPY_FREE_VARS", "PRECALL"}
_LOADS = {"LOAD_GLOBAL", "LOAD_NAME"}
_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
_HAS_DOCSTRING = 0x4000000  # of a code object's flags, from Python 3.14 on
MARK = "__modelmgmt_step__"
"""The attribute of a decorated function that holds the plain one."""


def describe_code(thing: Any) -> tuple[str, dict[str, list[str]]]:
    """As `fingerprint_code`, with its parts: name -> [the name of what uses it, a mark or a short value]."""
    walk = _walked(thing)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return walk.hexdigest(), {**walk.parts, PYTHON: ["", version]}


def fingerprint_code(thing: Any) -> str:
    """The SHA-256, in hex, of a function, class or module, and of what it uses in the project.

    >>> def f(x):
    ...     return x + 1
    >>> def g(x):
    ...     '''Says more.'''
    ...     return x + 1  # the same
    >>> fingerprint_code(f) == fingerprint_code(g)
    True
    """
    return _walked(thing).hexdigest()


def _walked(thing: Any) -> _CodeWalk:
    walk = _CodeWalk()
    try:
        walk.visit(thing)
    except InvalidTypeError:
        raise
    except Exception as error:  # whatever a foreign object raises when it is asked what it is made of
        message = f"This code has no fingerprint ({type(error).__name__}: {str(error)[:200]})."
        raise InvalidTypeError(message) from error
    return walk


class _CodeWalk(Walk):
    """Follows names from one piece of code to the next; what was seen before is a number."""

    def __init__(self, around: _CodeWalk | None = None) -> None:
        super().__init__(around.open if around else None)
        self.seen: dict[int, tuple[int, Any]] = around.seen if around else {}
        self.files: set[Path] = around.files if around else set()
        self.parts: dict[str, list[str]] = {}
        """What it is made of. The whole does not come from these: they are there to be told apart by people."""
        self._open_parts: list[tuple[str, Any]] = []

    def put(self, tag: str, data: bytes | memoryview = b"", *, told: bytes | None = None) -> None:
        """One piece; of the part that it belongs to, `told` stands for it where the piece is about more than that part."""
        super().put(tag, data)
        if self._open_parts:
            self._open_parts[-1][1].update(f"{tag};".encode())
            self._open_parts[-1][1].update(data if told is None else told)

    @contextmanager
    def _part(self, name: str, shown: str | None = None) -> Iterator[None]:
        """What is put within belongs to this part of the code."""
        user = self._open_parts[-1][0] if self._open_parts else ""
        self._open_parts.append((name.partition(" ")[2], hashlib.sha256()))
        try:
            yield
        finally:
            found = self._open_parts.pop()[1].hexdigest()
            numbered = (f"{name} {number}" for number in itertools.count(2))
            free = next(each for each in itertools.chain([name], numbered) if each not in self.parts)
            self.parts[free] = [user, mark(found) if shown is None else shown]

    def _library(self, tag: str, name: str, module: str) -> None:
        """What comes from an installed package: its name, and the version of the package, which is a part of its own."""
        version = version_of(module)
        self.put(tag, f"{name} {version}".encode(), told=name.encode())
        if version and self._open_parts:
            self.parts.setdefault(f"library {module.partition('.')[0]}", [self._open_parts[-1][0], version])

    def add_path(self, path: Path) -> None:
        """A path that code has as a constant may be one that it writes to, or a whole disk: its name counts."""
        self.put("path", os.fsencode(path))

    def add_code(self, thing: Any) -> None:
        self.visit(thing)

    def visit(self, thing: Any) -> None:
        """A function, class or module, or any value that code uses."""
        if isinstance(thing, types.FunctionType):
            thing = thing.__dict__.get(MARK, thing)
        if isinstance(thing, (types.FunctionType, types.CodeType, types.ModuleType, type)):
            if id(thing) in self.seen:
                self.put("seen", str(self.seen[id(thing)][0]).encode(), told=_name(thing).encode())
                return
            self.seen[id(thing)] = (len(self.seen), thing)  # held, so that its id stays its own
        if isinstance(thing, types.MethodType):
            self.visit(thing.__func__)
            self.add_value(thing.__self__)
        elif isinstance(thing, types.FunctionType):
            self._function(thing)
        elif isinstance(thing, types.CodeType):
            self._code(thing, {})
        elif isinstance(thing, type):
            self._class(thing)
        elif isinstance(thing, functools.partial):
            self.visit(thing.func)
            self.add_value([thing.args, thing.keywords])
        elif isinstance(thing, types.ModuleType):
            self._module(thing)
        elif isinstance(thing, (staticmethod, classmethod)):
            self.visit(thing.__func__)
        elif isinstance(thing, property):
            for part in (thing.fget, thing.fset, thing.fdel):
                self.visit(part)
        elif callable(thing) and hasattr(thing, "__wrapped__"):
            self.put("wrapper", type(thing).__qualname__.encode())
            self.visit(thing.__wrapped__)
        elif isinstance(thing, types.BuiltinFunctionType):
            self._named(thing)
        else:
            self.add_value(thing)

    def add_value(self, value: Any) -> None:
        """A value that the code uses. One that has no fingerprint counts by its type: a logger, a lock."""
        inner = _CodeWalk(self)
        try:
            inner.add(value)
        except InvalidTypeError:
            self.put("opaque", f"{type(value).__module__}.{type(value).__qualname__}".encode())
        else:
            self.put("value", inner.hexdigest().encode())

    def _named(self, thing: Any) -> None:
        module = getattr(thing, "__module__", None) or ""
        name = getattr(thing, "__qualname__", None) or type(thing).__qualname__
        self._library("library", f"{module}:{name}", module)

    def _function(self, function: types.FunctionType) -> None:
        if not is_project(function):
            self._named(function)
            return
        with self._part(f"function {_name(function)}"):
            self._code(function.__code__, function.__globals__)
            for name, value in zip(function.__code__.co_freevars, _cells(function), strict=True):
                self.put("cell", name.encode())
                self._used(f"closure variable {name}", value)
            self.add_value([function.__defaults__, function.__kwdefaults__])

    def _used(self, name: str, value: Any) -> None:
        """A value that code finds by a name. Code among them is a part by itself."""
        if isinstance(value, (types.FunctionType, types.ModuleType, type, types.BuiltinFunctionType)):
            self.visit(value)
        else:
            with self._part(name, _short(name, value)):
                self.visit(value)

    def _class(self, kind: type) -> None:
        if not is_project(kind):
            self._named(kind)
            return
        with self._part(f"class {_name(kind)}"):
            self.put("class", kind.__qualname__.encode())
            for base in kind.__bases__:
                self.visit(base)
            for name, member in sorted(vars(kind).items()):
                if name not in _ABOUT_A_CLASS and not isinstance(
                    member, (types.GetSetDescriptorType, types.MemberDescriptorType)
                ):
                    self.put("member", name.encode())
                    self.visit(member)

    def _module(self, module: types.ModuleType) -> None:
        """A module as a whole: its name, and the version of what it belongs to."""
        if is_project(module):
            self.put("module", f"{module.__name__} ".encode())
        else:
            self._library("module", module.__name__, module.__name__)

    def _code(self, code: types.CodeType, names: dict[str, Any]) -> None:
        self.put("code", repr((code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)).encode())
        self.put("flags", str(code.co_flags & ~_HAS_DOCSTRING).encode())
        self.put("handlers", code.co_exceptiontable)
        instructions, places = _instructions(code)
        for at, found in enumerate(instructions):
            self.put("op", found.opname.encode())
            if found.opcode in dis.hasjabs or found.opcode in dis.hasjrel:
                self.put("to", str(places.get(found.argval, -1)).encode())
            elif found.opcode in dis.hasconst:
                self._constant(found.argval, names)
            else:
                self.put("arg", str(found.argval).encode("utf-8", "surrogatepass"))
            if found.opname in _LOADS:
                self._follow(names, instructions, at)
            elif found.opname == "IMPORT_NAME":
                self._import(str(found.argval))

    def _constant(self, constant: Any, names: dict[str, Any]) -> None:
        if isinstance(constant, types.CodeType):
            self._code(constant, names)
        else:
            self.add_value(constant)

    def _follow(self, names: dict[str, Any], instructions: Sequence[dis.Instruction], at: int) -> None:
        """A global name; through modules, on to the attribute that is used of them."""
        name = str(instructions[at].argval)
        if name not in names:
            self.put("builtin")
            return
        thing = names[name]
        for after in instructions[at + 1 :]:
            if not isinstance(thing, types.ModuleType) or after.opname not in _ATTRIBUTES:
                break
            if not is_project(thing) or not hasattr(thing, str(after.argval)):
                break
            thing, name = getattr(thing, str(after.argval)), f"{name}.{after.argval}"
        self._used(f"global {name}", thing)

    def _import(self, name: str) -> None:
        """A module that the code imports when it runs: by its file in the project, which need not be loaded yet."""
        path = _project_file(name) if name else None
        if path is None:
            self._library("library", name, name)
            return
        if path not in self.files:
            self.files.add(path)
            with self._part(f"module {name}"):
                self._code(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), {})


def _name(thing: Any) -> str:
    """What people call it."""
    return str(getattr(thing, "__qualname__", None) or getattr(thing, "__name__", "")).rpartition("<locals>.")[2]


def _short(name: str, value: Any) -> str | None:
    """A number or a short text, as it is: it says more than a mark. Never a password."""
    shown = repr(value) if value is None or type(value) in (bool, int, float, str) else None
    return None if shown is None or len(shown) > 40 or names_secret(name) or hidden(shown) != shown else shown


_ABOUT_A_CLASS = {
    "__doc__", "__module__", "__dict__", "__weakref__", "__annotations__", "__firstlineno__", "__static_attributes__",
    "__annotate__", "__annotate_func__", "__annotations_cache__", "__abstractmethods__", "_abc_impl", "__qualname__",
    "__dataclass_fields__", "__dataclass_params__", "__match_args__", "__parameters__", "__orig_bases__", "__hash__",
}  # fmt: skip


@functools.lru_cache(maxsize=2048)
def _instructions(code: types.CodeType) -> tuple[tuple[dis.Instruction, ...], dict[int, int]]:
    """What the code does, without what says nothing; and which of them stands at, or next after, each offset."""
    places: dict[int, int] = {}
    found: list[dis.Instruction] = []
    for instruction in dis.get_instructions(code):
        places[instruction.offset] = len(found)
        if instruction.opname not in _SKIPPED:
            found.append(instruction)
    return tuple(found), places


def is_project(thing: Any) -> bool:
    """Whether code is the project's own: of no installed package, of no part of Python, and not of this library."""
    if isinstance(thing, types.FunctionType):
        return _is_project_file(thing.__code__.co_filename)
    module = thing if isinstance(thing, types.ModuleType) else sys.modules.get(getattr(thing, "__module__", None) or "")
    if module is None or module.__name__ == "builtins":
        return module is None and isinstance(thing, type)
    file = getattr(module, "__file__", None)
    if file is None:
        return module.__name__ == "__main__" or not hasattr(module, "__spec__") or module.__spec__ is None
    return _is_project_file(file)


@functools.lru_cache(maxsize=4096)
def _is_project_file(name: str) -> bool:
    if name.startswith("<frozen"):
        return False
    path = Path(name).resolve() if not name.startswith("<") else None
    if path is None:
        return True  # a cell, or text that was executed
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return not installed and not any(path.is_relative_to(root) for root in _foreign_roots())


@functools.cache
def _foreign_roots() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    ours = Path(__file__).resolve().parents[2]
    return (*(Path(paths[name]).resolve() for name in ("stdlib", "platstdlib")), ours)


@functools.lru_cache(maxsize=1024)
def version_of(module: str) -> str:
    """The version of the installed package that a module belongs to; that of Python for a part of it, else nothing."""
    root = module.partition(".")[0]
    if not root or root in sys.stdlib_module_names:
        return ""
    try:
        return metadata.version(root)
    except metadata.PackageNotFoundError:
        names = _distributions().get(root, [])
        return metadata.version(names[0]) if names else ""


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())


def _project_file(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin) if _is_project_file(spec.origin) else None


def _cells(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            yield None  # a name that is not bound yet


def qualified_name(function: Any) -> str:
    """module:qualified name."""
    return f"{function.__module__}:{inspect.unwrap(function).__qualname__}"
