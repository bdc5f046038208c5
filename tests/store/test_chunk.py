"""A chunk gives back every bit of what was packed, or says that it is damaged."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmgmt.errors import CorruptDataError
from modelmgmt.store.chunk import MAX_COUNT, Points, decode, encode

ID = b"run\0loss"
SPECIAL_BITS = [
    struct.unpack("<Q", struct.pack("<d", value))[0]
    for value in (0.0, -0.0, 1.0, 0.1, 5e-324, 2.2250738585072009e-308, 1.7976931348623157e308, np.inf, -np.inf)
]
SPECIAL_BITS += [
    0x7FF8000000000000,  # the quiet NaN
    0xFFF8000000000001,  # a quiet NaN with a sign and a payload
    0x7FF0000000000001,  # a signalling NaN
    0x7FF4000020000000,  # a signalling NaN whose payload a float32 could hold
    0x3690000000000000,  # a float32 subnormal
    0x47F0000000000000,  # just past the largest float32
]
bits = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from(SPECIAL_BITS))
singles = st.floats(width=32).map(lambda value: struct.unpack("<Q", struct.pack("<d", value))[0])
int64 = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3), st.sampled_from([-(2**63), 2**63 - 1]))


def points(steps, value_bits, times):
    values = np.array(value_bits, np.uint64).view(np.float64)
    return Points(np.array(steps, np.int64), values, np.array(times, np.int64))


def columns(value_bits):
    return st.lists(st.tuples(int64, value_bits, int64), max_size=40).map(
        lambda rows: points(*zip(*rows, strict=True)) if rows else points([], [], [])
    )


def same(a, b):
    assert [column.dtype for column in b] == [np.int64, np.float64, np.int64]
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one.view(np.uint64), other.view(np.uint64))


@given(columns(bits))
def test_every_bit_of_every_number_comes_back_in_the_same_order(given_points):
    same(given_points, decode(ID, encode(ID, given_points)))


@given(columns(singles))
def test_what_a_single_holds_comes_back_bit_for_bit(given_points):
    same(given_points, decode(ID, encode(ID, given_points)))


@given(st.integers(-(2**62), 2**62), st.integers(-1000, 1000), st.integers(0, 300))
def test_regular_steps_take_a_few_bytes(start, stride, count):
    steps = np.arange(count, dtype=np.int64) * stride + start
    given_points = Points(steps, np.zeros(count), steps)
    data = encode(ID, given_points)
    same(given_points, decode(ID, data))
    assert len(data) < 100


@pytest.mark.parametrize("count", [0, 1, 2, 4095, 4096, 4097, 9001])
@pytest.mark.parametrize("kind", ["noise", "singles", "walk", "constant"])
def test_long_columns(count, kind):
    random = np.random.default_rng(count)
    noise = random.integers(0, 2**64, count, np.uint64, endpoint=False)
    values = {
        "noise": noise.view(np.float64),
        "singles": random.standard_normal(count).astype(np.float32).astype(np.float64),
        "walk": random.standard_normal(count).cumsum(),
        "constant": np.full(count, -0.0),
    }[kind]
    steps = noise.view(np.int64) if kind == "noise" else random.integers(-5, 1000, count).cumsum()
    given_points = Points(steps, values, steps[::-1])
    same(given_points, decode(ID, encode(ID, given_points)))


def test_the_largest_chunk():
    steps = np.arange(MAX_COUNT)
    given_points = Points(steps, np.sin(steps), steps * 7 + 1)
    same(given_points, decode(ID, encode(ID, given_points)))


def test_columns_need_not_be_contiguous_nor_of_this_byte_order():
    records = np.zeros(5, [("step", ">i8"), ("value", ">f8"), ("time", "<i8")])
    records["step"], records["value"], records["time"] = [5, 1, 1, 2, -9], [0.1, np.nan, -0.0, np.inf, 3], range(5)
    given_points = Points(records["step"], records["value"], records["time"])
    back = decode(ID, encode(ID, given_points))
    assert back.steps.tolist() == [5, 1, 1, 2, -9]
    np.testing.assert_array_equal(back.values, [0.1, np.nan, -0.0, np.inf, 3])
    assert back.times.tolist() == list(range(5))


def test_what_is_read_can_be_changed():
    back = decode(ID, encode(ID, points([1], [1], [1])))
    for column in back:
        column[0] = 7


def small_chunk():
    return encode(ID, points([3, 1, 2], [0x3FB999999999999A, 0x7FF0000000000001, 1 << 63], [10, 10, 11]))


def test_every_flipped_bit_is_noticed():
    data = small_chunk()
    for place in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(CorruptDataError, match="damaged"):
            decode(ID, bytes(damaged))


def test_every_truncation_and_extension_is_noticed():
    data = small_chunk()
    for length in range(len(data)):
        with pytest.raises(CorruptDataError, match="damaged"):
            decode(ID, data[:length])
    for more in (b"\0", b"\0" * 32, data):
        with pytest.raises(CorruptDataError, match="damaged"):
            decode(ID, data + more)


@given(st.binary(max_size=200))
def test_any_other_bytes_are_noticed(data):
    with pytest.raises(CorruptDataError):
        decode(ID, data)
    with pytest.raises(CorruptDataError):
        decode(ID, b"MMC1" + data)


@pytest.mark.parametrize("other", [b"run\0acc", b"ruN\0loss", b"", b"run\0loss\0"])
def test_a_chunk_under_a_wrong_name_is_noticed(other):
    with pytest.raises(CorruptDataError, match="damaged"):
        decode(other, small_chunk())
