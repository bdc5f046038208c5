"""Runs side by side: what differs, and nothing else."""

from __future__ import annotations

import math

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
