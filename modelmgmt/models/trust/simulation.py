"""A pickle run on paper: a machine whose stack holds descriptions of values instead of values.

Pure. A pickle has no jumps and no conditions, so one pass over its instructions says exactly what it would import and
call, with which arguments. Numbers, text and bytes stand for themselves; everything else is a `Node`.
"""

from __future__ import annotations

import _compat_pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from modelmgmt.errors import printable
from modelmgmt.models.trust.instructions import Decoder, MalformedError


@dataclass(frozen=True, slots=True)
class Limits:
    """Where reading stops: a pickle of a few bytes can ask for hours or for all memory."""

    max_bytes: int = 1 << 32  # of everything unpacked together
    max_operations: int = 10_000_000
    max_depth: int = 500  # of values within values
    max_key_weight: int = 256  # values in one key of a dict or member of a set, counted as often as they are named
    max_ratio: int = 200  # of unpacked to packed bytes, beyond the first 64 MiB
    max_members: int = 100_000  # of an archive
    max_nesting: int = 6  # of containers in containers


DEFAULT_LIMITS = Limits()


class LimitError(MalformedError):
    """A bound was met."""


class Node:
    """What a value would be. `kind` is one of

    global (`items` is [module, name]), call (`items` is [callee, args, kwargs], `how` the instruction), tuple, list, dict
    (keys and values in turn), set, frozenset, bytearray, persistent, extension, buffer.
    """

    __slots__ = ("depth", "how", "items", "kind", "position", "state", "weight")

    def __init__(self, kind: str, items: list[Any], position: int, how: str = "") -> None:
        self.kind = kind
        self.items = items
        self.position = position
        self.how = how
        self.state: list[Any] = []
        """What BUILD would give it, in order."""
        self.depth = 0
        self.weight = 1

    @property
    def name(self) -> str | None:
        """`module.name` of a global, else None."""
        return ".".join(self.items) if self.kind == "global" else None

    def __repr__(self) -> str:
        return printable(f"<Node {self.kind} at {self.position}>")


