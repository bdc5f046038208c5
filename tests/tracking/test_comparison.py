"""Runs side by side: what differs, and nothing else."""

from __future__ import annotations

import math

import pandas as pd
import pytest

import modelmgmt as mm
from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError


@pytest.fixture
def three(store):
    found = []
    for number in range(3):
        params = {"lr": 0.1 * (number + 1), "seed": 0, "one": [1, 1.0, True][number], "list": [1, 2], "nan": math.nan}
        if number == 2:
            params["extra"] = None
        with store.start_run("cmp", name=f"r{number}", params=params, tags={"team": "a", "who": f"p{number}"}) as run:
            run.log(loss=1 / (number + 1), same=3)
            run.log_text("the same", "same.txt")
            run.log_text(f"text {number}", "other.txt")
        found.append(run)
    return found


def test_what_differs(store, three):
    comparison = store.compare(*three)
    assert comparison.names == ("r0", "r1", "r2")
    found = {(row.section, row.key): row.values for row in comparison.differences}
    found.pop(("run", "duration_s"), None)
    digests = found.pop(("artifacts", "other.txt"))
    assert len(set(digests)) == 3
    assert found == {
        ("params", "lr"): (0.1, 0.2, 0.1 * 3),
        ("params", "one"): (1, 1.0, True),
        ("metrics", "loss"): (1.0, 0.5, 1 / 3),
        ("tags", "who"): ("p0", "p1", "p2"),
    }
    keys = {row.key for row in comparison.rows}
    assert {"seed", "list", "nan", "extra", "same", "team", "same.txt", "experiment"} <= keys


def test_one_has_what_the_other_has_not(store):
    a, b = store.start_run(params={"a": 1}), store.start_run(params={"b": 2})
    found = {row.key: row.values for row in store.compare(a, b).differences if row.section == "params"}
    assert found == {"a": (1, None), "b": (None, 2)}


def test_as_a_frame_and_as_json(store, three):
    comparison = store.compare(three[0].id, "r1")
    frame = comparison.to_frame()
    assert frame.index.names == ["section", "key"]
    assert frame.columns.tolist() == [three[0].id, three[1].id]
    assert frame.loc[("params", "lr")].tolist() == [0.1, 0.2]
    content = comparison.to_dict()
    assert content["runs"] == [{"id": run.id, "name": run.name} for run in three[:2]]
    assert content["differences"]["tags"] == {"who": ["p0", "p1"]}


def test_runs_that_do_not_differ(store):
    a, b = store.start_run(name="a"), store.start_run(name="b")
    comparison = store.compare(a, b)
    assert comparison.differences == ()
    assert comparison.to_frame().empty
    assert comparison.to_dict()["differences"] == {}
    assert repr(comparison)


def test_it_shows_itself(store, three):
    comparison = store.compare(*three)
    assert isinstance(comparison, mm.Comparison)
    for text in (repr(comparison), comparison._repr_html_()):
        assert "lr" in text
        assert "r1" in text
        assert "seed" not in text


def test_runs_of_one_name_are_told_apart(store):
    a, b = store.start_run(name="twin", params={"x": 1}), store.start_run(name="twin", params={"x": 2})
    text = repr(store.compare(a, b))
    assert a.id in text
    assert b.id in text


def test_what_can_not_be_compared(store, three):
    for few in ([], [three[0]], [three[0], three[0].id]):
        with pytest.raises(InvalidValueError, match="at least two"):
            store.compare(*few)
    with pytest.raises(NotFoundError):
        store.compare(three[0], "nobody")
    with pytest.raises(InvalidTypeError):
        store.compare(three[0], 3)


def test_curves(store):
    with store.start_run(name="a") as a:
        a.log_series("loss", [3.0, 1.0, 2.0])
    with store.start_run(name="b") as b:
        b.log_series("loss", [2.0, 2.0, 2.0])
        b.log(single=1)
    comparison = store.compare(a, b)
    [pair] = comparison.curves()
    assert (pair.key, pair.a, pair.b, pair.crossings) == ("loss", a.id, b.id, (0.5,))
    assert comparison.to_dict()["curves"][0]["crossing_count"] == 1
    assert "cross at step" in repr(comparison)
    with pytest.raises(NotFoundError, match="no two runs"):
        comparison.curves("single")


