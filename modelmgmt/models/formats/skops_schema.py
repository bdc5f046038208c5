"""What is refused of the schema of a skops file before skops sees it. Pure.

A part of a model that is there twice is written twice, in full, under one number. skops takes the second for the first by
its number alone, and does not look whether it says the same: a file of a few lines can name a part that holds another
twice, which holds another twice, and so on. To ask each of 2 ** 40 parts whether it is trusted, to compare or to hash
them never ends. So where a number comes again, as much must be written under it as before: then there are no more parts
than the file spells out, and none is inside itself.
"""

from __future__ import annotations

from typing import Any

from modelmgmt.errors import CorruptDataError


def check_spelled_out(schema: Any) -> None:
    """Raises CorruptDataError for a part that is not written in full wherever it is, RecursionError for one too deep.

    >>> leaf = {"__id__": 1, "__loader__": "ListNode", "content": []}
    >>> check_spelled_out({"__id__": 2, "__loader__": "ListNode", "content": [leaf, dict(leaf)]})
    >>> check_spelled_out({"__id__": 2, "__loader__": "ListNode", "content": [leaf, {"__id__": 2}]})
    Traceback (most recent call last):
    modelmgmt.errors.CorruptDataError: The schema of the model refers to part 2 without writing it in full...
    """
    if not isinstance(schema, dict):
        raise CorruptDataError(f"The schema of the model is not a mapping but a {type(schema).__name__}.")
    known: dict[Any, int] = {}
    leaves: list[Any] = []
    _parts(schema, known, leaves)
    for number in set(leaves):
        if known.get(number, 1) != 1:
            raise _not_spelled_out(number)


def _parts(state: dict[str, Any], known: dict[Any, int], leaves: list[Any]) -> int:
    """How many parts are written in this one, itself included."""
    loader = state.get("__loader__")
    if loader == "JsonNode" or loader == "TypeNode":  # noqa: PLR1714 - it may be anything, also what has no hash
        # A number, a text, a constant, the name of a type, as most parts are: skops looks at nothing below them.
        leaves.append(state.get("__id__"))
        return 1
    count = 1
    for value in state.values():
        if type(value) is dict:
            count += _parts(value, known, leaves)
        elif type(value) is list:
            for item in value:
                if type(item) is dict:
                    count += _parts(item, known, leaves)
    number = state.get("__id__")
    if number is not None and type(number) is not dict and known.setdefault(number, count) != count:
        raise _not_spelled_out(number)
    return count


def _not_spelled_out(number: object) -> CorruptDataError:
    return CorruptDataError(
        f"The schema of the model refers to part {str(number)[:40]} without writing it in full, which skops never "
        "does: such a file can stand for more than any machine can hold. Log the model again."
    )