@dataclass(frozen=True, slots=True)
class Import:
    """A name that would be looked up in a module, which is imported for it; and where the instruction is."""

    module: str
    name: str
    position: int
    instruction: str

    @property
    def full_name(self) -> str:
        """`module.name`."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Call:
    """Something that would be called: `callee` is the name of it, or what it would be the result of."""

    callee: str
    position: int
    instruction: str
    arguments: str


@dataclass(slots=True)
class Reading:
    """What one pickle would do, in order. `problem` says why it could not be read to its end; `end` is where it stops."""

    start: int
    end: int = 0
    protocol: int = 0
    operations: int = 0
    imports: list[Import] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    nodes: dict[int, Node] = field(default_factory=dict)
    """The node of each call, by position."""
    extensions: list[int] = field(default_factory=list)
    persistent: int = 0
    buffers: int = 0
    raw_bytes: list[tuple[int, int]] = field(default_factory=list)
    """Where bytes of arrays lie between instructions, as joblib writes them: (start, end)."""
    inner: list[Reading] = field(default_factory=list)
    """Pickles in the place of such bytes: arrays of objects."""
    embedded: list[tuple[int, bytes]] = field(default_factory=list)
    """Bytes that look like a pickle, and where: data here, until somebody reads them."""
    problem: str | None = None
    is_limit: bool = False
    result: Any = None


_MARK = Node("mark", [], -1)
Hook = Callable[[Node, Decoder, Reading], None]
Handler = Callable[["Machine", Any], None]


class Machine:
    """One reading. `after_build` is told of each BUILD and may move the decoder past bytes that are no instructions."""

    def __init__(
        self,
        data: bytes | memoryview,
        start: int,
        limits: Limits,
        after_build: Hook | None = None,
        *,
        strict: bool = False,
    ) -> None:
        self.reading = Reading(start)
        self._decoder = Decoder(data, start)
        self._limits = limits
        self._after_build = after_build
        self._strict = strict
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._position = start
        self._name = ""
        self._key_weight = 0

    def run(self) -> Reading:
        """Read to STOP, or to what cannot be read; never raises for what the bytes are."""
        reading = self.reading
        try:
            while True:
                self._position = self._decoder.position
                reading.operations += 1
                if reading.operations > self._limits.max_operations:
                    raise LimitError(f"more than {self._limits.max_operations:,} instructions", self._position)
                self._name, argument = self._decoder.next()
                if self._name == "STOP":
                    reading.result = self._pop()
                    break
                _HANDLERS[self._name](self, argument)
        except MalformedError as error:
            reading.problem = str(error)
            reading.is_limit = isinstance(error, LimitError)
        reading.end = self._decoder.position
        return reading

    # -- the stack

    def _pop(self) -> Any:
        if not self._stack or (self._marks and len(self._stack) <= self._marks[-1]):
            raise MalformedError(f"{self._name} finds nothing on the stack", self._position)
        return self._stack.pop()

    def _top(self) -> Any:
        value = self._pop()
        self._stack.append(value)
        return value

    def _pop_mark(self) -> list[Any]:
        if not self._marks:
            raise MalformedError(f"{self._name} finds no mark on the stack", self._position)
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _make(self, kind: str, items: list[Any], how: str = "") -> Node:
        node = Node(kind, items, self._position, how)
        self._deepen(node, items)
        if kind in ("tuple", "frozenset"):
            node.weight += sum(item.weight if isinstance(item, Node) else 1 for item in items)
        return node

    def _deepen(self, node: Node, items: Iterable[Any]) -> None:
        depth = max((item.depth for item in items if isinstance(item, Node)), default=0) + 1
        node.depth = max(node.depth, depth)
        if node.depth > self._limits.max_depth:
            raise LimitError(f"values within values, more than {self._limits.max_depth:,} deep", self._position)

    def _weigh(self, keys: Iterable[Any]) -> None:
        """Hashing a key walks through it as often as it names its parts: a short pickle can make that endless."""
        for key in keys:
            weight = key.weight if isinstance(key, Node) else 1
            self._key_weight += weight
            if weight > self._limits.max_key_weight or self._key_weight > 4 * self._limits.max_operations:
                raise LimitError("a key of a dict, or a member of a set, with too many parts", self._position)

    # -- instructions

    def _constant(self, argument: Any) -> None:
        self._push(argument)

    def _bytes(self, argument: bytes) -> None:
        if argument[:1] == b"\x80" and argument[1:2] <= b"\x05" and argument[-1:] == b".":
            self.reading.embedded.append((self._position, argument))
        self._push(argument)

    def _proto(self, argument: int) -> None:
        if argument > 5:
            raise MalformedError(f"protocol {argument} is not known", self._position)
        self.reading.protocol = argument

    def _frame(self, argument: int) -> None:
        del argument  # how its instructions were written, not what they do

    def _mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def _pop_one(self, _: Any) -> None:
        # Of an empty stack it takes the mark away, as CPython does.
        if self._marks and len(self._stack) == self._marks[-1]:
            self._marks.pop()
        else:
            self._pop()

    def _drop_mark(self, _: Any) -> None:
        self._pop_mark()

    def _dup(self, _: Any) -> None:
        self._push(self._top())

    def _get(self, argument: int) -> None:
        if argument not in self._memo:
            raise MalformedError(f"memo {argument} is asked for and was never kept", self._position)
        self._push(self._memo[argument])

    def _put(self, argument: int) -> None:
        if argument < 0:
            raise MalformedError("a memo below zero", self._position)
        self._memo[argument] = self._top()

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._top()

    def _tuple(self, count: int | None) -> None:
        items = self._pop_mark() if count is None else [self._pop() for _ in range(count)][::-1]
        self._push(self._make("tuple", items))

    def _collection(self, kind: str, items: list[Any]) -> None:
        if kind in ("set", "frozenset"):
            self._weigh(items)
        elif kind == "dict":
            self._check_pairs(items)
        self._push(self._make(kind, items))

    def _check_pairs(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise MalformedError("a key without its value", self._position)
        self._weigh(items[::2])

    def _extend(self, items: list[Any], *, keyed: bool) -> None:
        target = self._top()
        if keyed:
            self._check_pairs(items)
        elif self._name == "ADDITEMS":
            self._weigh(items)
        if not isinstance(target, Node) or (target.kind == "global" and self._strict):
            raise MalformedError(f"{self._name} on what is no collection made here", self._position)
        target.items.extend(items if target.kind in ("list", "dict", "set") else ())
        self._deepen(target, items)
        if target.kind not in ("list", "dict", "set"):
            self._call(f"{_METHODS[self._name]} of {described(target)}", items)

    def _global(self, pair: tuple[str, str]) -> Node:
        module, name = pair
        if self.reading.protocol < 3:  # the names of Python 2, as CPython reads them
            module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
            module = _compat_pickle.IMPORT_MAPPING.get(module, module)
        self.reading.imports.append(Import(module, name, self._position, self._name))
        node = Node("global", [module, name], self._position)
        self.reading.nodes[self._position] = node
        return node

    def _push_global(self, pair: tuple[str, str]) -> None:
        self._push(self._global(pair))

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            raise MalformedError("a name to import that is not text", self._position)
        self._push(self._global((module, name)))

    def _inst(self, pair: tuple[str, str]) -> None:
        args = self._make("tuple", self._pop_mark())
        self._push(self._called(self._global(pair), args, None))

    def _obj(self, _: Any) -> None:
        items = self._pop_mark()
        if not items:
            raise MalformedError("OBJ without a class", self._position)
        self._push(self._called(items[0], self._make("tuple", items[1:]), None))

    def _reduce(self, _: Any) -> None:
        args, callee = self._pop(), self._pop()
        self._push(self._called(callee, args, None))

    def _newobj_ex(self, _: Any) -> None:
        kwargs, args, callee = self._pop(), self._pop(), self._pop()
        self._push(self._called(callee, args, kwargs))

    def _called(self, callee: Any, args: Any, kwargs: Any) -> Node:
        node = self._make("call", [callee, args, kwargs], self._name)
        self.reading.nodes[self._position] = node
        values = args.items if isinstance(args, Node) and args.kind == "tuple" else [args]
        self._call(described(callee), [*values, *(() if kwargs is None else (kwargs,))])
        return node

    def _call(self, callee: str, values: list[Any]) -> None:
        shown = ", ".join(described(value) for value in values[:4]) + (", ..." if len(values) > 4 else "")
        self.reading.calls.append(Call(callee, self._position, self._name, shown))

    def _build(self, _: Any) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, Node):
            target.state.append(state)
            self._deepen(target, (state,))
            self.reading.nodes[self._position] = target
        if not isinstance(target, Node) or target.kind != "call":
            self._call(f"setting the state of {described(target)}", [state])
        if isinstance(target, Node) and self._after_build is not None:
            self._after_build(target, self._decoder, self.reading)

    def _extension(self, argument: int) -> None:
        self.reading.extensions.append(argument)
        self._push(Node("extension", [argument], self._position))

    def _persistent(self, argument: Any) -> None:
        self.reading.persistent += 1
        self._push(self._make("persistent", [self._pop() if self._name == "BINPERSID" else argument]))

    def _buffer(self, _: Any) -> None:
        self.reading.buffers += 1
        self._push(Node("buffer", [], self._position))

    def _read_only(self, _: Any) -> None:
        self._top()


_METHODS = {"APPEND": "append", "APPENDS": "extend", "SETITEM": "setitem", "SETITEMS": "setitem", "ADDITEMS": "add"}


def described(value: Any, limit: int = 60) -> str:
    """A value as a few words on one line; never long, however deep it is."""
    if not isinstance(value, Node):
        text = repr(value[:limit] if isinstance(value, str | bytes) else value) if not _is_long(value) else "a long int"
        return text if len(text) <= limit else text[: limit - 3] + "..."
    if value.name is not None:
        return ascii(value.name)[1:-1][: 2 * limit]
    if value.kind == "call":
        callee = value.items[0]
        name = callee.name if isinstance(callee, Node) else None
        return f"what {ascii(name)[1:-1][: 2 * limit]} gives" if name else "what another call gives"
    if value.kind == "extension":
        return f"extension {value.items[0]}"
    return f"a {value.kind} of {len(value.items)}"


def _is_long(value: Any) -> bool:
    return isinstance(value, int) and value.bit_length() > 256


def _fixed(value: Any) -> Handler:
    return lambda machine, _: machine._push(value)  # noqa: SLF001 - one module


def _new(kind: str) -> Handler:
    return lambda machine, _: machine._collection(kind, [])  # noqa: SLF001


def _marked(kind: str) -> Handler:
    return lambda machine, _: machine._collection(kind, machine._pop_mark())  # noqa: SLF001


def _tuple_of(count: int | None) -> Handler:
    return lambda machine, _: machine._tuple(count)  # noqa: SLF001


def _some(count: int | None, *, keyed: bool = False) -> Handler:
    def handle(machine: Machine, _: Any) -> None:
        popped = machine._pop_mark() if count is None else [machine._pop() for _ in range(count)][::-1]  # noqa: SLF001
        machine._extend(popped, keyed=keyed)  # noqa: SLF001

    return handle


_CONSTANTS = (
    "FLOAT", "INT", "BININT", "BININT1", "LONG", "BININT2", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE",
    "BINUNICODE", "BINFLOAT", "LONG1", "LONG4", "SHORT_BINUNICODE", "BINUNICODE8",
)  # fmt: skip

_HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(_CONSTANTS, Machine._constant),  # noqa: SLF001
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), Machine._bytes),  # noqa: SLF001
    "NONE": _fixed(None), "NEWTRUE": _fixed(True), "NEWFALSE": _fixed(False),
    "BYTEARRAY8": lambda machine, data: machine._push(Node("bytearray", [data], machine._position)),  # noqa: SLF001
    "PROTO": Machine._proto, "FRAME": Machine._frame, "MARK": Machine._mark, "POP": Machine._pop_one,  # noqa: SLF001
    "POP_MARK": Machine._drop_mark, "DUP": Machine._dup,  # noqa: SLF001
    "GET": Machine._get, "BINGET": Machine._get, "LONG_BINGET": Machine._get,  # noqa: SLF001
    "PUT": Machine._put, "BINPUT": Machine._put, "LONG_BINPUT": Machine._put, "MEMOIZE": Machine._memoize,  # noqa: SLF001
    "EMPTY_TUPLE": _tuple_of(0), "TUPLE1": _tuple_of(1), "TUPLE2": _tuple_of(2), "TUPLE3": _tuple_of(3),
    "TUPLE": _tuple_of(None), "EMPTY_LIST": _new("list"), "LIST": _marked("list"), "EMPTY_DICT": _new("dict"),
    "DICT": _marked("dict"), "EMPTY_SET": _new("set"), "FROZENSET": _marked("frozenset"),
    "APPEND": _some(1), "APPENDS": _some(None), "ADDITEMS": _some(None),
    "SETITEM": _some(2, keyed=True), "SETITEMS": _some(None, keyed=True),
    "GLOBAL": Machine._push_global, "STACK_GLOBAL": Machine._stack_global, "INST": Machine._inst,  # noqa: SLF001
    "OBJ": Machine._obj, "REDUCE": Machine._reduce, "NEWOBJ": Machine._reduce, "NEWOBJ_EX": Machine._newobj_ex,  # noqa: SLF001
    "BUILD": Machine._build, "EXT1": Machine._extension, "EXT2": Machine._extension, "EXT4": Machine._extension,  # noqa: SLF001
    "PERSID": Machine._persistent, "BINPERSID": Machine._persistent, "NEXT_BUFFER": Machine._buffer,  # noqa: SLF001
    "READONLY_BUFFER": Machine._read_only,  # noqa: SLF001
}  # fmt: skip
