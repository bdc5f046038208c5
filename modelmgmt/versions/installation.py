"""The environment of this process: looked at once, off the caller's time, and not again where it was known before."""

from __future__ import annotations

import json
import platform
import sqlite3
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelmgmt.store.disk import token
from modelmgmt.store.process import current
from modelmgmt.versions import environment
from modelmgmt.versions.distributions import signature

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

_NAME = "environment.json"


class Installation:
    """What is installed where this process runs. `tmp/environment.json` of a store says what an earlier process found."""

    def __init__(self) -> None:
        self._data: bytes | None = None
        self._digest: str | None = None

    def insert(self, connection: sqlite3.Connection, run: str, folder: Path) -> bool:
        """Name the environment of a run, in the caller's transaction, when it is known and in the store."""
        digest = self._digest or _recall(folder)
        if digest is None or not environment.is_named(connection, digest):
            return False
        self._digest = digest
        environment.write(connection, run, digest)
        return True

    def keep(self, kernel: Kernel) -> str:
        """Look, unless that was done, and keep what was found; returns the digest. Raises StoreError."""
        if self._data is None:
            self._data = environment.here()._encode()
        self._digest = kernel.objects.put_bytes(self._data).digest
        _remember(kernel.path / "tmp", self._digest)
        return self._digest


def _signature() -> list[Any]:
    owner = current()
    return json.loads(json.dumps([sys.executable, sys.version, platform.node(), owner.boot_id, signature()]))  # type: ignore[no-any-return]


def _recall(folder: Path) -> str | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads((folder / _NAME).read_bytes())
        if content["signature"] == _signature():
            return str(content["digest"])
    return None


def _remember(folder: Path, digest: str) -> None:
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
        part = folder / f"{_NAME}.{token()}.part"
        part.write_text(json.dumps({"signature": _signature(), "digest": digest}), "utf-8")
        part.replace(folder / _NAME)
