"""run.log_dataset: what it takes, what it gives back, what it refuses, and what survives."""

from __future__ import annotations

import enum
import hashlib
import os
import sqlite3
import threading
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import modelmgmt as mm
from modelmgmt.errors import (
    CorruptDataError,
    InvalidNameError,
    InvalidTypeError,
    InvalidValueError,
    NotFoundError,
    RunFinishedError,
    SourceChangedError,
    StoreWriteError,
)
from modelmgmt.versions.data import keep as keeping
from modelmgmt.versions.data import record

FRAME = pd.DataFrame({"x": [1.0, 2.0, 3.0], "s": ["a", "b", "a"]})


@pytest.fixture
def run(store):
    run = store.start_run("data", name="first")
    yield run
    run.finish()


class Level(enum.IntEnum):
    HIGH = 3


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("cell", "loaded"),
    [
        (Level.HIGH, 3),
        (Colour.RED, "red"),
        (pa.scalar(3), 3),
        (pa.scalar(Decimal("0.10")), Decimal("0.10")),
        (pa.scalar({"a": [1]}), {"a": [1]}),
    ],
)
def test_a_cell_is_the_same_in_a_list_and_in_a_column_of_objects(run, cell, loaded):
    cells = np.array([None, None, "other"], dtype=object)
    cells[:2] = [cell, cell]
    column = pd.Series(cells, dtype=object)
    for data in ({"x": column.tolist()}, pd.DataFrame({"x": column})):
        assert run.log_dataset(data, "mixed", keep=True).load()["x"].tolist() == [loaded, loaded, "other"]


def rows_of(store, table):
    with store._kernel.database.reading() as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()


# ------------------------------------------------------------------------------------------- versions


def test_the_same_data_is_the_same_version(store, run):
    one = run.log_dataset(FRAME, "train")
    again = run.log_dataset(FRAME.copy(), "train", role="test")
    other = run.log_dataset(FRAME.iloc[:2], "train")
    assert (one.number, again.number, other.number) == (1, 1, 2)
    assert one == again
    assert one.reference == "train:1"
    assert run.log_dataset(FRAME, "another").number == 1
    assert {role: len(found) for role, found in run.datasets_by_role().items()} == {"input": 3, "test": 1}
    assert store.datasets["train"] == other
    assert store.datasets["train:1"] == store.datasets["train"].versions[0] == one
    assert set(store.datasets) == {"train", "another"}


def test_a_version_knows_its_runs(store, run):
    one = run.log_dataset(FRAME, "train")
    with store.start_run("data", name="second") as second:
        second.log_dataset(FRAME, "train")
    assert [found.name for found in one.runs()] == ["first", "second"]
    assert "second" in repr(one.runs())


def test_content_comes_with_a_later_call(run):
    assert run.log_dataset(FRAME, "train").content_digest is None
    with pytest.raises(NotFoundError, match="keep=True"):
        run.datasets["train"].load()
    kept = run.log_dataset(FRAME, "train", keep=True)
    assert kept.number == 1
    pd.testing.assert_frame_equal(kept.load(), FRAME)
    assert run.log_dataset(FRAME, "train").content_digest == kept.content_digest


def test_an_index_that_is_left_out_is_noted(run):
    moved = FRAME.set_index("s")
    assert "index=True" in run.log_dataset(moved, "a").profile.notes[0]
    assert run.log_dataset(moved, "b", index=True).profile.notes == ()


def test_a_description_is_a_note_of_the_run(run):
    run.log_dataset(FRAME, "train", description="as of May")
    assert [note.text for note in run.notes] == ["train: as of May"]


def test_it_survives_a_kill(script, tmp_path):
    done = script(
        """
        import numpy as np
        run = mm.start_run("x")
        run.log_dataset(np.arange(10.0), "numbers", keep=True)
        os.kill(os.getpid(), 9)
        """
    )
    assert done.returncode == -9
    np.testing.assert_array_equal(mm.Store(tmp_path / "store").datasets["numbers"].load(), np.arange(10.0))


# ------------------------------------------------------------------------------------------- files, queries, references


