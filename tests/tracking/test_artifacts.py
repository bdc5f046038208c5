"""Artifacts: what goes in comes out, once on disk however often it was logged, and never silently changed."""

from __future__ import annotations

import datetime as dt
import os
import re
import types
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pytest

from modelmgmt.errors import CorruptDataError, InvalidNameError, InvalidTypeError, InvalidValueError, NotFoundError
from modelmgmt.versions import capture
from modelmgmt.versions.capture import EMPTY_DIGEST


@pytest.fixture
def run(store):
    with store.start_run() as run:
        yield run


def objects(store):
    """The files of objects, but for those that say what the runs so far are made of."""
    capture.of(store.kernel).settle()
    with store.kernel.database.reading() as connection:
        columns = "tree_digest FROM code_versions", "seeds_digest FROM code_versions", "digest FROM run_environments"
        made_of = {row[0] for column in columns for row in connection.execute(f"SELECT {column}")} | {EMPTY_DIGEST}
    found = [path for path in (store.path / "objects").rglob("*") if path.is_file()]
    return [path for path in found if path.parent.name + path.name not in made_of]


# -- kinds ------------------------------------------------------------------------------------------------------------


def test_bytes(run):
    for number, data in enumerate([b"\0\xff" * 1000, bytearray(b"ab"), memoryview(b"cd"), b""]):
        run.log_artifact(data, f"weights/{number}.bin")
        kept = run.artifact(f"weights/{number}.bin")
        assert (kept.load(), kept.kind, kept.size) == (bytes(data), "file", len(data))


def test_it_says_what_it_is(run):
    run.log_text("größer", "note.txt")
    assert re.fullmatch(r"<Artifact note\.txt: text, 8 bytes, [0-9a-f]{12}>", repr(run.artifact("note.txt")))


def test_a_file_under_its_own_name_or_another(run, tmp_path):
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    run.log_artifact("data.csv")
    run.log_artifact(tmp_path / "data.csv", "inputs/train.csv")
    assert list(run.artifacts) == ["data.csv", "inputs/train.csv"]
    assert run.artifact("inputs/train.csv").read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize("text", ["", "a\nb", "größer ✓", "\ud800 half a pair", "nul \0"], ids=ascii)
def test_text(run, text):
    run.log_text(text, "log.txt")
    assert run.artifact("log.txt").load() == text
    assert run.artifact("log.txt").kind == "text"


@pytest.mark.parametrize("content", [{"a": [1, 2.5, None, True], "b": {"ü": "x"}}, [1, 2], {}, []], ids=str)
def test_a_dict(run, content):
    run.log_dict(content, "conf")
    assert run.artifact("conf.json").load() == content


def test_a_dict_of_values_that_stand_for_plain_ones(run):
    run.log_dict(
        types.MappingProxyType({
            "day": dt.date(2026, 1, 31), "array": np.arange(2), "path": PurePosixPath("a/b"), "n": np.int64(3),
            "proxy": types.MappingProxyType({"x": 1}), "tuple": (1, 2),
        }),
        "conf.json",
    )  # fmt: skip
    assert run.artifact("conf.json").load() == {
        "day": "2026-01-31", "array": [0, 1], "path": "a/b", "n": 3, "proxy": {"x": 1}, "tuple": [1, 2],
    }  # fmt: skip


def test_a_table(run):
    frame = pd.DataFrame({"x": [1.5, np.nan], "y": ["a", None]})
    run.log_table(frame, "rows")
    assert list(run.artifacts) == ["rows.table.json"]
    pd.testing.assert_frame_equal(run.artifact("rows.table.json").load(), frame)


def test_a_folder(run, tmp_path):
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"\1" * 10_000)
    (folder / "deep" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "deep" / "run.sh").chmod(0o755)
    run.log_artifact(folder)
    kept = run.artifact("model")
    assert (kept.kind, kept.size) == ("folder", 10_010)
    target = kept.save(tmp_path / "out")
    assert (target / "weights.bin").read_bytes() == b"\1" * 10_000
    assert os.access(target / "deep" / "run.sh", os.X_OK)
    with pytest.raises(InvalidTypeError, match="save"):
        kept.load()
    with pytest.raises(InvalidValueError, match="not empty"):
        kept.save(target)


# -- kept once, replaced, written elsewhere ---------------------------------------------------------------------------


def test_the_same_content_is_kept_once_in_the_whole_store(store):
    for number in range(3):
        with store.start_run() as run:
            run.log_artifact(b"x" * 100_000, f"weights-{number}")
            run.log_text("x" * 100_000, "text")
    assert len(objects(store)) == 1


