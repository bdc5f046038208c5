"""Fingerprints of code: a function, and what it reaches in the project. Reads modules that it imports itself.

What counts is what Python executes, read from the compiled code: comments, blank lines, line numbers, type hints of a
function and docstrings do not. From the function on, it follows the names that the code uses: functions, classes and
values of the project are counted in; what comes from an installed package counts by its name and the package's version.
Another version of Python compiles other code, and so gives another fingerprint.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import importlib.util
import inspect
import itertools
import os
import sys
import sysconfig
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from modelmgmt.errors import InvalidTypeError
from modelmgmt.store.secrets import hidden, names_secret
from modelmgmt.tracking.steps.changes import PYTHON, mark
from modelmgmt.tracking.steps.values import Walk

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
