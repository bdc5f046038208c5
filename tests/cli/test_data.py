"""modelmgmt data: what each command prints, writes and answers."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from click.testing import CliRunner

import modelmgmt as mm
from modelmgmt.cli import cli

FRAME = pd.DataFrame({"id": [1, 2, 3], "age": [20, 30, 40]})


@pytest.fixture
def filled(tmp_path):
    with mm.Store(tmp_path / ".modelmgmt") as store, store.start_run("cli", name="calm") as run:
        run.log_dataset(FRAME, "people", keep=True)
        run.log_dataset(FRAME.assign(age=[21, 30, 40]), "people", keep=True)
        run.log_dataset(mm.DataReference("s3://b/x", digest="v1"), "there")
    return store


def ask(*words, code=0):
    done = CliRunner().invoke(cli, ["data", *words], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    assert done.return_value == code, done.output
    return done.output


def test_list(filled):
    text = ask("list")
    assert "people" in text
    assert "there" in text
    found = json.loads(ask("list", "people", "--json"))
    assert [version["number"] for version in found] == [1, 2]
    assert found[0]["fingerprint"] == filled.datasets["people:1"].fingerprint
    with pytest.raises(mm.errors.NotFoundError, match="people"):
        ask("list", "nobody")


def test_list_of_nothing_is_a_no(tmp_path):
    mm.Store(tmp_path / ".modelmgmt").close()
    assert "No data sets" in ask("list", code=1)


def test_show(filled):
    assert "age" in ask("show", "people:1")
    found = json.loads(ask("show", "people", "--json"))
    assert found["number"] == 2
    assert found["profile"][1]["name"] == "age"
    assert "s3://b/x" in ask("show", "there")


def test_diff(filled):
    assert "changed" in ask("diff", "people:1", "people:2", "--key", "id", code=1)
    found = json.loads(ask("diff", "people:1", "people:2", "-k", "id", "--json", code=1))
    assert found["rows"]["cells"] == {"age": 1}
    assert "same" in ask("diff", "people:1", "people:1")
    with pytest.raises(mm.errors.InvalidValueError, match="key"):
        ask("diff", "people:1", "people:2", "-k", "nothing")


def test_save(filled, tmp_path):
    assert ask("save", "people:1", "out.csv").strip() == "out.csv"
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out.csv"), FRAME)
    ask("save", "people:1", "out.json")
    assert json.loads((tmp_path / "out.json").read_text())[0] == {"id": 1, "age": 20}
    for path in ("out.csv", "out.doc", "out"):
        with pytest.raises(mm.errors.InvalidValueError):
            ask("save", "people:1", path)
    with pytest.raises(mm.errors.NotFoundError, match="not kept"):
        ask("save", "there", "x.csv")
    pytest.importorskip("pyarrow")
    ask("save", "people:1", "out.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), FRAME)


def test_runs(filled):
    assert "calm" in ask("runs", "people:1")
    assert json.loads(ask("runs", "people:1", "--json"))[0]["name"] == "calm"


def test_a_run_shows_its_data(filled):
    done = CliRunner().invoke(cli, ["runs", "show", "calm"], standalone_mode=False)
    assert "people:2" in done.output
    done = CliRunner().invoke(cli, ["runs", "show", "calm", "--json"], standalone_mode=False)
    data = json.loads(done.output)["data"]
    assert {(one["role"], one["name"], one["number"]) for one in data} == {
        ("input", "people", 1), ("input", "people", 2), ("input", "there", 1),
    }  # fmt: skip
