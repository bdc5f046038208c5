"""Tags and notes: what people say about a run."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from modelmgmt.errors import InvalidNameError, InvalidTypeError, InvalidValueError


@pytest.fixture
def run(store):
    with store.start_run(tags={"team": "a"}) as run:
        yield run


def test_tags_are_set_replaced_and_removed(run, store):
    run.set_tags({"model name": "größer ✓"}, fold=3, share=0.5, flag=True, rate=np.float64(0.25))
    run.set_tags(team="b")
    run.remove_tag("fold")
    run.remove_tag("never there")
    assert run.tags == {"flag": "True", "model name": "größer ✓", "rate": "0.25", "share": "0.5", "team": "b"}
    assert store.runs("tags.team = 'b' and tags.`model name` like 'gr%'").ids == [run.id]


def test_notes_stay_in_order(run):
    before = dt.datetime.now(dt.UTC)
    for text in ("first", "second\nline", "x" * 100_000):
        run.note(text)
    assert [note.text for note in run.notes] == ["first", "second\nline", "x" * 100_000]
    assert before <= run.notes[0].written_at <= run.notes[2].written_at <= dt.datetime.now(dt.UTC)


@pytest.mark.parametrize(
    ("tags", "error", "words"),
    [
        ({"a": None}, InvalidTypeError, "text"),
        ({"a": b"x"}, InvalidTypeError, "bytes"),
        ({"a": object()}, InvalidTypeError, "prints as text"),
        ({1: "x"}, InvalidTypeError, "tag"),
        ("a", InvalidTypeError, "mapping"),
        ({"": "x"}, InvalidNameError, "empty"),
        ({"a\n": "x"}, InvalidNameError, "whitespace"),
        ({"..": "x"}, InvalidNameError, "another name"),
        ({"a": "x" * 5_001}, InvalidValueError, "5,000"),
        ({"a": "\0"}, InvalidValueError, "NUL"),
        ({"a": "\udc80"}, InvalidValueError, "Unicode"),
    ],
    ids=lambda value: "an object" if "object at" in str(value) else str(value),
)
def test_tags_that_are_none(run, store, tags, error, words):
    with pytest.raises(error, match=words):
        run.set_tags({"good": "1"} | tags if isinstance(tags, dict) else tags)
    with pytest.raises(error, match=words):
        store.start_run(tags=tags)
    assert run.tags == {"team": "a"}
    assert len(store.runs()) == 1


@pytest.mark.parametrize(
    ("text", "error"),
    [(3, InvalidTypeError), (None, InvalidTypeError), ("\0", InvalidValueError), ("x" * 1_000_001, InvalidValueError),
     ("\ud800", InvalidValueError)],
    ids=["number", "None", "NUL", "long", "surrogate"],
)  # fmt: skip
def test_notes_that_are_none(run, text, error):
    with pytest.raises(error, match="note"):
        run.note(text)
    assert run.notes == []


def test_after_the_end(run):
    """What people say about a run comes when they look at it."""
    run.finish()
    run.set_tags(a="1")
    run.remove_tag("team")
    run.note("x")
    assert (run.tags, [note.text for note in run.notes], run.status) == ({"a": "1"}, ["x"], "finished")