def test_the_same_name_again_takes_the_new_content(run):
    run.log_text("old", "log.txt")
    first = run.artifact("log.txt")
    run.log_text("new", "log.txt")
    assert run.artifact("log.txt").load() == "new"
    assert first.load() == "old"
    assert len(run.artifacts) == 1


def test_save(run, tmp_path):
    run.log_text("kept", "logs/log.txt")
    kept = run.artifact("logs/log.txt")
    assert kept.save(tmp_path / "copy.txt").read_text() == "kept"
    (tmp_path / "folder").mkdir()
    assert kept.save(tmp_path / "folder") == tmp_path / "folder" / "log.txt"
    for target in (tmp_path / "copy.txt", tmp_path / "folder"):
        with pytest.raises(InvalidValueError, match="exists"):
            kept.save(target)
    (tmp_path / "copy.txt").write_text("mine now")
    assert kept.load() == "kept", "what was saved is a copy"


def test_artifacts_of_a_run_that_has_ended_and_of_a_new_reader(run, store):
    run.log_text("kept", "log.txt")
    run.finish()
    assert store.run(run.id).artifact("log.txt").load() == "kept"


# -- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", " ", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".", "a\\b", "C:x", "a\nb", "a\0b", "x" * 10_000]
)
def test_names_that_are_none(run, store, tmp_path, name):
    (tmp_path / "file").write_text("x")
    for write in (
        lambda: run.log_artifact(b"x", name),
        lambda: run.log_artifact(tmp_path / "file", name),
        lambda: run.log_text("x", name),
        lambda: run.log_dict({}, name),
        lambda: run.log_table({"a": [1]}, name),
        lambda: run.log_image(np.zeros((2, 2), np.uint8), name),
    ):
        with pytest.raises(InvalidNameError, match="artifact"):
            write()
    assert run.artifacts == {}
    assert objects(store) == []


@pytest.mark.parametrize(
    ("write", "error"),
    [
        (lambda run: run.log_artifact(b"x"), InvalidTypeError),
        (lambda run: run.log_artifact(3, "name"), InvalidTypeError),
        (lambda run: run.log_artifact(b"x", 3), InvalidTypeError),
        (lambda run: run.log_artifact("nothing/there"), FileNotFoundError),
        (lambda run: run.log_text(b"x", "name"), InvalidTypeError),
        (lambda run: run.log_dict("x", "name"), InvalidTypeError),
        (lambda run: run.log_dict({"a": object()}, "name"), InvalidTypeError),
        (lambda run: run.log_dict({(1, 2): 3}, "name"), InvalidTypeError),
        (lambda run: run.log_table("x", "name"), InvalidTypeError),
        (lambda run: run.log_table({"a": [object()]}, "name"), InvalidTypeError),
        (lambda run: run.log_table({"a": [1], "b": [1, 2]}, "name"), InvalidTypeError),
    ],
)
def test_what_is_no_artifact(run, store, write, error):
    with pytest.raises(error):
        write(run)
    assert run.artifacts == {}
    assert objects(store) == []


def test_a_dict_that_holds_itself(run):
    content = {}
    content["self"] = content
    with pytest.raises(InvalidTypeError, match="JSON"):
        run.log_dict(content, "name")


def test_no_such_artifact(run):
    run.log_text("x", "log.txt")
    with pytest.raises(NotFoundError, match=r"has no artifact 'lag.txt'; it has: log.txt"):
        run.artifact("lag.txt")


def test_an_object_that_has_changed_is_named(run, store, tmp_path):
    run.log_text("kept", "log.txt")
    (path,) = objects(store)
    path.chmod(0o644)
    path.write_text("kepT")
    with pytest.raises(CorruptDataError, match=run.artifact("log.txt").digest[:12]):
        run.artifact("log.txt").load()
    with pytest.raises(CorruptDataError):
        run.artifact("log.txt").save(tmp_path / "out.txt")
    assert not Path(tmp_path / "out.txt").exists()
    assert any(run.artifact("log.txt").digest[:12] in f"{p.where} {p.what}" for p in store.check(deep=True))


def test_an_object_that_is_gone_is_named(run, store):
    run.log_text("kept", "log.txt")
    objects(store)[0].unlink()
    with pytest.raises(NotFoundError):
        run.artifact("log.txt").load()
    (problem,) = store.check()
    assert "log.txt" in problem.where
    assert "missing" in problem.what
