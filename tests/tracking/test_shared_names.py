"""A name that several runs have means the newest, with a word of it; what changes a run never takes one of several."""

from __future__ import annotations

import pytest

import modelmgmt as mm
from modelmgmt.errors import AmbiguousError, NotFoundError


@pytest.fixture
def runs(store):
    """Three runs named first, and one named other; the oldest comes first."""
    made = []
    for number, name in enumerate(["first", "other", "first", "first"]):
        with store.start_run("churn", name=name, params={"n": number}) as run:
            run.log(loss=number)
        made.append(run)
    return made


def test_a_name_means_the_newest_and_says_so(store, runs):
    assert store.runs["first"] == runs[3]
    assert "first" in store.runs
    assert repr(store.runs["first"]).endswith("finished, the newest of 3 runs with this name>")
    assert repr(runs[0]).endswith("finished, one of 3 runs with this name>")
    assert repr(store.runs["other"]).endswith("finished>")
    assert "first (the newest of 3 runs with this name)" in store.runs["first"]._repr_html_()
    with store.start_run("fraud", name="first") as elsewhere:
        pass
    assert store.runs["first"] == elsewhere, "in whichever experiment"


def test_comparing_by_name_says_which_was_meant(store, runs):
    compared = store.compare("first", "other")
    assert compared.ids == (runs[3].id, runs[1].id)
    assert f"first is {runs[3].id}, the newest of 3 runs with this name." in repr(compared)


def test_a_parent_by_name_is_the_newest(store, runs):
    with store.start_run(parent="first") as child:
        pass
    assert (child.parent, child.experiment) == (runs[3].id, "churn")


def test_a_model_and_lineage_by_the_name_of_a_run(store, runs):
    with store.start_run("churn", name="first") as run:
        run.log_model({"w": [0.5]}, "clf", format="cloudpickle")
    assert mm.load_model("run:first/clf", store=store).model == {"w": [0.5]}
    assert run.id in str(store.lineage("run:first").roots)
    with store.start_run("churn", name="first") as newest:
        pass
    with pytest.raises(
        NotFoundError, match=rf"first \({newest.id}, the newest of 5 runs with this name\) has no model"
    ):
        mm.load_model("run:first/clf", store=store)


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.delete_run("first"),
        lambda store: store.pin("first", "why"),
        lambda store: store.unpin("first"),
        lambda store: store.start_run(resume="first"),
        lambda store: mm.start_run(resume="first", store=store),
    ],
    ids=["delete", "pin", "unpin", "resume", "mm.resume"],
)
def test_what_changes_a_run_takes_none_of_several(store, runs, change):
    with pytest.raises(AmbiguousError) as caught:
        change(store)
    assert all(runs[place].id in str(caught.value) for place in (0, 2, 3))
    assert "whole id" in str(caught.value)
    assert [run.status for run in store.runs()] == ["finished"] * 4


def test_the_beginning_of_several_ids_stays_an_error(store, runs):
    common = runs[0].id[:2]
    assert all(run.id.startswith(common) for run in runs)
    with pytest.raises(AmbiguousError, match="whole id"):
        store.runs[common]


def test_a_script_with_warnings_as_errors_may_run_again(store):
    for _ in range(3):  # the tests make errors of warnings
        for name in ("first", "second"):
            with store.start_run("churn", name=name) as run:
                run.log(loss=1)
        store.compare("first", "second")
        store.runs["first"].series("loss")
