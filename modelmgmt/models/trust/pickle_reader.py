"""Reading a foreign pickle without running it: the whole stream is parsed, judged, and only then built, by a machine of

our own that can do less than Python's. It names classes by exact names of a list, makes empty instances and gives them
their state, calls the few constructors in the list with arguments of the shapes in the list, and nothing else: no name
with a dot, no extension codes, no persistent ids, no buffers from outside, nothing that changes what was imported.

It promises that no code of the pickle runs. It does not promise that a hostile model predicts well, nor that compiled
code of other libraries survives every array: `models/trust/soundness.py` checks what is known to matter.
"""

from __future__ import annotations

import warnings
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterable
from typing import Any

from modelmgmt.errors import ModelmgmtError, RefusedPickleError
from modelmgmt.models.packaging.archive import Budget, compression_of, unpacked
from modelmgmt.models.trust import joblib_arrays, soundness
from modelmgmt.models.trust.allowed import Rules, rules_for
from modelmgmt.models.trust.instructions import Decoder, MalformedError
from modelmgmt.models.trust.judge import judge
from modelmgmt.models.trust.makers import (
    MAKERS,
    RECONSTRUCTORS,
    ShapeError,
    check_array_state,
    check_masked_state,
    require,
)
from modelmgmt.models.trust.shapes import fits
from modelmgmt.models.trust.simulation import DEFAULT_LIMITS, Limits, Machine, Node, Reading
from modelmgmt.packaged import Code

_DICTS = (dict, OrderedDict, defaultdict, Counter)


def load_restricted(
    data: bytes, allowed: Collection[str] = (), limits: Limits = DEFAULT_LIMITS, *, code: Code | None = None
) -> Any:
    """The object in a pickle, or in a file of joblib, compressed or not, when it needs no code to be read.

    `allowed` are exact names of classes, `module.Class`, beyond those in the list that comes with the library. They are
    looked up in the package's `code` first, which has been decided to be trusted. Raises
    RefusedPickleError, which names what is not allowed; nothing has been built then, unless a library refused the
    state of an object.

    >>> import pickle
    >>> load_restricted(pickle.dumps({"coef": [0.5, 1.5]}))
    {'coef': [0.5, 1.5]}
    """
    rules = rules_for(allowed, code)
    data, budget = bytes(data), Budget(limits, len(data))
    for _ in range(limits.max_nesting):
        kind = compression_of(data)
        if kind is None:
            break
        data = unpacked(data, kind, budget)
    reading = Machine(data, 0, limits, joblib_arrays.hook(data, limits), strict=True).run()
    judge(reading, rules, limits, data)
    try:
        with warnings.catch_warnings():
            # Data of a file must not decide what a program that turns warnings into errors does.
            warnings.simplefilter("default")
            return _Builder(data, reading, rules).build()
    except ModelmgmtError:
        raise
    except (ShapeError, MalformedError) as error:
        raise RefusedPickleError(f"The pickle is malformed: it has {error}. Nothing more of it was built.") from error
    except Exception as error:  # other people's __setstate__ and constructors, given anything
        message = f"A part of the pickle was refused by its own library ({type(error).__name__}: {str(error)[:200]})."
        raise RefusedPickleError(message) from error


