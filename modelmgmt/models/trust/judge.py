"""The verdict on a pickle that was read on paper: every name, every call, every change, before anything is built. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from modelmgmt.errors import RefusedPickleError
from modelmgmt.models.trust.allowed import Rules
from modelmgmt.models.trust.dtypes import is_dtype, read_dtype
from modelmgmt.models.trust.instructions import MalformedError
from modelmgmt.models.trust.joblib_arrays import WRAPPER
from modelmgmt.models.trust.makers import MAKERS, RECONSTRUCTORS
from modelmgmt.models.trust.simulation import Limits, Node, Reading, described

_SHOWN = 8
_MAX_REASONS = 1000
_HASHING = frozenset({"builtins.set", "builtins.frozenset", "collections.OrderedDict", "collections.Counter"})


def judge(reading: Reading, rules: Rules, limits: Limits, data: bytes) -> None:
    """Raises RefusedPickleError with every reason, the first few of them in words."""
    reasons = reasons_against(reading, rules, limits)
    if reading.problem is None and reading.end != len(data):
        reasons.append(f"{len(data) - reading.end:,} bytes follow its end")
    if not reasons:
        return
    beyond = sorted({found.full_name for found in _imports(reading) if not rules.knows(found.full_name)})
    shown = "; ".join(reasons[:_SHOWN]) + (f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else "")
    hint = f" If you know these classes to be harmless, name them: trust={beyond[:20]!r}." if beyond else ""
    message = (
        f"The pickle was refused, and nothing in it was run: {shown}.{hint} 'modelmgmt models inspect' shows all "
        "of it; if you know who wrote it, trust=True loads it."
    )
    raise RefusedPickleError(message)


def reasons_against(reading: Reading, rules: Rules, limits: Limits) -> list[str]:
    """Why the restricted reader would not build it, in the order of the stream, each said once."""
    return list(dict.fromkeys(islice(_reasons(reading, rules, limits), _MAX_REASONS)))


def _imports(reading: Reading) -> Iterator[Any]:
    yield from reading.imports
    for inner in reading.inner:
        yield from _imports(inner)


def _reasons(reading: Reading, rules: Rules, limits: Limits) -> Iterator[str]:
    if reading.problem:
        yield f"it cannot be read whole ({reading.problem})"
    if reading.extensions:
        yield f"it uses the extension code {reading.extensions[0]}"
    if reading.persistent:
        yield f"it refers to {reading.persistent:,} things outside it (persistent ids)"
    if reading.buffers:
        yield "it needs buffers from outside"
    for found in reading.imports:
        if "." in found.name or not rules.knows(found.full_name):
            yield f"{described(Node('global', [found.module, found.name], 0))} is not known to be harmless"
    for node in reading.nodes.values():
        yield from _of_node(node, rules, limits)
    for call in reading.calls:
        if call.instruction in ("INST", "OBJ"):
            yield f"{call.callee} is called by {call.instruction}"
        elif call.instruction == "BUILD" and call.position not in reading.nodes:
            yield f"it has {call.callee}"
    for inner in reading.inner:
        yield from _reasons(inner, rules, limits)


def _of_node(node: Node, rules: Rules, limits: Limits) -> Iterator[str]:
    if node.kind == "global":
        if node.state:
            yield f"it changes {described(node)} itself"
        return
    if node.kind != "call":
        yield f"it sets the state of {described(node)}"
        return
    callee, args = node.items[0], node.items[1]
    name = callee.name if isinstance(callee, Node) else None
    if name is None:
        yield f"it calls {described(callee)}"
    elif not rules.knows(name):
        return  # said of the name already
    elif len(node.state) > 1:
        yield f"it sets the state of one {name} more than once"
    elif node.state and not rules.may_fill(name):
        yield f"it sets the state of what {described(callee)} gives"
    elif not _may_call(name, node.how, rules):
        yield f"{described(callee)} is called by {node.how}"
    elif name in _HASHING and _is_heavy(args, limits):
        yield f"the members of a {name} have too many parts"
    if is_dtype(node):
        yield from _of_dtype(node)


def _may_call(name: str, how: str, rules: Rules) -> bool:
    if name in rules.extra:
        return how in ("REDUCE", "NEWOBJ", "NEWOBJ_EX")
    if how == "NEWOBJ":
        return name in rules.types or name == WRAPPER
    return how == "REDUCE" and (name in rules.calls or name in MAKERS or name in RECONSTRUCTORS or name == WRAPPER)


def _of_dtype(node: Node) -> Iterator[str]:
    try:
        read_dtype(node)
    except MalformedError as error:
        yield str(error)


def _is_heavy(args: Any, limits: Limits) -> bool:
    """Whether hashing what a set or dict is made of would walk through too much; lists in it count what they hold."""
    if not isinstance(args, Node):
        return False
    for collection in args.items:
        for item in collection.items if isinstance(collection, Node) else ():
            parts = item.items if isinstance(item, Node) and item.kind in ("list", "tuple") else (item,)
            if any(isinstance(part, Node) and part.weight > limits.max_key_weight for part in (item, *parts)):
                return True
    return False
