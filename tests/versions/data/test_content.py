"""Kept content comes back as it was, and a second version costs what is new in it."""

from __future__ import annotations

import datetime as dt
import decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelmgmt.errors import CorruptDataError
from modelmgmt.store.objects import Objects
from modelmgmt.store.trees import Trees
from modelmgmt.versions.data import align, pack
from modelmgmt.versions.data.columns import Column
from modelmgmt.versions.data.content import read_content, write_content
from modelmgmt.versions.data.cut import CHUNK_BYTES, cuts, row_hashes, spread_of
from modelmgmt.versions.data.load import restored
from modelmgmt.versions.data.pack import Patch, Rows
from modelmgmt.versions.data.sources import table_of

N = 300


@pytest.fixture
def objects(tmp_path):
    return Objects(tmp_path / "objects-of-a-test")


def kept(objects, data, before=None, **options):
    digest = write_content(objects, table_of(data, **options), before)
    return digest, restored(read_content(objects, digest))


def size_of(objects):
    return sum(objects.size(digest) for digest in objects.digests())


COLUMNS = {
    "int8": np.arange(N).astype("i1"),
    "uint64": np.arange(N, dtype="u8") + 2**63,
    "float16": np.linspace(0, 1, N).astype("f2"),
    "complex": np.linspace(0, 1, N) + 1j,
    "bool": np.arange(N) % 3 == 0,
    "all nan": np.full(N, np.nan),
    "str": [f"x{i % 7}" for i in range(N)],
    "str missing": [None if i % 5 == 0 else f"ü{i}" for i in range(N)],
    "objects with None": pd.Series([None if i % 5 == 0 else f"ü{i}" for i in range(N)], dtype=object),
    "objects with nan": pd.Series([np.nan if i % 5 == 0 else f"ü{i}" for i in range(N)], dtype=object),
    "objects with both": pd.Series([[np.nan, None, "x"][i % 3] for i in range(N)], dtype=object),
    "objects with surrogates": pd.Series(["\ud800"] * N, dtype=object),
    "objects, all None": pd.Series([None] * N, dtype=object),
    "string": pd.array([None if i % 5 == 0 else f"ü{i}" for i in range(N)], dtype="string"),
    "string of Python": pd.array([None if i % 5 == 0 else f"ü{i}" for i in range(N)], dtype=pd.StringDtype("python")),
    "Int16": pd.array([None if i % 3 == 0 else i for i in range(N)], dtype="Int16"),
    "boolean": pd.array([None if i % 3 == 0 else i % 2 == 0 for i in range(N)], dtype="boolean"),
    "Float32": pd.array([None if i % 3 == 0 else i / 7 for i in range(N)], dtype="Float32"),
    "times": pd.date_range("2020", periods=N, freq="h").as_unit("ms"),
    "times with a zone": pd.date_range("2020", periods=N, freq="h", tz="Europe/Berlin"),
    "times with an offset": pd.date_range("2020", periods=N, tz=dt.timezone(dt.timedelta(hours=2))),
    "times missing": [pd.NaT if i % 4 == 0 else pd.Timestamp("2021") + pd.Timedelta(i, "s") for i in range(N)],
    "spans": pd.to_timedelta(np.arange(N), unit="s"),
    "ordered": pd.Categorical([["b", "a", None][i % 3] for i in range(N)], categories=["z", "b", "a"], ordered=True),
    "categories of numbers": pd.Categorical(np.arange(N) % 3),
    "periods": pd.period_range("2020", periods=N, freq="M"),
    "intervals": pd.arrays.IntervalArray.from_breaks(np.arange(N + 1)),
    "sparse": pd.arrays.SparseArray([0.0] * (N - 1) + [2.0]),
    "mixed": [
        [1, None, "x", {"a": 1}, (1, 2), 2.5, decimal.Decimal("1.5"), dt.date(2020, 1, 1)][i % 8] for i in range(N)
    ],
    "lists": [[i, [i]] for i in range(N)],
    "bytes": [b"a\0"] * N,
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_comes_back(objects, name):
    frame = pd.DataFrame({name: COLUMNS[name]})
    pd.testing.assert_frame_equal(kept(objects, frame)[1], frame)


@pytest.mark.parametrize(
    "dtype", ["int64[pyarrow]", "string[pyarrow]", "timestamp[us, tz=UTC][pyarrow]", "bool[pyarrow]"]
)
def test_a_column_of_arrow_in_pandas_comes_back(objects, dtype):
    pytest.importorskip("pyarrow")
    values = {"s": ["a", None], "t": [pd.Timestamp("2020", tz="UTC"), None], "b": [True, None]}.get(dtype[0], [1, None])
    frame = pd.DataFrame({"a": pd.array(values, dtype=dtype)})
    pd.testing.assert_frame_equal(kept(objects, frame)[1], frame)


def two_levels(*names):
    return pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=names)


