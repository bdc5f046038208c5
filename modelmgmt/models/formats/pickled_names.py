"""The names of modules in pickles: read as a package's own modules, and written as those were called at first."""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Callable
from itertools import chain, pairwise
from types import FunctionType, ModuleType
from typing import Any

from modelmgmt.packaged import PREFIX, Code, original

_TEXTS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}


def reader_of(code: Code) -> type[pickle.Unpickler]:
    """An unpickler that finds the modules of the code under their private names. It runs what the pickle says."""

    def subimport(name: str) -> ModuleType:
        return code.import_module(name)

    def make_function(made: Any, names: dict[str, Any], *rest: Any) -> FunctionType:
        names["__builtins__"] = code.builtins  # what the function imports when it is called
        return FunctionType(made, names, *rest)

    def function_setstate(function: Any, state: Any) -> None:
        cloudpickle._function_setstate(function, state)  # noqa: SLF001 - a pickle of cloudpickle names it
        function.__globals__["__builtins__"] = code.builtins

    def dynamic_subimport(name: str, names: dict[str, Any]) -> ModuleType:
        made = ModuleType(name)
        vars(made).update(names, __builtins__=code.builtins)
        return made

    from cloudpickle import cloudpickle

    replaced: dict[str, Callable[..., Any]] = {
        "subimport": subimport, "_make_function": make_function, "_function_setstate": function_setstate,
        "dynamic_subimport": dynamic_subimport,
    }  # fmt: skip

    class Reader(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if module == cloudpickle.__name__ and name in replaced:
                return replaced[name]
            if name in code.replaced.get(module, ()):
                return code.replaced[module][name]
            return super().find_class(code.private(module), name)

    return Reader


def original_names(data: bytes) -> bytes:
    """A pickle of protocol 4 or later in which the private names of modules are replaced by the original ones.

    The frames go: their lengths would change, and pickles are read without them, too.
    """
    found: list[bytes | memoryview] = []
    view, copied = memoryview(data), 0
    ends = chain(pickletools.genops(data), [(None, None, len(data))])
    for (operation, argument, start), (_, _, end) in pairwise(ends):
        if operation is None or start is None or end is None:
            continue
        if operation.name == "FRAME":
            written = b""
        elif operation.name in _TEXTS and isinstance(argument, str) and argument.startswith(PREFIX):
            text = original(argument).encode()
            written = b"X" + len(text).to_bytes(4, "little") + text
        else:
            continue
        found += [view[copied:start], written]
        copied = end
    return b"".join([*found, view[copied:]])
