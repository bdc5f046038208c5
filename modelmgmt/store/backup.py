"""A copy of a store that is in use: the copy is a store of its own, as of one moment."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from modelmgmt.errors import InvalidValueError
from modelmgmt.store import journal
from modelmgmt.store.collect import expanded, named
from modelmgmt.store.disk import copy_file, is_there, our_disk, reads, sync_file, sync_folder
from modelmgmt.store.foreign import refuse_foreign
from modelmgmt.store.sqlite_errors import is_read, translated

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel


def backup(kernel: Kernel, target: Path) -> Path:
    """Copy the store to `target`, a new or empty folder, while others may write. Survives a power cut on return.

    The order makes the copy whole without stopping anybody: journals first, so that what is folded meanwhile is in the
    tables that are copied after them; tables second; objects last, since an object is there before the row that names
    it. Raises InvalidValueError when `target` has something in it, StoreWriteError when its disk refuses, StoreReadError
    when that of the store does, and CorruptDataError for an object that is damaged: a copy of damage would hide it.
    """
    refuse_foreign(kernel.path)  # what a link leads to would be in the backup
    with reads(target):
        is_taken = is_there(target) and (not target.is_dir() or any(target.iterdir()))
    if is_taken:
        raise InvalidValueError(f"{target} already exists and is not an empty folder: choose another for the backup.")
    with our_disk("write the backup to", target):
        (target / "journal").mkdir(parents=True, exist_ok=True)
        (target / ".gitignore").write_text("*\n", "utf-8")
        _copy_journals(kernel.path / "journal", target / "journal")
        _copy_tables(kernel, target / "store.db")
        _copy_objects(kernel, target)
        for folder in (target / "journal", target, target.parent):
            sync_folder(folder)
    return target


def _copy_journals(source: Path, target: Path) -> None:
    with reads(source):
        names = sorted(os.listdir(source))
    for name in names:
        if name.endswith(journal.SUFFIX):
            try:
                copy_file(source / name, target / name)
            except FileNotFoundError:
                continue  # folded and removed meanwhile: the tables have it
            _sync(target / name)


def _copy_tables(kernel: Kernel, target: Path) -> None:
    with (
        translated(target),
        closing(sqlite3.connect(target, isolation_level=None)) as copy,
        kernel.database.reading() as connection,
    ):
        connection.execute("SELECT 1 FROM runs LIMIT 1").fetchone()
        try:
            connection.backup(copy)
        except sqlite3.Error as error:
            with translated(kernel.database.path if is_read(error) else target):
                raise
    _sync(target)


def _copy_objects(kernel: Kernel, target: Path) -> None:
    from modelmgmt.store.objects import Objects
    from modelmgmt.store.shared import open_database

    copied = open_database(target / "store.db")
    try:
        with copied.reading() as connection:
            digests = expanded(kernel, named(connection))
    finally:
        copied.close()
    objects, pending = Objects(target), set[Path]()
    for digest in sorted(digests):
        with kernel.objects.open(digest) as reader:
            objects.put_stream(reader, size=kernel.objects.size(digest), pending=pending)
    objects.sync(pending)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        sync_file(file.fileno())
