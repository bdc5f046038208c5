"""skops files that nobody's model became: a schema of any nodes, as a stranger can write one."""

from __future__ import annotations

import io
import itertools
import json
import zipfile

_numbers = itertools.count(1_000)


def node(loader, name, **more):
    module, _, last = name.rpartition(".")
    return {"__class__": last, "__module__": module, "__loader__": loader, "__id__": next(_numbers), **more}


def plain(value):
    return node("JsonNode", "builtins.str", content=json.dumps(value), is_json=True)


def items(*nodes, kind="tuple"):
    loader = {"tuple": "TupleNode", "list": "ListNode", "set": "SetNode"}[kind]
    return node(loader, f"builtins.{kind}", content=list(nodes))


def function(name):
    return node("FunctionNode", name)


def kind(name):
    return node("TypeNode", name)


def constructed(name, *arguments):
    """skops calls the name with these arguments."""
    return node("ConstructorFromReduceNode", name, content=items(*arguments))


def keyed(called, key):
    """A mapping of one key: skops calls what stands for the type of the key with its text."""
    return node("DictNode", "builtins.dict", content={key: plain(1)}, key_types=items(called, kind="list"))


def filled(name, **state):
    """An object of a class, given this state."""
    words = node("DictNode", "builtins.dict", content={key: plain(value) for key, value in state.items()},
                 key_types=items(*(kind("builtins.str") for _ in state), kind="list"))  # fmt: skip
    return node("ObjectNode", name, content=words)


def bound(called, *arguments):
    """A functools.partial."""
    nothing = node("DictNode", "builtins.dict", content={}, key_types=items(kind="list"))
    content = {"func": called, "args": items(*arguments), "kwds": nothing, "namespace": plain(None)}
    return node("PartialNode", "functools.partial", content=content)


def method(owner, name):
    path = f"{owner['__module__']}.{owner['__class__']}"
    return node("MethodNode", path, content={"obj": owner, "func": name})


def operator_of(name, *arguments):
    return node("OperatorFuncNode", f"operator.{name}", attrs=items(*arguments))


def written(schema, **members):
    """The bytes of a skops file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.bin", content)
        archive.writestr("schema.json", json.dumps({**schema, "protocol": 2, "_skops_version": "0.16.0"}))
    return file.getvalue()