class _Stub:
    """Stands for a function that only the reader's own maker may answer for."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Builder:
    """The machine. Its instructions are those that were judged: same bytes, same decoder."""

    def __init__(self, data: bytes, reading: Reading, rules: Rules) -> None:
        self._data, self._reading, self._rules = data, reading, rules
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._made: dict[int, Any] = {}  # by id: what this pickle has called into being, and not been given a state yet
        self._position = 0

    def build(self) -> Any:
        decoder = Decoder(self._data, self._reading.start)
        while True:
            self._position = decoder.position
            name, argument = decoder.next()
            if name == "STOP":
                return self._pop()
            _STEPS[name](self, argument)
            if name == "BUILD":
                self._skip(decoder)

    def _skip(self, decoder: Decoder) -> None:
        node = self._reading.nodes[self._position]
        if joblib_arrays.is_wrapper(node):
            decoder.position = node.items[3].end

    # -- the stack

    def _pop(self) -> Any:
        value = self._stack.pop()
        require(type(value) is not _Stub, "a function where a value belongs")
        return value

    def _pop_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        require(_Stub not in map(type, items), "a function where a value belongs")
        return items

    # -- instructions

    def _constant(self, argument: Any) -> None:
        self._stack.append(argument)

    def _mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def _pop_one(self, _: Any) -> None:
        if self._marks and len(self._stack) == self._marks[-1]:
            self._marks.pop()
        else:
            self._stack.pop()

    def _drop_mark(self, _: Any) -> None:
        del self._stack[self._marks.pop() :]

    def _dup(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    def _get(self, argument: int) -> None:
        self._stack.append(self._memo[argument])

    def _put(self, argument: int) -> None:
        self._memo[argument] = self._stack[-1]

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _tuple(self, count: int | None) -> None:
        items = self._pop_mark() if count is None else [self._pop() for _ in range(count)][::-1]
        self._stack.append(tuple(items))

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list) and self._is_ours(target, list):
            list.extend(target, items)
        else:
            require(type(target) is deque, "something appended to what is no list")
            target.extend(items)

    def _add(self, items: list[Any]) -> None:
        require(type(self._stack[-1]) is set, "something added to what is no set")
        self._stack[-1].update(items)

    def _set(self, items: list[Any]) -> None:
        target = self._stack[-1]
        require(
            type(target) in _DICTS or (isinstance(target, dict) and id(target) in self._made), "an item set on no dict"
        )
        put: Callable[..., None] = OrderedDict.__setitem__ if isinstance(target, OrderedDict) else dict.__setitem__
        for key, value in zip(items[::2], items[1::2], strict=True):
            put(target, key, value)

    def _is_ours(self, target: Any, kind: type) -> bool:
        return type(target) is kind or id(target) in self._made

    def _global(self, _: Any) -> None:
        name = self._reading.nodes[self._position].name or ""
        rules = self._rules
        is_named = name in rules.values or name in rules.types or name in rules.extra
        self._stack.append(rules.resolve(name) if is_named else _Stub(name))

    def _stack_global(self, _: Any) -> None:
        self._pop(), self._pop()
        self._global(None)

    def _reduce(self, _: Any) -> None:
        args = self._pop()
        self._stack.pop()
        self._call(args, {})

    def _newobj_ex(self, _: Any) -> None:
        kwargs, args = self._pop(), self._pop()
        self._stack.pop()
        require(type(kwargs) is dict and all(type(key) is str for key in kwargs), "arguments without names")
        self._call(args, kwargs)

    def _call(self, args: Any, kwargs: dict[str, Any]) -> None:
        node = self._reading.nodes[self._position]
        name = node.items[0].name
        require(type(args) is tuple, "arguments that are no tuple")
        made = self._make(node, name, args, kwargs)
        if name in self._rules.calls and not self._rules.may_fill(name):
            soundness.check(made)  # what is given a state is checked when it has it
        self._made[id(made)] = made
        self._stack.append(made)

    def _make(self, node: Node, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        rules, is_new = self._rules, node.how in ("NEWOBJ", "NEWOBJ_EX")
        if joblib_arrays.is_wrapper(node):
            return self._joblib_array(node)
        if name in RECONSTRUCTORS:
            return self._empty(name, args)
        if name in MAKERS and not is_new:
            return MAKERS[name](node, args)
        if is_new and name in rules.types:
            require(not args and not kwargs, f"an instance of {name} made with arguments")
            return _new(rules.resolve(name))
        if name in rules.calls and not is_new:
            require(any(fits(shape, args) for shape in rules.calls[name]), f"a call of {name} with other arguments")
            return rules.resolve(name)(*args)
        require(name in rules.extra, f"a call of {name}")
        found = rules.resolve(name)
        require(isinstance(found, type), f"a call of the function {name}, which was allowed as a value")
        return found.__new__(found, *args, **kwargs) if is_new else found(*args)

    def _empty(self, name: str, args: tuple[Any, ...]) -> Any:
        """`copyreg._reconstructor(cls, object, None)`, `copyreg.__newobj__(cls)`: an instance without its state."""
        plain = args[1:] == (object, None) if name == "copyreg._reconstructor" else len(args) == 1
        found: Any = args[0] if args else None
        require(plain and isinstance(found, type), "an instance made in an unknown way")
        known = [each for each in (*self._rules.types, *self._rules.extra) if each.endswith(f".{found.__name__}")]
        require(
            any(self._rules.resolve(each) is found for each in known), "an instance of a class that may only be named"
        )
        return _new(found)

    def _joblib_array(self, node: Node) -> Any:
        import numpy as np

        from modelmgmt.models.trust.makers import make_dtype

        plan = node.items[3]
        if isinstance(plan, Reading):
            return _Builder(self._data, plan, self._rules).build()
        fields = dict(zip(node.state[0].items[::2], node.state[0].items[1::2], strict=True))
        subclass = getattr(fields.get("subclass"), "name", None)
        require(subclass in ("numpy.ndarray", "numpy.memmap"), "an array that is no plain ndarray")
        flat = np.frombuffer(self._data[plan.start : plan.end], make_dtype(fields["dtype"]))
        shaped = flat.reshape(plan.shape[::-1]).transpose() if plan.order == "F" else flat.reshape(plan.shape)
        return shaped.copy(order="K")

    def _build(self, _: Any) -> None:
        state, target = self._pop(), self._stack[-1]
        node = self._reading.nodes[self._position]
        name = getattr(node.items[0], "name", None)
        if name == "numpy.dtype" or joblib_arrays.is_wrapper(node):
            return  # made with it
        require(id(target) in self._made and self._made[id(target)] is target, "a state for what was not made here")
        _give_state(target, state)


def _new(kind: Any) -> Any:
    return kind.__new__(kind)


def _give_state(target: Any, state: Any) -> None:
    """As `pickle` does, but by the class alone: an attribute cannot say how the others are set."""
    import numpy as np

    if type(target) is np.ndarray:
        check_array_state(state)
    elif isinstance(target, np.ndarray):
        check_masked_state(state)
    soundness.check_state(target, state)
    _refuse_special(state)
    setter = getattr(type(target), "__setstate__", None)
    if setter is not None:
        setter(target, state)
    else:
        attributes, slots = state if type(state) is tuple and len(state) == 2 else (state, None)
        require(attributes is None or type(attributes) is dict, "the state of an object that is no dict")
        for key, value in (attributes or {}).items():
            target.__dict__[key] = value
        require(slots is None or type(slots) is dict, "the state of an object that is no dict")
        for key, value in (slots or {}).items():
            is_slot = any(key in vars(base).get("__slots__", ()) for base in type(target).__mro__)
            require(is_slot, "a value for what is no slot of its class")  # a property would run its setter
            object.__setattr__(target, key, value)
    soundness.check(target)


def _refuse_special(state: Any) -> None:
    """Names with two underscores speak to Python itself: `__class__`, `__setstate__`, `__dict__`."""
    for part in state if type(state) is tuple else (state,):
        for key in part if type(part) is dict else ():
            require(type(key) is str or type(part) is not dict or type(state) is tuple, "an attribute without a name")
            is_special = type(key) is str and key.startswith("__") and key.endswith("__")
            require(not is_special, f"the attribute {str(key)[:40]!r}, which is Python's own")


def _steps() -> dict[str, Callable[[_Builder, Any], None]]:
    constants = (
        "FLOAT", "INT", "BININT", "BININT1", "LONG", "BININT2", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE",
        "BINUNICODE", "BINFLOAT", "LONG1", "LONG4", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
        "BINBYTES8",
    )  # fmt: skip
    made: dict[str, Callable[[_Builder, Any], None]] = dict.fromkeys(constants, _Builder._constant)  # noqa: SLF001
    same: dict[Callable[[_Builder, Any], None], Iterable[str]] = {
        _Builder._get: ("GET", "BINGET", "LONG_BINGET"), _Builder._put: ("PUT", "BINPUT", "LONG_BINPUT"),  # noqa: SLF001
        _Builder._memoize: ("MEMOIZE",), _Builder._mark: ("MARK",), _Builder._dup: ("DUP",),  # noqa: SLF001
        _Builder._pop_one: ("POP",), _Builder._drop_mark: ("POP_MARK",), _Builder._global: ("GLOBAL",),  # noqa: SLF001
        _Builder._stack_global: ("STACK_GLOBAL",), _Builder._reduce: ("REDUCE", "NEWOBJ"),  # noqa: SLF001
        _Builder._newobj_ex: ("NEWOBJ_EX",), _Builder._build: ("BUILD",),  # noqa: SLF001
    }  # fmt: skip
    made.update({name: step for step, names in same.items() for name in names})
    made.update(dict.fromkeys(("PROTO", "FRAME"), lambda _, __: None))
    for name, value in {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}.items():
        made[name] = lambda builder, _, value=value: builder._stack.append(value)  # type: ignore[misc]  # noqa: SLF001
    made["BYTEARRAY8"] = lambda builder, data: builder._stack.append(bytearray(data))  # noqa: SLF001
    for name, kind in {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}.items():
        made[name] = lambda builder, _, kind=kind: builder._stack.append(kind())  # type: ignore[misc]  # noqa: SLF001
    for name, count in {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "TUPLE": None}.items():
        made[name] = lambda builder, _, count=count: builder._tuple(count)  # type: ignore[misc]  # noqa: SLF001
    made["LIST"] = lambda builder, _: builder._stack.append(builder._pop_mark())  # noqa: SLF001
    made["FROZENSET"] = lambda builder, _: builder._stack.append(frozenset(builder._pop_mark()))  # noqa: SLF001
    made["DICT"] = lambda builder, _: builder._stack.append(_paired(builder._pop_mark()))  # noqa: SLF001
    made["APPEND"] = lambda builder, _: builder._append([builder._pop()])  # noqa: SLF001
    made["APPENDS"] = lambda builder, _: builder._append(builder._pop_mark())  # noqa: SLF001
    made["ADDITEMS"] = lambda builder, _: builder._add(builder._pop_mark())  # noqa: SLF001
    made["SETITEM"] = lambda builder, _: builder._set([builder._pop(), builder._pop()][::-1])  # noqa: SLF001
    made["SETITEMS"] = lambda builder, _: builder._set(builder._pop_mark())  # noqa: SLF001
    return made


def _paired(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


_STEPS = _steps()
