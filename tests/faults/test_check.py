"""Every damaged thing has a name: `check` says where, and the command ends with 1."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from bit_rot import build, crash, in_child, read_everything
from click.testing import CliRunner

import modelmgmt as mm
from modelmgmt.cli import cli
from modelmgmt.store.database import SCHEMA_VERSION


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("check") / "store"
    in_child(lambda: build(path))
    in_child(lambda: mm.Store(path).close())
    return path


@dataclass(frozen=True)
class Damage:
    """One thing done to a store, and where check must say that it is."""

    do: Callable[[Path], None]
    where: str
    deep_only: bool = False


def sql(*statements: str) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        with closing(sqlite3.connect(path / "store.db", isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    return do


def an_object(path: Path) -> Path:
    with closing(sqlite3.connect(path / "store.db")) as connection:
        [digest] = connection.execute("SELECT digest FROM artifacts WHERE name = 'remarks.txt' LIMIT 1").fetchone()
    found = path / "objects" / digest[:2] / digest[2:]
    found.chmod(0o644)
    return found


def flip_object(path: Path) -> None:
    found = an_object(path)
    data = bytearray(found.read_bytes())
    data[3] ^= 4
    found.write_bytes(data)


def flip_in_folder(path: Path) -> None:
    """The content of a file in a folder, whose tree is sound."""
    [found] = [file for file in (path / "objects").glob("*/*") if file.read_bytes() == b"one"]
    found.chmod(0o644)
    found.unlink()


def break_page(path: Path) -> None:
    with closing(sqlite3.connect(path / "store.db")) as connection:
        [page] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'chunks'").fetchone()
    with (path / "store.db").open("rb+") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)


def tear_journal(path: Path) -> None:
    """A record in the middle that is half of one."""
    in_child(lambda: crash(path))
    [journal] = (path / "journal").glob("*.journal")
    with journal.open("rb+") as file:
        file.seek(4096 + 32 * 20 + 5)
        file.write(b"torn")


def break_journal(path: Path) -> None:
    in_child(lambda: crash(path))
    [journal] = (path / "journal").glob("*.journal")
    with journal.open("rb+") as file:
        file.seek(20)
        file.write(b"torn")


DAMAGES = {
    "a flipped byte in an object": Damage(flip_object, "object ", deep_only=True),
    "a missing object": Damage(lambda path: an_object(path).unlink(), "artifact 'remarks.txt'"),
    "an object that was cut": Damage(lambda path: os.truncate(an_object(path), 3), "artifact 'remarks.txt'"),
    "a missing file of a folder": Damage(flip_in_folder, "artifact 'folder'"),
    "a torn journal": Damage(tear_journal, "journal/"),
    "a journal without its header": Damage(break_journal, "journal/"),
    "a broken page": Damage(break_page, "store.db"),
    "a version of tomorrow": Damage(sql(f"PRAGMA user_version = {SCHEMA_VERSION + 1}"), "store.db"),
    "a dangling row": Damage(sql("DELETE FROM runs WHERE name = 'run-2'"), "params"),
    "a changed param": Damage(sql("UPDATE params SET value = 7 WHERE key = 'seed'"), "table params"),
    "a changed run": Damage(sql("UPDATE runs SET status = 'failed' WHERE name = 'run-2'"), "table runs"),
    "a changed event": Damage(sql("UPDATE events SET actor = 'nobody'"), "table events"),
    "a missing event": Damage(sql("DELETE FROM events WHERE id = 1"), "table events"),
    "a changed chunk": Damage(sql("UPDATE chunks SET data = CAST(x'00' || data AS BLOB) WHERE id = 3"), "chunk 3"),
    "a chunk of another series": Damage(sql("UPDATE chunks SET key = 'else' WHERE id = 3"), "chunk 3"),
    "a missing chunk": Damage(sql("DELETE FROM chunks WHERE id = 3"), "metrics of run"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_and_repaired(whole, tmp_path, name):
    damage, path = DAMAGES[name], tmp_path / "s"
    shutil.copytree(whole, path)
    damage.do(path)

    def problems(*options: str) -> list[dict[str, str]]:
        """What another process is told, which has nothing open yet."""
        answer = CliRunner().invoke(
            cli, ["store", "check", "--json", "--store", str(path), *options], standalone_mode=False
        )
        found = json.loads(answer.stdout)["problems"]
        assert answer.return_value == (1 if found else 0)
        return found

    # A journal of a dead process is looked at as it is by whoever only reads; else it is recovered, and set aside.
    if "journal" in damage.where:
        found = in_child(lambda: [problem.where for problem in mm.Store(path, read_only=True).check()])
        assert [where for where in found if damage.where in where]
        assert (path / "journal").exists()
        return
    found = in_child(problems)
    assert damage.deep_only or [problem for problem in found if damage.where in problem["where"]], found
    found = in_child(lambda: problems("--deep"))
    assert [problem for problem in found if damage.where in problem["where"]], found
    events = "event" in name  # a broken chain is evidence: it is copied as it is
    repaired = in_child(lambda: problems("--repair"))
    assert bool(repaired) is events, repaired


@pytest.mark.parametrize("version", [0, 2, -(1 << 31)])
def test_an_older_version_than_that_of_the_tables_is_made_right(whole, tmp_path, version):
    """Nothing is to be done to the tables, so that nothing can be lost."""
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    expected = in_child(lambda: list(read_everything(whole).values.items()))
    sql(f"PRAGMA user_version = {version}")(path)
    assert in_child(lambda: list(read_everything(path).values.items())) == expected
    with closing(sqlite3.connect(path / "store.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_a_torn_journal_loses_its_torn_record_only(whole, tmp_path):
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    tear_journal(path)
    with pytest.warns(UserWarning, match="damaged"):
        store = mm.Store(path)
    with store:
        assert len(store.runs["killed"].series("loss")) == 199
        assert store.check(deep=True) == []
    assert len(list((path / "set-aside").glob("*.journal"))) == 1


def test_checking_changes_nothing(whole, tmp_path):
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    in_child(lambda: len(mm.Store(path).check(deep=True)))
    after = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert {file for file in before if before[file] != after.get(file)} == set()
