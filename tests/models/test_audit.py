"""The log of decisions: what was changed, dropped or moved is named; exported and anchored, elsewhere too."""

from __future__ import annotations

import hashlib
import json

import pytest

import modelmgmt as mm
from modelmgmt.errors import InvalidValueError, NotFoundError
from modelmgmt.models.registry.audit import parse_lines, verify_exported
from modelmgmt.store.anchors import anchor_fault, parse_anchors, read_file
from modelmgmt.store.rows import row_crc


@pytest.fixture
def audit(store, register):
    for _ in range(3):
        register()
    churn = store.models["churn"]
    for number in (1, 2, 3):
        churn.promote(number, "production", reason=f"number {number}")
    churn.set_alias("champion", 2)
    return store.audit


def execute(store, *statements):
    with store._kernel.database.writing() as connection:
        for statement, *values in statements:
            connection.execute(statement, values)


def rehash(store, start):
    """What a forger with some patience does: every hash from there on is made to fit."""
    from modelmgmt.store import events

    with store._kernel.database.writing() as connection:
        for event in list(events.read(connection, after=start - 1)):
            row = connection.execute("SELECT hash FROM events WHERE id = ?", (event.id - 1,)).fetchone()
            previous = row[0] if row else events.FIRST
            connection.execute("UPDATE events SET previous = ? WHERE id = ?", (previous, event.id))
            [again] = [e for e in events.read(connection, after=event.id - 1) if e.id == event.id]
            connection.execute("UPDATE events SET hash = ? WHERE id = ?", (again.expected_hash, event.id))


def test_it_says_what_it_is(store, audit):
    assert repr(audit) == "<Audit of 8 events>"
    assert repr(mm.Store(store.path.parent / "new").audit) == "<Audit of 0 events>"
    [event] = audit.events(kind="model.aliased")
    assert repr(event).startswith("<Event 8: model.aliased churn, 20")
    decision = store.models["churn"].history()[-2]
    assert repr(decision).startswith("<Decision 7: promoted version 3 by ")
    assert repr(decision).endswith(": number 3>")


def test_a_sound_log(audit):
    assert audit.verify() == []
    assert {event.kind for event in audit.events(model="churn", kind="model.promoted")} == {"model.promoted"}
    assert len(audit.events(kind="model")) == len(audit.events())
    assert audit.events(kind="mod") == []
    assert audit.events(model="nobody") == []


@pytest.mark.parametrize("column", ["time", "actor", "host", "kind", "subject", "detail", "hash", "previous"])
def test_a_changed_event_is_named(store, audit, column):
    execute(store, (f"UPDATE events SET {column} = {column} || 'x' WHERE id = 5",))
    assert any("vent 5 " in fault or "events 5" in fault for fault in audit.verify()), audit.verify()
    assert any(problem.where == "table events" for problem in store.check())


def test_a_reason_that_was_changed(store, audit):
    execute(store, ("UPDATE events SET detail = replace(detail, 'number 2', 'number 9')",))
    [fault] = audit.verify()
    assert "(model.promoted churn, " in fault


def test_a_dropped_event_is_named(store, audit):
    execute(store, ("DELETE FROM events WHERE id = 4",))
    assert "Event 4 is missing; the next one is 5." in audit.verify()


def test_an_event_that_was_dropped_and_the_others_moved_up(store, audit):
    execute(store, ("DELETE FROM events WHERE id = 4",), ("UPDATE events SET id = id - 1 WHERE id > 4",))
    assert audit.verify()[0] == "Event 4 does not follow event 3: one of the two was replaced or moved."


def test_two_events_in_each_others_place(store, audit):
    execute(store, *[("UPDATE events SET id = ? WHERE id = ?", new, old) for new, old in ((99, 5), (5, 6), (6, 99))])
    assert "Event 5 does not follow event 4" in audit.verify()[0]


def test_an_event_that_nobody_decided(store, audit):
    head = audit.head
    row = (
        head.event + 1,
        "2026-01-01T00:00:00.000000Z",
        "me",
        "h",
        "model.promoted",
        "churn",
        "{}",
        head.hash,
        "0" * 64,
    )
    execute(store, (f"INSERT INTO events VALUES ({', '.join('?' * 9)})", *row))
    assert f"Event {head.event + 1} (model.promoted churn" in audit.verify()[0]


# -- anchors ----------------------------------------------------------------------------------------------------------