def test_a_file_is_told_by_its_bytes(run, tmp_path):
    (tmp_path / "a.csv").write_text("x,y")
    one = run.log_dataset(tmp_path / "a.csv", "file", keep=True)
    (tmp_path / "a.csv").rename(tmp_path / "b.csv")
    assert run.log_dataset(str(tmp_path / "b.csv"), "file").number == 1
    assert one.load() == {"a.csv": b"x,y"}
    assert one.profile.files == {"a.csv": (3, hashlib.sha256(b"x,y").hexdigest())}
    assert one.source == str(tmp_path / "a.csv")
    assert one.save(tmp_path / "out.csv").read_text() == "x,y"
    with pytest.raises(InvalidValueError, match="exists"):
        one.save(tmp_path / "out.csv")


def test_a_folder_kept_or_not_has_one_fingerprint(run, tmp_path):
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a").write_bytes(b"1")
    (folder / "b").write_bytes(b"2")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_bytes(b"3")
    one = run.log_dataset(folder, "one")
    two = run.log_dataset(folder, "two", keep=True)
    assert one.fingerprint == two.fingerprint
    assert two.load() == {"b": b"2", "sub/a": b"1", "link": b"3"}
    two.save(tmp_path / "copy")
    assert (tmp_path / "copy" / "sub" / "a").read_bytes() == b"1"
    (folder / "b").write_bytes(b"changed")
    difference = two.diff(run.log_dataset(folder, "two"))
    assert difference.files_changed == ("b",)


def test_the_store_itself_is_no_part_of_a_folder(store, run, tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    assert list(run.log_dataset(tmp_path, "here", keep=True).load()) == ["a"]


def test_the_result_of_a_query(run):
    database = sqlite3.connect(":memory:")
    FRAME.to_sql("t", database, index=False)
    version = run.log_dataset(mm.SqlQuery(database, "SELECT x FROM t WHERE s = ?", ("a",)), "q", keep=True)
    assert (version.kind, version.source) == ("query", "SELECT x FROM t WHERE s = ?")
    assert version.load()["x"].tolist() == [1.0, 3.0]
    with pytest.raises(sqlite3.OperationalError):
        run.log_dataset(mm.SqlQuery(database, "SELECT nothing FROM t"), "q")
    with pytest.raises(InvalidValueError, match="no rows"):
        run.log_dataset(mm.SqlQuery(database, "CREATE TABLE u (a)"), "q")
    database.close()


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://me:pw@host:8/x?token=abc&v=1", "https://host:8/x?token=...&v=1"),
        ("s3://bucket/a?X-Amz-Signature=1&X-Amz-Credential=2", "s3://bucket/a?X-Amz-Signature=...&X-Amz-Credential=..."),
        ("/data/a b.csv", "/data/a b.csv"), ("postgresql://u:p@h/db", "postgresql://h/db"),
    ],
)  # fmt: skip
def test_a_reference_keeps_no_secret(store, run, location, shown):
    version = run.log_dataset(mm.DataReference(location, sha256="A" * 64, rows=7), "there")
    assert (version.source, version.rows, version.kind) == (shown, 7, "reference")
    assert (
        version.fingerprint
        == run.log_dataset(mm.DataReference("elsewhere", digest="sha256:" + "a" * 64), "there").fingerprint
    )


@pytest.mark.parametrize(
    "options",
    [{}, {"sha256": "abc"}, {"sha256": "a" * 64, "digest": "b"}, {"digest": ""}, {"digest": "a\nb"}, {"digest": 5}],
)
def test_a_reference_without_one_good_digest_is_refused(options):
    with pytest.raises((InvalidValueError, InvalidTypeError)):
        mm.DataReference("s3://x", **options)


# ------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "data", [object(), 5, None, print, b"bytes", {"a": object()}, [{"a": object()}], pd.DataFrame({"a": [object()]}),
             np.array([object()]), pd.DataFrame({object(): [1]})],
)  # fmt: skip
def test_what_is_no_data_is_refused_and_nothing_is_kept(store, run, data):
    with pytest.raises(InvalidTypeError):
        run.log_dataset(data, "odd", keep=True)
    assert rows_of(store, "dataset_versions") == []
    run.log(loss=1.0)


@pytest.mark.parametrize("name", ["", " a", "a\nb", "x" * 300, "\ud800", "../x"])
def test_bad_names_are_refused(run, name):
    with pytest.raises(InvalidNameError):
        run.log_dataset(FRAME, name)
    with pytest.raises(InvalidNameError):
        run.log_dataset(FRAME, "train", role=name)