FRAMES = {
    "index of texts": (pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="k")), True),
    "index of times": (pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2020", periods=2, freq="D")), True),
    "range": (pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(3, 9, 3, name="r")), True),
    "two levels": (
        pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["k", None])),
        True,
    ),
    "names in two levels": (
        pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["p", "q"])),
        False,
    ),
    "equal names": (pd.DataFrame([[1, "x"], [2, "y"]], columns=["a", "a"]), False),
    "numbers as names": (pd.DataFrame([[1, 2]], columns=[5, 3]), False),
    "plain numbers as names": (pd.DataFrame([[1, 2]]), False),
    "odd names": (pd.DataFrame([[1, 2, 3]], columns=[None, ("t", 1), pd.Timestamp("2020")]), False),
    "no rows": (pd.DataFrame({"a": pd.array([], "i4"), "s": pd.array([], "str"), "c": pd.Categorical([])}), False),
    "no columns": (pd.DataFrame(index=pd.RangeIndex(5)), True),
    "nothing": (pd.DataFrame(), True),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_comes_back(objects, name):
    frame, index = FRAMES[name]
    pd.testing.assert_frame_equal(kept(objects, frame, index=index)[1], frame)


ARRAYS = {
    "one axis": np.arange(5.0), "none": np.array(3.5), "three": np.arange(60.0).reshape(5, 4, 3),
    "order of columns": np.asfortranarray(np.arange(12).reshape(3, 4)), "times": np.array(["2020", "NaT"], "M8[s]"),
    "times in a square": np.array([["2020", "NaT"], ["2021", "2022"]], "M8[D]"), "bytes": np.array([b"ab", b"c"]),
    "text": np.array(["ab", "cé"]), "flags": np.array([[True, False]]), "objects": np.array([1, "a", None], object),
    "no rows": np.zeros((0, 3)), "no width": np.zeros((3, 0)), "other end": np.arange(5, dtype=">i4"),
    "masked": np.ma.MaskedArray(np.arange(6.0).reshape(3, 2), mask=np.eye(3, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_comes_back(objects, name):
    array = ARRAYS[name]
    found = kept(objects, array)[1]
    np.testing.assert_array_equal(found, array)
    assert (found.shape, found.dtype, type(found)) == (array.shape, array.dtype.newbyteorder("="), type(array))


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "bsr"])
def test_a_sparse_matrix_comes_back(objects, form):
    sparse = pytest.importorskip("scipy.sparse")
    for matrix in (sparse.random(50, 30, 0.1, form, random_state=0), sparse.csr_array((3, 4)).asformat(form)):
        found = kept(objects, matrix)[1]
        assert (found.format, type(found), found.shape) == (form, type(matrix), matrix.shape)
        assert abs(found - matrix).sum() == 0


def test_polars_and_arrow_come_back(objects):
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({
        "i": [1, 2, None], "s": ["x", None, "z"], "c": pl.Series(["u", "v", None], dtype=pl.Categorical),
        "e": pl.Series(["u", "v", None], dtype=pl.Enum(["v", "u"])), "d": [dt.date(2020, 1, 1)] * 3, "l": [[1, 2], None, [3]],
        "st": [{"a": 1, "b": "x"}] * 3, "tm": [dt.time(1, 2, 3, 4)] * 3, "du": [dt.timedelta(seconds=3)] * 3,
        "dec": [decimal.Decimal("1.25")] * 3, "bin": [b"a", None, b"c"], "n": [None] * 3, "b": [True, None, False],
    })  # fmt: skip
    found = kept(objects, frame)[1]
    assert found.schema == frame.schema
    assert found.equals(frame)
    arrow = frame.to_arrow()
    assert kept(objects, arrow)[1].equals(arrow)


# ------------------------------------------------------------------------------------------- the second version

ROWS = 60_000


def _new(rows, seed=1):
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({f"c{place}": random.normal(size=rows) for place in range(8)})
    frame["s"] = [f"customer {number}" for number in random.integers(0, 10**9, rows)]
    frame["m"] = pd.array(np.where(random.random(rows) < 0.1, None, 1), "Int64")
    return frame


@pytest.fixture(scope="module")
def first():
    return _new(ROWS, 0)


def _scattered(frame):
    places = np.random.default_rng(1).choice(len(frame), len(frame) // 100, replace=False)
    changed = frame.copy()
    changed.iloc[places, :8] += 1
    changed.loc[places, "s"] = "somebody else, with a longer name"
    changed.loc[places, "m"] = None
    return changed


CHANGES = {
    "the same": (lambda frame: frame.copy(), 0.001),
    "scattered": (_scattered, 0.03),
    "a block": (lambda frame: frame.assign(c0=frame["c0"].where(frame.index > 600, 0.0)), 0.01),
    "a column more": (lambda frame: frame.assign(new=1.0), 0.01),
    "a column less": (lambda frame: frame.drop(columns="c3"), 0.001),
    "a column renamed": (lambda frame: frame.rename(columns={"c3": "d"}), 0.001),
    "columns in another order": (lambda frame: frame[sorted(frame, reverse=True)], 0.001),
    "rows appended": (lambda frame: pd.concat([frame, _new(600)], ignore_index=True), 0.03),
    "rows inserted": (lambda frame: pd.concat([frame[:999], _new(600), frame[999:]], ignore_index=True), 0.03),
    "rows removed here and there": (lambda frame: frame.drop(range(0, ROWS, 100)).reset_index(drop=True), 0.03),
    "a column anew": (lambda frame: frame.assign(c3=-frame["c3"]), 0.2),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_second_version_costs_what_is_new(objects, first, name):
    change, share = CHANGES[name]
    second = change(first)
    digest, _ = kept(objects, first)
    before = size_of(objects)
    _, found = kept(objects, second, digest)
    pd.testing.assert_frame_equal(found, second)
    assert size_of(objects) - before <= share * before + 3_000


def test_inserted_rows_move_only_the_cuts_around_them(first):
    column = table_of(first).columns[0]
    spread = 1024
    once = cuts(column, spread)
    values = np.insert(column.values, ROWS // 2, [0.25] * 10)
    before = [(cut.end - cut.start, cut.anchor) for cut in once]
    again = cuts(Column("c0", "float64", values), spread, before)
    ends = {cut.anchor for cut in once} & {cut.anchor for cut in again}
    assert len(ends) >= len(once) - 2
    pairs = [(cut, once[cut.like]) for cut in again if cut.like is not None]
    equal = [np.array_equal(values[a.start : a.end], column.values[b.start : b.end]) for a, b in pairs]
    assert sum(equal) >= len(once) - 2


def test_a_patch_is_always_one_of_a_whole_chunk(objects, first):
    """However many versions follow one another, reading one takes two objects for each chunk."""
    digest = None
    frame = first
    for round_ in range(4):
        digest, found = kept(objects, frame, digest)
        pd.testing.assert_frame_equal(found, frame)
        frame = frame.copy()
        frame.iloc[round_ * 10 : round_ * 10 + 5, 0] = round_
    tree = Trees(objects).get(digest)
    patched = [path for path in tree if path.endswith(".patch")]
    assert patched
    for path in patched:
        assert isinstance(pack.decode(objects.get(tree[path.removesuffix(".patch")].digest), "<f8"), Rows)


def test_a_damaged_earlier_version_is_not_built_upon(objects, first):
    digest, _ = kept(objects, first)
    tree = Trees(objects).get(digest)
    path = objects.path(tree["columns/00000/000000"].digest)
    path.chmod(0o644)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    changed = first.copy()
    changed.loc[0, "c0"] = 5
    with pytest.raises(CorruptDataError):
        restored(read_content(objects, digest))
    pd.testing.assert_frame_equal(kept(objects, changed, digest)[1], changed)


def test_a_tree_that_is_no_content_is_refused(objects, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "content.json").write_text("[]")
    digest = Trees(objects).put_folder(tmp_path / "folder").digest
    with pytest.raises(CorruptDataError):
        read_content(objects, digest)


# ------------------------------------------------------------------------------------------- chunks

pieces = st.lists(st.binary(max_size=12), min_size=1, max_size=60)


def rows_of(parts, valid=None):
    lengths = np.array([len(part) for part in parts], "<i8")
    return Rows(np.frombuffer(b"".join(parts), "u1"), lengths, valid)


def same(one, other):
    return one.count == other.count and not len(one.differing(other))


@given(st.lists(st.floats(width=64), min_size=1, max_size=3000), st.booleans())
def test_a_chunk_of_numbers_comes_back(values, has_missing):
    valid = np.arange(len(values)) % 2 == 0 if has_missing else None
    rows = Rows(np.array(values), None, valid)
    found = pack.decode(pack.encode(rows), "<f8")
    assert found.values.tobytes() == rows.values.tobytes()
    assert same(found, rows)


@given(pieces, pieces, st.data())
def test_a_patch_makes_one_the_other(before, after, data):
    flags = [
        data.draw(st.none() | st.lists(st.booleans(), min_size=len(part), max_size=len(part)))
        for part in (before, after)
    ]
    old, new = (
        rows_of(part, None if flag is None else np.array(flag))
        for part, flag in zip((before, after), flags, strict=True)
    )
    mine, theirs = align.matches(old, new)
    assert (np.diff(mine) > 0).all()
    assert (np.diff(theirs) > 0).all()
    dropped, added = align.others(mine, old.count), align.others(theirs, new.count)
    patch = pack.decode(pack.encode(Patch(dropped, added, new.take(added))), "|u1")
    whole = patch.of(old)
    assert same(whole, new)
    assert whole.values.tobytes() == new.values.tobytes()


@pytest.mark.parametrize("change", ["dropped", "inserted", "both"])
def test_rows_that_came_or_went_are_found(change):
    random = np.random.default_rng(0)
    values = random.normal(size=5000)
    after = values if change == "inserted" else np.delete(values, random.choice(5000, 50, replace=False))
    after = after if change == "dropped" else np.insert(after, random.choice(4000, 50), random.normal(size=50))
    mine, _ = align.matches(Rows(values), Rows(after))
    assert len(mine) == (5000 if change == "inserted" else 4950)


@given(st.binary(max_size=200), st.integers(0, 100), st.integers(0, 255))
@settings(max_examples=300)
def test_damaged_chunks_are_named(data, place, byte):
    whole = bytearray(pack.encode(Rows(np.arange(50.0))))
    whole[place % len(whole)] = byte
    for damaged in (bytes(whole), b"MMD1" + data, data):
        try:
            pack.decode(damaged, "<f8")
        except CorruptDataError:
            pass


@given(st.integers(0, 5000), st.integers(1, 9), st.sampled_from([16, 64, 1024]))
@settings(max_examples=50)
def test_cuts_are_of_all_rows_in_order(rows, distinct, spread):
    column = Column("x", "int64", np.random.default_rng(rows).integers(0, distinct, rows))
    found = cuts(column, spread)
    assert [cut.start for cut in found] == [0, *(cut.end for cut in found)][: len(found)]
    assert (found[-1].end if found else 0) == rows
    assert all(cut.end - cut.start <= 4 * spread for cut in found)


@given(pieces)
def test_hashes_of_texts_tell_them_apart_by_their_ends(parts):
    rows = rows_of(parts)
    hashes = row_hashes(Column("x", "bytes", rows.values, rows.lengths))
    for place, part in enumerate(parts):
        alone = rows_of([part])
        assert row_hashes(Column("x", "bytes", alone.values, alone.lengths))[0] == hashes[place]


def test_chunks_have_about_the_size_aimed_at():
    column = Column("x", "float64", np.random.default_rng(0).normal(size=1_000_000))
    sizes = [8 * (cut.end - cut.start) for cut in cuts(column, spread_of(column))]
    assert CHUNK_BYTES / 3 < np.mean(sizes) < CHUNK_BYTES * 3