def test_truncation_shows_by_an_anchor(store, audit, tmp_path):
    path = tmp_path / "anchors.jsonl"
    audit.anchor(path)
    store.models["churn"].archive(3)
    head = audit.anchor(path)
    assert audit.verify(anchored=read_file(path)) == []
    execute(store, ("DELETE FROM events WHERE id = ?", head.event))
    with store._kernel.database.writing() as connection:
        row = connection.execute("SELECT * FROM model_versions WHERE number = 3").fetchone()
        entered = connection.execute("SELECT max(id) FROM events WHERE kind = 'model.promoted'").fetchone()[0]
        values = (*row[:2], "production", entered, *row[4:-1])
        connection.execute("UPDATE model_versions SET stage = 'production', entered = ?, crc = ? WHERE number = 3",
                           (entered, row_crc("model_versions", values)))  # fmt: skip
    assert audit.verify() == [], "the log is shorter, and sound in itself"
    [fault] = audit.verify(anchored=read_file(path))
    assert f"ends with event {head.event - 1}" in fault
    assert "removed" in fault


def test_a_log_that_was_written_anew_shows_by_an_anchor(store, audit, tmp_path):
    audit.anchor(tmp_path / "anchors.jsonl")
    execute(store, ("UPDATE events SET detail = replace(detail, 'number 2', 'number 9')",))
    rehash(store, 1)
    assert audit.verify() == [], "every hash fits again"
    [fault] = audit.verify(anchored=read_file(tmp_path / "anchors.jsonl"))
    assert "rewritten" in fault


def test_an_empty_log(store, tmp_path):
    assert store.audit.verify() == []
    head = store.audit.anchor(tmp_path / "a")
    assert head.event == 0
    store.models.create("churn")
    assert store.audit.verify(anchored=[head]) == []


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"format": "other/1", "event": 1, "hash": "", "log": "", "time": ""}',
                                  '{"format": "modelmgmt.anchor/1", "event": "1", "hash": "", "log": "", "time": ""}',
                                  '{"format": "modelmgmt.anchor/1", "event": -1, "hash": "", "log": "", "time": ""}',
                                  "null", "7", "[" * 5000])  # fmt: skip
def test_anchors_that_are_none(line, tmp_path):
    with pytest.raises(InvalidValueError):
        parse_anchors(line)
    (tmp_path / "a").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidValueError):
        read_file(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"\n")
    with pytest.raises(InvalidValueError):
        read_file(tmp_path / "a")
    with pytest.raises(NotFoundError):
        read_file(tmp_path / "nothing")


# -- export -----------------------------------------------------------------------------------------------------------


def test_an_export_is_verified_without_the_library(audit, tmp_path):
    count = audit.export(tmp_path / "log.jsonl")
    lines = (tmp_path / "log.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == count == len(audit.events())
    previous = "0" * 64
    for number, line in enumerate(lines, start=1):
        event = json.loads(line)
        *values, digest = event.values()
        assert (event["id"], event["previous"]) == (number, previous)
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
        assert digest == hashlib.sha256(text.encode()).hexdigest()
        previous = digest
    assert verify_exported(lines, [audit.head]) == []
    with pytest.raises(FileExistsError):
        audit.export(tmp_path / "log.jsonl")


def test_an_export_that_was_changed(audit, tmp_path):
    audit.export(tmp_path / "log.jsonl")
    lines = (tmp_path / "log.jsonl").read_text("utf-8").splitlines()
    assert "vent 3 " in verify_exported([*lines[:2], lines[2].replace("churn", "fraud"), *lines[3:]])[0]
    assert "Event 3 is missing" in verify_exported([*lines[:2], *lines[3:]])[0]
    assert "Event 3 is missing" in verify_exported([*lines[:2], lines[3], lines[2], *lines[4:]])[0]
    assert verify_exported(lines[:-1]) == []
    assert "removed" in verify_exported(lines[:-1], [audit.head])[0]


@pytest.mark.parametrize("line", ["{", "[]", "7", "{}", '{"id": "1"}'])
def test_exports_that_are_none(line):
    with pytest.raises(InvalidValueError, match="Line 1"):
        parse_lines([line])


def test_an_event_of_odd_types():
    fields = dict.fromkeys(("time", "actor", "host", "kind", "subject", "detail", "previous", "hash"), "")
    for odd in ({"id": "1"}, {"id": True}, {"id": 1, "detail": {}}):
        with pytest.raises(InvalidValueError, match="Line 1"):
            parse_lines([json.dumps({**fields, **odd})])


def test_anchors_of_an_empty_list():
    assert anchor_fault([], []) is None


# -- rows against events ----------------------------------------------------------------------------------------------


def forge(store, table, change, where):
    """Change a row, and its checksum with it."""
    with store._kernel.database.writing() as connection:
        connection.execute(f"UPDATE {table} SET {change} WHERE {where}")
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")][:-1]
        for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table} WHERE {where}").fetchall():
            connection.execute(f"UPDATE {table} SET crc = ? WHERE {where}", (row_crc(table, row),))