def test_what_is_not_there_is_refused(run, tmp_path):
    with pytest.raises(FileNotFoundError):
        run.log_dataset(tmp_path / "nothing", "x")
    with pytest.raises(FileNotFoundError, match=r"pass mm\.DataReference"):
        run.log_dataset("s3://bucket/x.csv", "x")
    with pytest.raises(RunFinishedError):
        mm.Store(run._kernel.path).runs[run.id].log_dataset(FRAME, "x")


def test_odd_folders_are_refused_by_name(run, tmp_path):
    circle = tmp_path / "circle"
    circle.mkdir()
    (circle / "loop").symlink_to(circle)
    with pytest.raises(InvalidValueError, match="loop"):
        run.log_dataset(circle, "x")
    odd = tmp_path / "odd"
    odd.mkdir()
    os.close(os.open(os.fsencode(odd) + b"/caf\xe9", os.O_CREAT | os.O_WRONLY))
    with pytest.raises(InvalidNameError):
        run.log_dataset(odd, "x")
    pipe = tmp_path / "pipes"
    pipe.mkdir()
    os.mkfifo(pipe / "p")
    with pytest.raises(InvalidValueError):
        run.log_dataset(pipe, "x", keep=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_can_not_be_read_is_refused(run, tmp_path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0)
    with pytest.raises(PermissionError):
        run.log_dataset(tmp_path / "secret", "x")


def test_a_path_that_is_no_unicode_is_spelled_out(run, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "a").write_text("1")
    assert run.log_dataset(folder, "x").source.endswith("caf\\xe9")


@pytest.mark.parametrize(
    ("frame", "note"),
    [
        (FRAME.iloc[:0], "no rows"), (pd.DataFrame(index=[1, 2]), "no columns"), (pd.DataFrame(), "no rows"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "share a name"),
    ],
)  # fmt: skip
def test_odd_frames_are_logged_with_a_note(run, frame, note):
    version = run.log_dataset(frame, "odd", keep=True, index=True)
    assert any(note in one for one in version.profile.notes)
    pd.testing.assert_frame_equal(version.load(), frame)
    assert version.profile.to_frame() is not None


def test_data_that_changes_while_it_is_read(store, run, monkeypatch):
    array = np.arange(1000.0)
    plain = keeping.profile_of

    def changing(taken):
        array[500] = -1
        return plain(taken)

    monkeypatch.setattr(keeping, "profile_of", changing)
    with pytest.warns(UserWarning, match="This was not kept, and logging goes on: .* changed while it was read"):
        lost = run.log_dataset(array, "moving", keep=True)
    assert lost.number == 0
    assert "not kept" in repr(lost)
    [note] = run.notes
    assert note.text.startswith("The data moving was not kept: ")
    with pytest.raises(NotFoundError):
        lost.load()
    assert rows_of(store, "dataset_versions") == []
    with pytest.warns(UserWarning, match="lost 0 points and 1 other"):
        run.finish()
    strict = store.start_run("data", on_error="raise")
    array[500] = 0
    with pytest.raises(SourceChangedError):
        strict.log_dataset(array, "moving")
    strict.finish()


def test_a_full_disk_leaves_the_run_going(store, run, monkeypatch):
    def full(*_, **__):
        raise StoreWriteError("no space left on device")

    monkeypatch.setattr(type(store._kernel.objects), "put_bytes", full)
    with pytest.warns(UserWarning, match="no space"):
        lost = run.log_dataset(FRAME, "train", keep=True)
    assert lost.number == 0
    monkeypatch.undo()
    assert run.log_dataset(FRAME, "train", keep=True).number == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run.finish()


def test_threads_that_log_the_same_data_agree(store, run):
    found = []
    barrier = threading.Barrier(4)

    def log(number):
        barrier.wait()
        found.append(run.log_dataset(pd.DataFrame({"x": [number % 2]}), "train", keep=True))

    threads = [threading.Thread(target=log, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(version.number for version in found) == [1, 1, 2, 2]


# ------------------------------------------------------------------------------------------- the store


def test_deleting_the_last_run_deletes_the_data(store):
    with store.start_run("data") as one:
        one.log_dataset(FRAME, "shared", keep=True)
        own = one.log_dataset(FRAME.assign(x=0.5), "own", keep=True)
    with store.start_run("data") as two:
        two.log_dataset(FRAME, "shared", keep=True)
    store.delete_run(one.id)
    assert list(store.datasets) == ["shared"]
    pd.testing.assert_frame_equal(store.datasets["shared"].load(), FRAME)
    assert not store._kernel.objects.has(own.content_digest)
    store.delete_run(two.id)
    assert list(store.datasets) == []
    assert list(store._kernel.objects.digests()) == []


def test_a_version_that_builds_on_a_deleted_one_stays_whole(store):
    random = np.random.default_rng(0)
    first = pd.DataFrame({"x": random.normal(size=100_000)})
    second = first.copy()
    second.loc[5, "x"] = 0
    with store.start_run("data") as one:
        one.log_dataset(first, "t", keep=True)
    with store.start_run("data") as two:
        two.log_dataset(second, "t", keep=True)
    store.delete_run(one.id)
    store.gc(grace_s=0)
    assert store.check(deep=True) == []
    pd.testing.assert_frame_equal(store.datasets["t"].load(), second)


def test_backup_and_merge_bring_versions_and_content(store, run, tmp_path):
    run.log_dataset(FRAME, "train", keep=True)
    run.log_dataset(FRAME.iloc[:1], "train", keep=True)
    run.finish()
    copy = mm.Store(store.backup(tmp_path / "copy"))
    pd.testing.assert_frame_equal(copy.datasets["train:1"].load(), FRAME)
    with mm.Store(tmp_path / "other") as other:
        with other.start_run("elsewhere") as there:
            there.log_dataset(FRAME.iloc[1:], "train")
            there.log_dataset(FRAME, "train")  # without its content
        other.merge(store)
        assert other.merge(store).runs == ()
        found = {version.fingerprint: version.number for version in other.datasets["train"].versions}
        assert sorted(found.values()) == [1, 2, 3]
        mine = {version.fingerprint: version for version in store.datasets["train"].versions}
        assert found.keys() > mine.keys()
        whole = other.datasets["train:2"]
        pd.testing.assert_frame_equal(whole.load(), FRAME)
        assert {used.id for used in whole.runs()} == {there.id, run.id}
        assert other.check(deep=True) == []


@pytest.mark.parametrize("what", ["content", "profile", "both"])
def test_a_repair_keeps_what_is_left(store, run, what):
    version = run.log_dataset(FRAME, "train", keep=True)
    run.finish()
    tree = version.content_digest
    for digest in {"content": [tree], "profile": [version.profile_digest]}.get(what, [tree, version.profile_digest]):
        store._kernel.objects.path(digest).unlink()
    assert any("data train:1" in problem.where for problem in store.check())
    assert store.repair().data == ("train:1",)
    assert store.check(deep=True) == []
    found = store.datasets["train:1"]
    assert found.fingerprint == version.fingerprint
    assert (found.content_digest is None) == (what != "profile")
    if what == "profile":
        assert found.profile == version.profile
    elif what == "both":
        assert "damaged" in found.profile.notes[0]


def test_a_damaged_row_is_named(store, run):
    run.log_dataset(FRAME, "train")
    with store._kernel.database.writing() as connection:
        connection.execute("UPDATE dataset_versions SET rows = 4")
    with pytest.raises(CorruptDataError, match="dataset_versions"):
        store.datasets["train"]
    with store._kernel.database.reading() as connection, pytest.raises(CorruptDataError):
        record.history(connection)


def test_references_that_fit_nothing_say_what_there_is(store, run):
    run.log_dataset(FRAME, "train")
    for wrong in ("train:2", "train:", "train:x"):
        with pytest.raises(NotFoundError, match="it has: 1"):
            store.datasets[wrong]
    with pytest.raises(NotFoundError, match="there are: train"):
        store.datasets["nothing"]
    with pytest.raises(NotFoundError, match="it has: 1"):
        store.datasets["train:7"]


def test_a_disabled_run_takes_data_and_keeps_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("MODELMGMT_DISABLED", "1")
    run = mm.start_run("x")
    version = run.log_dataset(object(), "train", keep=True)
    assert (version.name, version.number, run.datasets, run.datasets_by_role()) == ("train", 0, {}, {})
    assert "not kept" in version._repr_html_()
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_shows_itself(run):
    version = run.log_dataset(FRAME.assign(s=["<b>", "\x1b[31m", "a"]), "train", keep=True)
    assert repr(version).startswith("<Dataset train:1 frame, 3 rows, 2 columns")
    page = version._repr_html_()
    assert "<b>" not in page
    assert "\x1b" not in page
    assert "train:1" in page
    assert "column" in repr(version.profile)