def test_code_and_environment(store, script):
    for name, lr in (("one", 0.1), ("two", 0.2)):
        done = script(f"rate = {lr}\nwith mm.start_run('code', name='{name}'):\n    mm.log(lr=rate)\n")
        assert done.returncode == 0, done.stderr
    comparison = store.compare("one", "two")
    found = {(row.section, row.key) for row in comparison.differences}
    assert ("code", "script.py") in found
    assert not any(section == "environment" for section, _ in found)
    assert any(row.section == "environment" and row.key == "numpy" for row in comparison.rows)
    assert {"-rate = 0.1", "+rate = 0.2"} <= set(comparison.code_diff().splitlines())
    assert comparison.unread == ()


def test_packages_that_no_run_had_imported_are_counted(store, script, tmp_path, monkeypatch):
    for version in ("1.0", "2.0"):
        site = tmp_path / version
        for name in ("used_one", "left_a", "left_b"):
            (site / f"{name}-{version}.dist-info").mkdir(parents=True)
            (site / f"{name}-{version}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
            (site / f"{name}.py").write_text("")
        monkeypatch.setenv("PYTHONPATH", str(site))
        done = script("import used_one\nmm.start_run('code', name=sys.argv[1]).finish()\n", f"with-{version}")
        assert done.returncode == 0, done.stderr
    comparison = store.compare("with-1.0", "with-2.0")
    found = {row.key: row.is_imported for row in comparison.differences if row.section == "environment"}
    assert found == {"used_one": True, "left_a": False, "left_b": False}
    assert "used_one" in repr(comparison)
    assert "2 packages that no run had imported differ, too: left_a, left_b" in repr(comparison)


@pytest.mark.parametrize("table", ["params", "tags", "artifacts", "code_versions", "run_environments", "metrics"])
def test_damage_hides_only_what_it_damaged(store, script, table):
    code = "with mm.start_run('code', name=sys.argv[1], params={'p': sys.argv[1]}, tags={'t': sys.argv[1]}) as run:\n"
    code += "    run.log_series('loss', [float(len(sys.argv[1])), 1.0])\n    run.log_text(sys.argv[1], 'x')\n"
    for name in ("one", "three"):
        assert script(code, name).returncode == 0
    with store._kernel.database.writing() as connection:
        connection.execute(f"UPDATE {table} SET crc = crc + 1 WHERE run = ?", (store.runs["one"].id,))
    comparison = store.compare("one", "three")
    section = {"code_versions": "code", "run_environments": "environment"}.get(table, table)
    assert [(note.section, note.name) for note in comparison.unread] == [(section, "one")]
    others = {"params", "tags", "metrics", "run"} - {section}
    assert others <= {row.section for row in comparison.rows}
    assert section not in {row.section for row in comparison.rows}
    assert f"{section} of one" in repr(comparison)
    assert comparison.to_dict()["unread"]
    assert comparison.curves() == [] if section == "metrics" else comparison.curves()


def test_a_missing_object_hides_only_what_it_held(store, script):
    for name in ("one", "two"):
        assert script("with mm.start_run('code', name=sys.argv[1]):\n    pass\n", name).returncode == 0
    tree = store.runs["one"].code.version.tree_digest
    store._kernel.objects.path(tree).unlink()
    comparison = store.compare("one", "two")
    assert {note.section for note in comparison.unread} == {"code"}
    assert "code of one" in repr(comparison)


def test_data(store):
    runs = []
    for number in range(2):
        with store.start_run(name=f"d{number}", code=False) as run:
            run.log_dataset(pd.DataFrame({"x": [1, 2, 3 + number]}), "train", keep=True)
            run.log_dataset(pd.DataFrame({"x": [1]}), "test")
        runs.append(run)
    comparison = store.compare(*runs)
    [row] = [row for row in comparison.differences if row.section == "data"]
    assert row.key == "input train"
    assert [value.partition(" ")[0] for value in row.values] == ["train:1", "train:2"]
    assert {row.key for row in comparison.rows if row.section == "data"} == {"input train", "input test"}
    assert comparison.data_diff("train")
    with pytest.raises(NotFoundError, match="logged no data 'valid'"):
        comparison.data_diff("valid")
