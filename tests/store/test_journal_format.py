"""A journal file says everything about itself; what is damaged in it is named, and everything else is kept."""

from __future__ import annotations

import json
import os
import struct
import zlib
from contextlib import contextmanager

import pytest

from modelmgmt.errors import CorruptDataError
from modelmgmt.store.journal import (
    HEADER_BYTES,
    MAX_BYTES,
    RECORD_BYTES,
    SUFFIX,
    Journal,
    definition,
    pack_point,
    read,
    read_header,
    read_names,
)
from modelmgmt.store.process import current

RUN = "0123456789abcdef"


class File:
    """One that is written by hand, record by record."""

    def __init__(self, folder):
        journal = Journal(folder, lambda _: None)
        journal.append([])
        self.path = journal.path
        with opened(self.path) as descriptor:
            self.header = read_header(descriptor, self.path.name)
        self.place = HEADER_BYTES

    def add(self, *bodies):
        for body in bodies:
            self.put(self.place, body + zlib.crc32(body, self.header.salt).to_bytes(4, "little"))
            self.place += RECORD_BYTES

    def put(self, place, data):
        with opened(self.path) as descriptor:
            os.pwrite(descriptor, data, place)

    def flip(self, bit):
        """One bit of the file."""
        with opened(self.path) as descriptor:
            (byte,) = os.pread(descriptor, 1, bit // 8)
            os.pwrite(descriptor, bytes([byte ^ 1 << bit % 8]), bit // 8)

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
def file(tmp_path):
    return File(tmp_path)


@pytest.fixture
def written(file):
    """Two definitions of one record each, then four points."""
    file.define(1, "a")
    file.define(2, "b")
    for step in range(4):
        file.add(pack_point(step, step / 2, 1000 + step, 1 + step % 2))
    return file


def found(records):
    """(key, step, value, time) of every point."""
    return [(records.names[tag][1], step, value, time) for step, value, time, tag, _ in records.points.tolist()]


POINTS = [("ab"[step % 2], step, step / 2, 1000 + step) for step in range(4)]


def test_a_file_needs_nothing_else_to_be_read(written):
    with opened(written.path) as descriptor:
        header = read_header(descriptor, written.path.name)
        assert header == written.header
        assert header.owner == current()
        assert read_names(descriptor, header.salt) == {1: (RUN, "a"), 2: (RUN, "b")}
    records = written.read()
    assert found(records) == POINTS
    assert (records.start, records.end, records.damaged) == (0, 6, ())


def test_nothing_is_allocated_before_it_is_used(file):
    assert file.path.stat().st_size == HEADER_BYTES


def test_an_empty_file(file):
    records = file.read()
    assert (len(records.points), records.end, records.damaged) == (0, 0, ())


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [(0, 3, POINTS[:1]), (3, None, POINTS[1:]), (4, 5, POINTS[2:3]), (6, None, []), (5, 3, []), (0, 0, [])],
)
def test_a_part_of_a_file(written, start, stop, expected):
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
def test_names_of_any_length_and_script(file, key):
    file.define(7, key)
    file.define(8, "other")
    file.add(pack_point(1, 2.0, 3, 7))
    assert found(file.read()) == [(key, 1, 2.0, 3)]


def test_pieces_of_two_definitions_may_alternate(file):
    one, two = definition(1, RUN, "é" * 40), definition(2, RUN, "ü" * 40)
    for pair in zip(one, two, strict=True):
        file.add(*pair)
    file.add(pack_point(1, 1.0, 1, 1), pack_point(2, 2.0, 2, 2))
    assert found(file.read()) == [("é" * 40, 1, 1.0, 1), ("ü" * 40, 2, 2.0, 2)]


def test_a_definition_that_was_cut_short_defines_nothing(file):
    file.add(*definition(1, RUN, "k" * 100)[:-1])
    file.define(2, "b")
    file.add(pack_point(1, 1.0, 1, 1), pack_point(2, 2.0, 2, 2))
    records = file.read()
    assert found(records) == [("b", 2, 2.0, 2)]
    assert len(records.damaged) == 1


def test_every_flipped_bit_of_a_point_is_named_and_the_others_kept(written):
    for bit in range(2 * RECORD_BYTES * 8, 6 * RECORD_BYTES * 8):
        written.flip(HEADER_BYTES * 8 + bit)
        records = written.read()
        record = bit // 8 // RECORD_BYTES
        assert records.damaged == (record,)
        assert found(records) == [point for point in POINTS if point[1] != record - 2]
        written.flip(HEADER_BYTES * 8 + bit)


def test_every_flipped_bit_of_a_definition_is_named_and_other_series_kept(written):
    for bit in range(RECORD_BYTES * 8):
        written.flip(HEADER_BYTES * 8 + bit)
        records = written.read()
        assert records.damaged == (0, 2, 4)
        assert found(records) == POINTS[1::2]
        written.flip(HEADER_BYTES * 8 + bit)


def test_every_flipped_bit_where_nothing_was_written_changes_no_point(written):
    start = 6 * RECORD_BYTES * 8
    written.put(written.place, bytes(2 * RECORD_BYTES))
    for bit in range(start, start + 2 * RECORD_BYTES * 8):
        written.flip(HEADER_BYTES * 8 + bit)
        assert found(written.read()) == POINTS
        written.flip(HEADER_BYTES * 8 + bit)


@pytest.mark.parametrize("length", range(1, 29))
def test_a_record_that_was_being_written_is_no_damage(written, length):
    body = pack_point(-1, -1.5, -1, 2)
    written.put(written.place, body[:length].ljust(RECORD_BYTES, b"\0"))
    records = written.read()
    assert found(records) == POINTS
    assert records.damaged == ()


@pytest.mark.parametrize("cut", range(1, RECORD_BYTES))
def test_a_file_that_ends_within_a_record_keeps_those_before(written, cut):
    """A write that a full disk has cut off, and nothing could be taken back."""
    os.truncate(written.path, written.path.stat().st_size - cut)
    records = written.read()
    assert found(records) == POINTS[:3]
    assert (records.end, records.damaged) == (5, ())
    with opened(written.path) as descriptor:
        assert read_names(descriptor, written.header.salt) == {1: (RUN, "a"), 2: (RUN, "b")}


def test_a_record_of_another_file_is_not_taken_for_one_of_this(written, tmp_path):
    other = File(tmp_path)
    other.put(HEADER_BYTES, written.path.read_bytes()[HEADER_BYTES:])
    records = other.read()
    assert len(records.points) == 0
    assert records.damaged == (0, 1, 2, 3, 4, 5)


def test_every_flipped_bit_of_the_header_is_noticed(written):
    length = written.path.read_bytes()[:HEADER_BYTES].rstrip(b"\0")
    with opened(written.path) as descriptor:
        for bit in range(8 * len(length)):
            written.flip(bit)
            with pytest.raises(CorruptDataError, match=written.path.name):
                read_header(descriptor, written.path.name)
            written.flip(bit)
        assert read_header(descriptor, written.path.name) == written.header


def test_a_header_that_no_disk_has_seen_is_that_of_a_power_cut(written):
    written.put(0, bytes(HEADER_BYTES))
    with opened(written.path) as descriptor:
        header = read_header(descriptor, written.path.name)
        assert header.id == written.header.id
        assert header.owner.is_gone()
        assert len(read(descriptor, header.salt).points) == len(POINTS)


@pytest.mark.parametrize("size", [1, 11, 12, 100])
def test_a_file_that_was_cut_within_its_header(written, size):
    os.truncate(written.path, size)
    with opened(written.path) as descriptor, pytest.raises(CorruptDataError):
        read_header(descriptor, written.path.name)


def test_a_file_that_was_cut_between_records_keeps_those_before(written):
    for records, points in ((5, POINTS[:3]), (3, POINTS[:1]), (1, []), (0, [])):
        os.truncate(written.path, HEADER_BYTES + records * RECORD_BYTES)
        assert found(written.read()) == points


def test_a_gap_of_any_size_hides_nothing_behind_it(tmp_path):
    """A log call of thousands of points that a signal interrupted leaves one."""
    file = File(tmp_path)
    file.define(1, "a")
    file.place += 9_000 * RECORD_BYTES
    file.add(pack_point(1, 1.0, 1, 1))
    records = file.read()
    assert found(records) == [("a", 1, 1.0, 1)]
    assert records.damaged == ()


def test_a_definition_that_comes_twice_defines_once(file):
    """A signal handler that logs while a new key is on its way."""
    for key in ("k", "k" * 100):
        file.define(len(key), key)
        file.define(len(key), key)
        file.add(pack_point(1, 1.0, 1, len(key)))
    assert found(file.read()) == [("k", 1, 1.0, 1), ("k" * 100, 1, 1.0, 1)]


GOOD = {"id": "1-2-3", "created_us": 1, "owner": {"host": "h", "boot_id": "b", "pid": 1, "start": "s"}}
OTHER_HEADERS = [
    None, 0, "text", [], {}, {**GOOD, "id": 7}, {**GOOD, "id": None}, {**GOOD, "id": "é"},
    {**GOOD, "id": ["1-2-3"]}, {**GOOD, "created_us": "x"}, {**GOOD, "created_us": 1.5}, {**GOOD, "created_us": True},
    {**GOOD, "owner": None}, {**GOOD, "owner": []}, {**GOOD, "owner": {}}, {**GOOD, "owner": {**GOOD["owner"], "x": 1}},
    *({**GOOD, "owner": {**GOOD["owner"], name: value}} for name in GOOD["owner"] for value in (None, [], {}, 1.5, True)),
    {**GOOD, "owner": {**GOOD["owner"], "pid": "1"}}, {"id": "1-2-3", "owner": GOOD["owner"]}, [GOOD],
]  # fmt: skip


def header_page(text):
    return (struct.pack("<4sII", b"MMJ1", zlib.crc32(text), len(text)) + text).ljust(HEADER_BYTES, b"\0")


@pytest.mark.parametrize("text", [*map(json.dumps, OTHER_HEADERS), "", "{", "[" * 4000, '"\\ud800"', "1" * 4000, "\0"])
def test_a_header_of_another_shape_is_a_damaged_one(tmp_path, text):
    path = tmp_path / f"1-2-3{SUFFIX}"
    path.write_bytes(header_page(text.encode()))
    with opened(path) as descriptor, pytest.raises(CorruptDataError, match=path.name):
        read_header(descriptor, path.name)
    path.write_bytes(header_page(json.dumps(GOOD).encode()))
    with opened(path) as descriptor:
        assert read_header(descriptor, path.name).id == "1-2-3"


@pytest.mark.parametrize("size", [0, 1, 512, 1024, 4095, HEADER_BYTES])
def test_a_header_that_never_reached_the_disk_is_no_damage(tmp_path, size):
    """What a power cut leaves of a file that nothing was synced of: its name, and a part of its size."""
    path = tmp_path / f"1-2-3{SUFFIX}"
    for page in (bytes(size), header_page(json.dumps(GOOD).encode())[: max(size, 512)]):
        path.write_bytes(page)
        with opened(path) as descriptor:
            header = read_header(descriptor, path.name)
            assert header.id == "1-2-3"
            records = read(descriptor, header.salt)
        assert (records.end, len(records.points), records.damaged) == (0, 0, ())


@pytest.mark.parametrize("page", [b"MMJ1", b"x", header_page(b"{}")[:14], bytes(100) + b"x"])
def test_a_part_of_something_else_is_no_header(tmp_path, page):
    path = tmp_path / f"1-2-3{SUFFIX}"
    path.write_bytes(page)
    with opened(path) as descriptor, pytest.raises(CorruptDataError, match=path.name):
        read_header(descriptor, path.name)


def test_a_file_of_holes_is_no_journal(written):
    os.truncate(written.path, 20 << 30)
    with opened(written.path) as descriptor, pytest.raises(CorruptDataError, match="larger than a journal can be"):
        read_header(descriptor, written.path.name)
    os.truncate(written.path, MAX_BYTES)
    assert found(written.read()) == POINTS


def test_a_stream_whose_text_is_no_text_defines_nothing(file):
    (body,) = definition(1, "r", "k")
    file.add(body[:2] + b"\xff" + body[3:])
    file.define(2, "b")
    file.add(pack_point(1, 1.0, 1, 1), pack_point(2, 2.0, 2, 2))
    assert found(file.read()) == [("b", 2, 2.0, 2)]
