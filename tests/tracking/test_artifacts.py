"""Artifacts: what goes in comes out, once on disk however often it was logged, and never silently changed."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import sys
import types
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelmgmt.errors import (
    CorruptDataError,
    InvalidNameError,
    InvalidTypeError,
    InvalidValueError,
    MissingExtraError,
    NotFoundError,
)
from modelmgmt.tracking.artifacts import dict_bytes, dict_of
from modelmgmt.versions import capture
from modelmgmt.versions.capture import EMPTY_DIGEST


@pytest.fixture
def run(store):
    with store.start_run() as run:
        yield run


def objects(store):
    """The files of objects, but for those that say what the runs so far are made of."""
    capture.of(store._kernel).settle()
    with store._kernel.database.reading() as connection:
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


NAN, INF = float("nan"), float("inf")
CONTENTS = [
    [NAN, INF, -INF], {"a": [NAN, {"b": INF}]}, {1: "a", "1": "b"}, {0: "cat", 1: "dog"}, {None: 1, True: 2, 0.5: 3, NAN: 4},
    {(0, 1): 5, (1, (0, "x")): 6}, {"$float": "nan"}, {"$pairs": []}, {"$pairs": [[1, 2]]}, [{"$float": 1, "b": 2}], {}, [[]],
    {"a": -0.0, "b": 5e-324, "c": 2**100},
]  # fmt: skip


@pytest.mark.parametrize("content", CONTENTS, ids=repr)
def test_a_dict_is_valid_json_and_comes_back(run, content):
    run.log_dict(content, "conf")
    json.loads(run.artifact("conf").read_text(), parse_constant=pytest.fail)
    assert repr(run.artifact("conf").load()) == repr(content)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda below: st.lists(below, max_size=3)
    | st.dictionaries(st.sampled_from(["$float", "$pairs", "a", 1, 2.5, None, True, (1, "a")]), below, max_size=3),
    max_leaves=8).filter(lambda value: isinstance(value, (list, dict))))  # fmt: skip
def test_any_dict_comes_back(content):
    data = dict_bytes(content)
    json.loads(data, parse_constant=pytest.fail)
    assert repr(dict_of(data)) == repr(content)


def test_masked_values_in_a_dict_are_null(run):
    run.log_dict(
        {"a": np.ma.array([1, 2], mask=[0, 1]), "b": [np.ma.masked, pd.NA], "c": np.datetime64(0, "ns")}, "conf"
    )
    assert run.artifact("conf").load() == {"a": [1, None], "b": [None, None], "c": "1970-01-01T00:00:00"}


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


# -- the own name of a path, and what is in the file ---------------------------------------------------------------------


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    folder = tmp_path / "checkpoints"
    (folder / "best").mkdir(parents=True)
    (folder / "epoch=9.ckpt").write_bytes(b"9")
    (folder / "last.ckpt").symlink_to("epoch=9.ckpt")
    (folder / "absolute.ckpt").symlink_to(folder / "epoch=9.ckpt")
    (folder / "chain.ckpt").symlink_to("last.ckpt")
    (folder / "best" / "weights.bin").write_bytes(b"w")
    (folder / "latest").symlink_to("best")
    (folder / "broken.ckpt").symlink_to("gone.ckpt")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("last.ckpt", "last.ckpt"),
        ("absolute.ckpt", "absolute.ckpt"),
        ("chain.ckpt", "chain.ckpt"),
        ("./last.ckpt", "last.ckpt"),
        ("best/../last.ckpt", "last.ckpt"),
        ("../checkpoints/last.ckpt", "last.ckpt"),
        ("~/last.ckpt", "last.ckpt"),
        ("latest/weights.bin", "weights.bin"),
        ("latest", "latest"),
        ("latest/", "latest"),
        ("latest/.", "latest"),
        ("best/", "best"),
        ("epoch=9.ckpt", "epoch=9.ckpt"),
    ],
)
def test_a_path_is_kept_under_its_own_name(run, checkpoints, path, name):
    run.log_artifact("epoch=9.ckpt")
    run.log_artifact(path)
    assert set(run.artifacts) == {"epoch=9.ckpt", name}
    kept = run.artifact(name)
    assert kept.kind == ("folder" if name in ("latest", "best") else "file")
    assert run.artifact("epoch=9.ckpt").load() == b"9"
    if kept.kind == "file":
        assert kept.load() == Path(path).expanduser().read_bytes()


@pytest.mark.parametrize(("path", "name"), [(".", "best"), ("..", "checkpoints"), ("~", "checkpoints")])
def test_a_path_without_a_name_has_that_of_its_folder(run, checkpoints, monkeypatch, path, name):
    (checkpoints / "broken.ckpt").unlink()
    (checkpoints / "absolute.ckpt").unlink()
    monkeypatch.chdir(checkpoints / "best")
    run.log_artifact(path)
    assert list(run.artifacts) == [name]


def test_an_empty_path_is_not_the_folder_one_stands_in(run):
    with pytest.raises(InvalidValueError, match="the path is empty"):
        run.log_artifact("")


def test_a_broken_link_is_named_with_its_target(run, checkpoints):
    with pytest.raises(FileNotFoundError, match=r"gone\.ckpt, the target of the symbolic link broken\.ckpt"):
        run.log_artifact("broken.ckpt")
    assert run.artifacts == {}


def test_a_name_in_another_form_of_unicode_is_found(run, tmp_path):
    run.log_artifact(b"1", "u\u0308bung.bin")
    assert run.artifact("\u00fcbung.bin").load() == b"1"


def test_what_the_name_says_is_what_is_in_the_file(run):
    content = {"lr": 0.1, "layers": [1, 2], "name": "größer", "none": None}
    for name in ("conf.yaml", "conf.YML"):
        run.log_dict(content, name)
        assert run.artifact(name).load() == content
    assert "layers:\n- 1\n- 2\nname: größer\n" in run.artifact("conf.yaml").read_text()
    run.log_dict(content, "conf.v2")
    frame = pd.DataFrame({"x": [1, 2], "y": ["a,b", "ü"]})
    for name in ("rows.csv", "rows.tsv", "rows.parquet", "rows.json", "rows.v2"):
        run.log_table(frame, name)
        pd.testing.assert_frame_equal(run.artifact(name).load(), frame, check_dtype=False)
    assert run.artifact("rows.csv").read_text() == 'x,y\n1,"a,b"\n2,ü\n'
    assert run.artifact("rows.tsv").read_text() == "x\ty\n1\ta,b\n2\tü\n"
    assert run.artifact("rows.parquet").read_bytes().startswith(b"PAR1")
    assert list(run.artifacts) == [
        "conf.YML", "conf.v2.json", "conf.yaml",
        "rows.csv", "rows.json", "rows.parquet", "rows.tsv", "rows.v2.table.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("package", "log", "name"),
    [
        ("yaml", lambda run: run.log_dict({"a": 1}, "conf.yaml"), "pip install pyyaml"),
        ("pyarrow", lambda run: run.log_table({"a": [1]}, "rows.parquet"), "pip install pyarrow"),
    ],
)
def test_a_format_whose_package_is_missing_says_what_to_install(run, monkeypatch, package, log, name):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, "fastparquet", None)
    with pytest.raises(MissingExtraError, match=name):
        log(run)
    assert run.artifacts == {}


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
    assert store.runs[run.id].artifact("log.txt").load() == "kept"


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
        (lambda run: run.log_dict({"a": [b"x"]}, "name"), InvalidTypeError),
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
    with pytest.raises(InvalidValueError, match="contains itself"):
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
