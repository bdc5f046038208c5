"""Reading a skops file faster than skops does, with its own rules: importing this fails where its insides are others.

skops makes a node of each part of a model, asks each for the types that it would make, compares them with what is
trusted, and only then lets the nodes make anything. All of that is left to it. What takes its time is done otherwise:

- an array is looked at where it lies in the archive, and copied once or not at all, where skops copies its bytes four times;
- the names that a kind of node trusts by itself are put together once, and not for every node;
- a part that is met again is asked for its types once.

Private names of skops that are used here, and nowhere else but for its writer in `skops.py`: `_audit.Node`,
`NODE_TYPE_MAPPING`, `audit_tree`, `get_tree`; `_general.DictNode`, `JsonNode`; `_numpy.NdArrayNode` with `type`, `trusted`,
`children`, `NUMPY_DTYPE_TYPE_NAMES`; `_sklearn.TreeNode` with `args`, `attrs`, `constructor`; `_protocol.PROTOCOL`;
`_utils.LoadContext`, `get_type_paths`, `gettype`, `read_schema`. A later skops may have mended a hole in one of them,
and a class of ours in its place would open it again: only versions whose insides were read are taken, and
`skops.io.load` reads for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import skops
from skops.io._audit import NODE_TYPE_MAPPING, Node, audit_tree, get_tree
from skops.io._general import DictNode, JsonNode
from skops.io._numpy import NUMPY_DTYPE_TYPE_NAMES, NdArrayNode
from skops.io._protocol import PROTOCOL
from skops.io._sklearn import TreeNode
from skops.io._utils import LoadContext, get_type_paths, gettype, read_schema

from modelmgmt.models.formats.npy import Arrays
from modelmgmt.models.formats.skops_schema import check_spelled_out
from modelmgmt.models.packaging.members import Members

KNOWN = frozenset({"0.16.0"})
"""Versions of skops whose insides are as this module takes them to be."""

if skops.__version__ not in KNOWN:
    raise ImportError(f"this library does not know skops {skops.__version__} well enough to read it")

_QUICK: Any = object()
"""The protocol under which our nodes are known to skops: one that no file can name, so that skops itself never makes them."""


class OtherProtocolError(Exception):
    """A file of an earlier skops, whose nodes are others."""


def read(members: Members, trusted: Collection[str], rename: Callable[[str], str] | None = None) -> Any:
    """What `skops.io.load(file, trusted=...)` gives, or raises, of a file whose schema is renamed.

    Raises OtherProtocolError before anything is made.
    """
    tree = _tree(members, rename)
    audit_tree(tree, trusted=list(trusted))
    return tree.construct()


def untrusted(members: Members) -> set[str]:
    """What `skops.io.get_untrusted_types` gives. Raises OtherProtocolError."""
    return set(_tree(members).get_unsafe_set())


def _tree(members: Members, rename: Callable[[str], str] | None = None) -> Any:
    source = _Source(members, rename)
    try:
        schema, context = read_schema(source)
    except AttributeError as error:  # it asks whatever is there as it asks a mapping
        raise TypeError("its schema is not a mapping") from error
    if context.protocol != PROTOCOL:
        raise OtherProtocolError
    check_spelled_out(schema)
    # Nodes are made with no name of the caller's: they go off the list of what is not trusted at its end, as in skops.
    return get_tree(schema, LoadContext(src=source, protocol=_QUICK), trusted=None)


class _Source:
    """What nodes read from, in the place of a ZipFile."""

    def __init__(self, members: Members, rename: Callable[[str], str] | None) -> None:
        self._whole, self._rename = members.whole, rename
        self.view = members.view
        self.arrays = Arrays(members.whole_bytes)

    def read(self, name: str) -> bytes:
        data = self._whole(name)
        return data if self._rename is None or name != "schema.json" else self._rename(data.decode()).encode()


class _Quick:
    """What every node does otherwise. It comes before a node of skops."""

    _was_asked = False

    @staticmethod
    def _get_trusted(trusted: Sequence[Any] | None, default: Sequence[Any]) -> frozenset[str]:
        own = _paths(tuple(default))
        return own | frozenset(get_type_paths(trusted)) if trusted else own

    def get_unsafe_set(self) -> set[str]:
        """The names of types below this node that it does not trust by itself; nothing when it was asked before."""
        if self._was_asked:
            return set()
        self._was_asked = True
        return super().get_unsafe_set()  # type: ignore[misc, no-any-return]  # of the node of skops


@lru_cache(maxsize=256)
def _paths(types: tuple[Any, ...]) -> frozenset[str]:
    return frozenset(get_type_paths(types))


class _Json(_Quick, JsonNode):  # type: ignore[misc]
    """A number, a text or a constant, of which a model has thousands: skops trusts what json reads, whatever its name."""

    def get_unsafe_set(self) -> set[str]:
        return set()


class _Array(_Quick, NdArrayNode):  # type: ignore[misc]
    """An array, or a number that numpy keeps as one. It has no other nodes below it, but where it is one of objects."""

    def __init__(self, state: dict[str, Any], load_context: Any, trusted: Sequence[Any] | None = None) -> None:
        if state["type"] != "numpy":  # of objects: a list of other nodes
            super().__init__(state, load_context, trusted)
            return
        Node.__init__(self, state, load_context, trusted)
        self.type = "numpy"
        self.trusted = self._get_trusted(trusted, [np.ndarray, *NUMPY_DTYPE_TYPE_NAMES])
        self._view = load_context.src.view(state["file"])
        self._arrays: Arrays = load_context.src.arrays

    @property
    def is_plain(self) -> bool:
        return self.type == "numpy" and (self.module_name, self.class_name) == ("numpy", "ndarray")

    def lend(self) -> Any:
        """The array for one who copies it at once, and keeps nothing of it."""
        return self._arrays.look(self._view)

    def get_unsafe_set(self) -> set[str]:
        if self.type != "numpy":
            return super().get_unsafe_set()
        return set() if self.is_self_safe() else {f"{self.module_name}.{self.class_name}"}

    def _construct(self) -> Any:
        if self.type != "numpy":
            return super()._construct()
        array = self._arrays.load(self._view)
        return array if self.is_plain else gettype(self.module_name, self.class_name)(array)


class _Tree(_Quick, TreeNode):  # type: ignore[misc]
    """A decision tree, which copies its two large arrays: they are lent to it."""

    def _construct(self) -> Any:
        attrs = self.attrs
        if not isinstance(attrs, DictNode) or (attrs.module_name, attrs.class_name) != ("builtins", "dict"):
            return super()._construct()
        tree = gettype(self.constructor.module_name, self.constructor.class_name)(*self.args.construct())
        state = {
            kind(key): value.lend() if isinstance(value, _Array) and value.is_plain else value.construct()
            for kind, (key, value) in zip(attrs.key_types.construct(), attrs.content.items(), strict=False)
        }
        if state:
            tree.__setstate__(state)
        return tree


_OWN = {"JsonNode": _Json, "NdArrayNode": _Array, "TreeNode": _Tree}
NODE_TYPE_MAPPING.update(
    {
        (loader, _QUICK): _OWN.get(loader) or type(f"_{node.__name__}", (_Quick, node), {})
        for (loader, protocol), node in list(NODE_TYPE_MAPPING.items())
        if protocol == PROTOCOL
    }
)
