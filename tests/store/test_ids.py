"""Ids sort by time and do not collide; names can be said; times are UTC."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmgmt.store import ids
from modelmgmt.store.ids import ID_LENGTH, new_id, new_name
from modelmgmt.store.times import from_iso, now_iso, now_us, to_iso

LAST_US = (2**45 - 1) * 1000


@given(st.integers(0, LAST_US), st.integers(0, LAST_US))
def test_ids_sort_by_the_millisecond(a, b):
    if a // 1000 != b // 1000:
        assert (new_id(a) < new_id(b)) == (a < b)
    else:
        assert new_id(a)[:9] == new_id(b)[:9]


@given(st.integers(0, LAST_US))
def test_an_id_is_plain_in_a_path_a_url_and_a_shell(time_us):
    assert re.fullmatch(rf"[0-9a-hjkmnp-tv-z]{{{ID_LENGTH}}}", new_id(time_us))


def test_ids_of_one_moment_differ_and_keep_their_order():
    found = [new_id(1) for _ in range(2000)]
    assert found == sorted(set(found))
    assert len({one[:9] for one in found}) == 1


def test_more_ids_of_one_moment_than_rise_are_still_ids_of_that_moment(monkeypatch):
    monkeypatch.setattr(ids, "_STEP_BITS", 33)
    found = [new_id(2000) for _ in range(200)]
    assert len(set(found)) == 200
    assert {one[:9] for one in found} == {new_id(2000)[:9]}
    assert {len(one) for one in found} == {ID_LENGTH}


def test_a_clock_that_was_set_back_is_believed():
    assert new_id(9_000) > new_id(5_000)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_of_a_fork_does_not_count_on_where_its_parent_does(monkeypatch):
    monkeypatch.setattr(ids, "_STEP_BITS", 0)  # else it would be by luck that they differ
    new_id(3_000)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, new_id(3_000).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        child = pipe.read()
    os.waitpid(pid, 0)
    assert child[:9] == new_id(3_000)[:9]
    assert child != new_id(3_000)
    assert abs(_number(child) - _number(new_id(3_000))) > 10


def _number(one):
    return int(one[9:].translate(str.maketrans(ids._ALPHABET, "0123456789abcdefghijklmnopqrstuv")), 32)


def test_a_name_can_be_said_and_ends_in_its_number():
    names = {new_name(17) for _ in range(200)}
    assert len(names) > 100
    assert all(re.fullmatch(r"[a-z]+-[a-z]+-17", name) for name in names)


@given(st.integers(0, 253402300799_999_999))
def test_a_time_as_text_is_the_same_time(time_us):
    text = to_iso(time_us)
    assert from_iso(text) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
    assert len(text) == 27
    assert text.endswith("Z")


@given(st.integers(0, 253402300799_999_999), st.integers(0, 253402300799_999_999))
def test_times_as_text_sort_by_time(a, b):
    assert (to_iso(a) < to_iso(b)) == (a < b)


def test_now_is_now_in_utc():
    before = datetime.now(UTC)
    found = from_iso(now_iso())
    assert before <= found + timedelta(microseconds=1)
    assert found <= datetime.now(UTC)
    assert abs(now_us() - before.timestamp() * 1e6) < 60e6


@pytest.mark.parametrize("time_us", [0, 1, 999_999, 1_000_000, LAST_US])
def test_the_ends_of_time(time_us):
    assert len(new_id(time_us)) == ID_LENGTH
