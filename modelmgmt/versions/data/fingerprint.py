"""The fingerprint of a table or array: SHA-256 over every row, column and type. Pure.

Each part of each column (values, lengths, valid) is hashed by itself, as the bytes it would have in one piece; the
fingerprint is the SHA-256 of a small JSON document with these digests in it. So neither the chunks in which data came
nor the library that held it changes the fingerprint. `docs/explain/store-format.md` specifies it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelmgmt.versions.data.columns import BLOCK_ROWS, Column, Table, canonical, label_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "modelmgmt.fingerprint/1"


def fingerprint(table: Table) -> str:
    """The fingerprint of a table or array. One pass over its bytes, at about the speed of SHA-256."""
    content: dict[str, Any] = {"rows": table.rows, "columns": _columns(table.columns)}
    if table.index:
        content["index"] = _columns(table.index)
    if table.shape is not None:
        content["shape"] = list(table.shape)
    return of_document(table.kind, content)


def digests(columns: Sequence[Column]) -> list[tuple[Any, str]]:
    """The label of each column, and a digest of all that a fingerprint counts of it but the label."""
    texts = ((column.label, json.dumps(_column(column), sort_keys=True)) for column in columns)
    return [(label, hashlib.sha256(text.encode()).hexdigest()) for label, text in texts]


def of_document(kind: str, content: Mapping[str, Any]) -> str:
    """The fingerprint of what a document says: canonical JSON, keys sorted, no spaces."""
    document = {"format": FORMAT, "kind": kind, **content}
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _columns(columns: Sequence[Column]) -> list[dict[str, Any]]:
    return [{"name": label_json(column.label), **_column(column)} for column in columns]


def _column(column: Column) -> dict[str, Any]:
    found: dict[str, Any] = {"type": column.type, "values": _digest(column.values)}
    if column.lengths is not None:
        found["lengths"] = _digest(column.lengths)
    if column.valid is not None:
        found["valid"] = _digest(column.valid)
    if column.categories is not None:
        found["categories"] = _column(column.categories)
    return found


def _digest(values: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    if values.ndim == 0:
        values = values.reshape(1)
    step = max(1, BLOCK_ROWS * 8 // max(1, values[:1].nbytes)) if len(values) else 1
    for start in range(0, len(values), step):
        # Through uint8: numpy hands no buffer of some types (datetime64, float16 on some platforms) to a hash.
        digest.update(canonical(values[start : start + step]).reshape(-1).view("u1").data)
    return digest.hexdigest()
