"""A segment says everything about itself; what is damaged in it is named, and everything else is kept."""

from __future__ import annotations

import os
import zlib
from contextlib import contextmanager

import pytest

from modelmgmt.errors import CorruptDataError
from modelmgmt.store import segment as segments
from modelmgmt.store.process import current
from modelmgmt.store.segment import (
    HEADER_BYTES,
    RECORD_BYTES,
    create,
    definition,
    pack_point,
    pack_record,
    read,
    read_header,
    read_names,
)

RUN = "0123456789abcdef"


class Segment:
    """One that is written by hand, record by record."""

    def __init__(self, folder, capacity=64):
        self.path, self.header, self.view = create(folder, current(), capacity)
        self.place = HEADER_BYTES

    def add(self, *bodies):
        for body in bodies:
            pack_record(self.view, self.place, body, zlib.crc32(body, self.header.salt))
            self.place += RECORD_BYTES

    def define(self, stream, key):
        self.add(*definition(stream, RUN, key))

    def read(self, *args, **more):
        with opened(self.path) as descriptor:
            return read(descriptor, self.header.salt, *args, **more)


@contextmanager
def opened(path):
    descriptor = os.open(path, os.O_RDWR)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.fixture
def segment(tmp_path):
    return Segment(tmp_path)


@pytest.fixture
def written(segment):
    """Two definitions of one record each, then four points."""
    segment.define(1, "a")
    segment.define(2, "b")
    for step in range(4):
        segment.add(pack_point(step, step / 2, 1000 + step, 1 + step % 2))
    return segment


def found(records):
    """(key, step, value, time) of every point."""
    return [(records.names[tag][1], step, value, time) for step, value, time, tag, _ in records.points.tolist()]


POINTS = [("ab"[step % 2], step, step / 2, 1000 + step) for step in range(4)]


def test_a_segment_needs_nothing_else_to_be_read(written):
    with opened(written.path) as descriptor:
        header = read_header(descriptor, "x")
        assert header == written.header
        assert header.owner == current()
        assert read_names(descriptor, header.salt) == {1: (RUN, "a"), 2: (RUN, "b")}
    records = written.read()
    assert found(records) == POINTS
    assert (records.start, records.end, records.damaged) == (0, 6, ())


def test_all_blocks_are_there_before_the_first_record(segment):
    status = segment.path.stat()
    assert status.st_size == HEADER_BYTES + 64 * RECORD_BYTES
    assert status.st_blocks * 512 >= status.st_size


def test_an_empty_segment(segment):
    records = segment.read()
    assert (len(records.points), records.end, records.damaged) == (0, 0, ())


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [(0, 3, POINTS[:1]), (3, None, POINTS[1:]), (4, 5, POINTS[2:3]), (6, None, []), (5, 3, []), (0, 0, [])],
)
def test_a_part_of_a_segment(written, start, stop, expected):
    records = written.read(start, stop)
    assert found(records) == expected
    assert records.damaged == ()
    assert records.end == start + max(0, min(stop or 6, 6) - start) if expected else records.end == start


def test_names_that_the_caller_knows(written):
    assert found(written.read(2, 5, {1: ("r", "x"), 2: ("r", "y"), 9: ("r", "z")})) == [
        ("x", 0, 0.0, 1000),
        ("y", 1, 0.5, 1001),
        ("x", 2, 1.0, 1002),
    ]


@pytest.mark.parametrize("key", ["k", "k" * 5, "k" * 6, "k" * 250, "é" * 250, "日本語/損失 値" * 20, "🙂" * 250])
def test_names_of_any_length_and_script(segment, key):
    segment.define(7, key)
    segment.define(8, "other")
    segment.add(pack_point(1, 2.0, 3, 7))
    assert found(segment.read()) == [(key, 1, 2.0, 3)]


def test_pieces_of_two_definitions_may_alternate(segment):
    one, two = definition(1, RUN, "é" * 40), definition(2, RUN, "ü" * 40)
    for pair in zip(one, two, strict=True):
        segment.add(*pair)
    segment.add(pack_point(1, 1.0, 1, 1), pack_point(2, 2.0, 2, 2))
    assert found(segment.read()) == [("é" * 40, 1, 1.0, 1), ("ü" * 40, 2, 2.0, 2)]


def test_a_definition_that_was_cut_short_defines_nothing(segment):
    segment.add(*definition(1, RUN, "k" * 100)[:-1])
    segment.define(2, "b")
    segment.add(pack_point(1, 1.0, 1, 1), pack_point(2, 2.0, 2, 2))
    records = segment.read()
    assert found(records) == [("b", 2, 2.0, 2)]
    assert len(records.damaged) == 1