@pytest.mark.parametrize(
    ("table", "change", "where", "words"),
    [
        ("model_versions", "stage = 'production'", "number = 1", "stage of churn 1 is 'production', and the log says"),
        ("model_versions", "digest = '" + "0" * 64 + "'", "number = 1", "digest of churn 1"),
        ("model_versions", "created_by = 'mallory'", "number = 2", "created_by of churn 2"),
        ("model_aliases", "number = 3", "alias = 'champion'", "number of churn champion is 3, and the log says 2"),
        ("models", "policy = '{\"production\": {}}'", "name = 'churn'", "policy of churn"),
        ("models", "last_number = 9", "name = 'churn'", "last_number of churn is 9"),
        ("approvals", "actor = 'bea'", "number = 1", "row of churn 1 production bea, and no event"),
        ("model_results", "passed = 1", "number = 1", "passed of churn 1 scan is 1, and the log says 0"),
        ("model_tags", "value = 'b'", "number = 1", "value of churn 1 team is 'b', and the log says 'a'"),
    ],
)  # fmt: skip
def test_a_row_that_contradicts_the_events_is_named(store, audit, table, change, where, words):
    version = store.models["churn"][1]
    version.approve("production", "fine")
    version.log_result("scan", False)
    version.set_tags(team="a")
    assert store.check() == []
    forge(store, table, change, where)
    found = [f"{problem.where}: {problem.what}" for problem in store.check()]
    assert any(words in fault for fault in found), found
    assert any(words in fault for fault in audit.verify())


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE model_versions SET stage = 'production' WHERE number = 1",
        "UPDATE models SET policy = 'x'",
        "DELETE FROM model_aliases",
        "DELETE FROM model_tags",
        "INSERT INTO approvals VALUES ('churn', 1, 'production', 'me', '', '2026', 7)",
        "UPDATE runs SET crc = 7",
    ],
)
def test_a_repair_writes_the_registry_as_the_events_say(store, audit, damage):
    from modelmgmt.models.registry.consistency import restore_registry

    churn = store.models["churn"]
    churn[1].set_tags(team="a")
    before = (churn.as_of(), churn.aliases, churn[1].tags)
    execute(store, (damage,))
    assert store.check()
    store.repair()
    assert store.check(deep=True) == []
    assert (churn.as_of(), churn.aliases, churn[1].tags) == before
    assert restore_registry(store._kernel) == 0, "nothing is left to do"


def test_a_broken_log_is_not_repaired_from(store, audit):
    execute(store, ("DELETE FROM model_aliases",), ("UPDATE events SET actor = 'me' WHERE id = 2",))
    store.repair()
    assert store.models["churn"].aliases == {}
    assert len(audit.verify()) >= 2


def test_rows_that_are_missing_or_nobody_made(store, audit):
    execute(store, ("DELETE FROM model_aliases",))
    assert audit.verify() == [
        "table model_aliases: The row of churn champion is missing, and the log says that it exists."
    ]


@pytest.mark.parametrize("detail", ["x", "7", "null", "[]", "{}", '"a"', '{"version": 1, "displaced": 3}', "[" * 9000])
def test_events_that_can_not_be_followed(store, audit, detail):
    execute(store, ("UPDATE events SET detail = ? WHERE kind = 'model.promoted'", detail))
    assert any("cannot be applied" in fault for fault in audit.verify())
    assert store.check()
    churn = store.models["churn"]
    for ask in (churn.as_of, lambda: churn.rollback("production")):
        with pytest.raises(mm.errors.CorruptDataError, match="audit verify"):
            ask()
    assert churn["production"].number == 3, "the rows can still be read"
    store.repair()
    assert churn["production"].number == 3


def test_kinds_of_a_later_version_are_passed_over(store, audit):
    from modelmgmt.store import events

    with store._kernel.database.writing() as connection:
        events.append(connection, "model.celebrated", "churn", {"version": 1})
    assert audit.verify() == []
    assert store.models["churn"].history("celebrated")[0].version == 1