def test_every_flipped_bit_of_a_point_is_named_and_the_others_kept(written):
    for bit in range(2 * RECORD_BYTES * 8, 6 * RECORD_BYTES * 8):
        place = HEADER_BYTES + bit // 8
        written.view[place] ^= 1 << bit % 8
        records = written.read()
        record = bit // 8 // RECORD_BYTES
        assert records.damaged == (record,)
        assert found(records) == [point for point in POINTS if point[1] != record - 2]
        written.view[place] ^= 1 << bit % 8


def test_every_flipped_bit_of_a_definition_is_named_and_other_series_kept(written):
    for bit in range(RECORD_BYTES * 8):
        written.view[HEADER_BYTES + bit // 8] ^= 1 << bit % 8
        records = written.read()
        assert records.damaged == (0, 2, 4)
        assert found(records) == POINTS[1::2]
        written.view[HEADER_BYTES + bit // 8] ^= 1 << bit % 8


def test_every_flipped_bit_where_nothing_was_written_changes_no_point(written):
    start = 6 * RECORD_BYTES * 8
    for bit in range(start, start + 2 * RECORD_BYTES * 8):
        written.view[HEADER_BYTES + bit // 8] ^= 1 << bit % 8
        assert found(written.read()) == POINTS
        written.view[HEADER_BYTES + bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize("length", range(1, 29))
def test_a_record_that_was_being_written_is_no_damage(written, length):
    body = pack_point(-1, -1.5, -1, 2)
    written.view[written.place : written.place + length] = body[:length]
    records = written.read()
    assert found(records) == POINTS
    assert records.damaged == ()


@pytest.mark.parametrize("cut", range(1, RECORD_BYTES))
def test_a_file_that_ends_within_a_record_keeps_those_before(tmp_path, cut):
    """A plain write that a kill or a full disk has cut off."""
    path, header, plain = create(tmp_path, current(), 64, is_mapped=False)
    bodies = [*definition(1, RUN, "a"), *(pack_point(step, step / 2, 1000 + step, 1) for step in range(4))]
    plain.write(HEADER_BYTES, b"".join(segments.as_record(body, zlib.crc32(body, header.salt)) for body in bodies))
    os.truncate(path, path.stat().st_size - cut)
    with opened(path) as descriptor:
        records = read(descriptor, header.salt)
        assert read_names(descriptor, header.salt) == {1: (RUN, "a")}
    assert [step for _, step, _, _ in found(records)] == [0, 1, 2]
    assert (records.end, records.damaged) == (4, ())


def test_a_record_of_another_segment_is_not_taken_for_one_of_this(written, tmp_path):
    other = Segment(tmp_path)
    other.view[:] = other.view[:HEADER_BYTES] + written.view[HEADER_BYTES:]
    records = other.read()
    assert len(records.points) == 0
    assert records.damaged == (0, 1, 2, 3, 4, 5)


def test_every_flipped_bit_of_the_header_is_noticed(written):
    length = written.view[:HEADER_BYTES].rstrip(b"\0")
    with opened(written.path) as descriptor:
        for bit in range(8 * len(length)):
            written.view[bit // 8] ^= 1 << bit % 8
            with pytest.raises(CorruptDataError, match="name-of-it"):
                read_header(descriptor, "name-of-it")
            written.view[bit // 8] ^= 1 << bit % 8
        assert read_header(descriptor, "x") == written.header


def test_a_header_that_no_disk_has_seen_is_that_of_a_power_cut(written):
    written.view[:HEADER_BYTES] = bytes(HEADER_BYTES)
    with opened(written.path) as descriptor:
        header = read_header(descriptor, written.path.name)
        assert header.id == written.header.id
        assert header.owner.is_gone()
        assert len(read(descriptor, header.salt).points) == len(POINTS)


@pytest.mark.parametrize("size", [0, 11, 100, HEADER_BYTES - 1])
def test_a_file_that_was_cut_within_its_header(written, size):
    written.view.close()
    os.truncate(written.path, size)
    with opened(written.path) as descriptor, pytest.raises(CorruptDataError):
        read_header(descriptor, "x")


def test_a_file_that_was_cut_between_records_keeps_those_before(written):
    written.view.close()
    for records, points in ((5, POINTS[:3]), (3, POINTS[:1]), (1, []), (0, [])):
        os.truncate(written.path, HEADER_BYTES + records * RECORD_BYTES)
        assert found(written.read()) == points


def test_a_gap_of_any_size_hides_nothing_behind_it(tmp_path):
    """A log call of thousands of points that a signal interrupted leaves one."""
    segment = Segment(tmp_path, 10_000)
    segment.define(1, "a")
    segment.place += 9_000 * RECORD_BYTES
    segment.add(pack_point(1, 1.0, 1, 1))
    records = segment.read()
    assert found(records) == [("a", 1, 1.0, 1)]
    assert records.damaged == ()
