"""What people log, kind by kind, and what it becomes: kept equal, or refused with a sentence that says what to pass.

One line a kind: the value, then what comes back of it as a metric, a param, a cell of a table, of kept data, and of a
prediction. `SAME` is an equal value, `MISSING` what pandas counts as missing, `NO` a refusal.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import io
import math
import os
import re
import types
import typing
import uuid
import warnings
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

import modelmgmt as mm
from modelmgmt.errors import InvalidNameError, InvalidTypeError, InvalidValueError

SAME, MISSING, NO = "SAME", "MISSING", "NO"
NAN, INF = math.nan, math.inf


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Pair(typing.NamedTuple):
    x: int
    y: float


@dataclasses.dataclass
class Config:
    lr: float = 0.1


class Quantity:
    """As pint and astropy have them."""

    magnitude, units = 3.0, "meter"

    def __float__(self):
        return self.magnitude


class Shape(tuple):
    """As torch.Size is one."""

    __slots__ = ()


class Letter(enum.StrEnum):
    A = "a"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Span(enum.Enum):
    UNIT = (0, 1)


@dataclasses.dataclass
class Optimizer:
    config: Config = dataclasses.field(default_factory=Config)
    betas: list = dataclasses.field(default_factory=lambda: [0.9, 0.99])


class Wrapper:
    """As arrays of other libraries are one, and no more than that."""

    def __array__(self, dtype=None, copy=None):
        return np.asarray([1, 2], dtype)


class DeviceArray:
    """As one on a GPU: it gives no array, and prints its type alone."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("the array is on a device")


NOON = dt.datetime(2026, 1, 31, 12)
OTHER_PATH = PurePosixPath("a/b") if os.name == "nt" else PureWindowsPath("a/b")
ENDLESS = []
ENDLESS.append(ENDLESS)
ROUND = {"a": {}}
ROUND["a"]["b"] = ROUND
NAN_OF_DECIMAL = Decimal("NaN")
VALUES = {
    # kind: (value, metric, param, cell of a table, of kept data, of a prediction)
    "bool": (True, SAME, SAME, SAME, SAME, SAME),
    "int": (3, SAME, SAME, SAME, SAME, SAME),
    "int of 71 bits": (2**70, SAME, SAME, SAME, SAME, SAME),
    "float": (0.1, SAME, SAME, SAME, SAME, SAME),
    "NaN": (NAN, SAME, SAME, SAME, SAME, SAME),
    "infinity": (-INF, SAME, SAME, SAME, SAME, SAME),
    "float32": (np.float32(0.1), SAME, SAME, SAME, SAME, SAME),
    "int8": (np.int8(-5), SAME, SAME, SAME, SAME, SAME),
    "numpy bool": (np.bool_(True), SAME, SAME, SAME, SAME, SAME),
    "array of one": (np.array(3), SAME, SAME, SAME, SAME, SAME),
    "Decimal": (Decimal("1.10"), 1.1, "1.10", SAME, SAME, SAME),
    "Fraction": (Fraction(1, 3), 1 / 3, "1/3", SAME, SAME, SAME),
    "IntEnum": (Level.HIGH, SAME, SAME, SAME, SAME, SAME),
    "complex": (1 + 2j, NO, NO, SAME, SAME, SAME),
    "long double": (np.longdouble(0.1), SAME, SAME, SAME, NO, NO),
    "quantity": (Quantity(), NO, NO, NO, NO, NO),
    "complex long double": (np.clongdouble(1j), NO, NO, SAME, NO, NO),
    "number of Arrow": (pa.scalar(3), 3, 3, 3, 3, 3),
    "Decimal of Arrow": (pa.scalar(Decimal("1.10")), 1.1, "1.10", Decimal("1.10"), Decimal("1.10"), Decimal("1.10")),
    "time of Arrow": (pa.scalar(NOON), NO, "2026-01-31T12:00:00", NOON, NOON, NOON),
    "struct of Arrow": (pa.scalar({"a": 1}), {"a": 1}, {"a": 1}, {"a": 1}, {"a": 1}, {"a": 1}),
    "null of Arrow": (pa.scalar(None, pa.int8()), NAN, MISSING, MISSING, MISSING, MISSING),
    # missing
    "None": (None, NO, MISSING, MISSING, MISSING, MISSING),
    "masked": (np.ma.masked, NAN, MISSING, MISSING, MISSING, MISSING),
    "masked scalar": (np.ma.array([5, 6], mask=[True, False])[0], NAN, MISSING, MISSING, MISSING, MISSING),
    "NA": (pd.NA, NAN, MISSING, MISSING, MISSING, MISSING),
    "NaT": (pd.NaT, NO, MISSING, MISSING, MISSING, MISSING),
    "numpy NaT": (np.datetime64("NaT", "s"), NO, MISSING, MISSING, MISSING, MISSING),
    # text and names
    "text": ("ü", NO, SAME, SAME, SAME, SAME),
    "numpy text": (np.str_("a"), NO, SAME, SAME, SAME, SAME),
    "bytes": (b"\xff", NO, NO, SAME, SAME, SAME),
    "path": (Path("a/b"), NO, "a/b", SAME, SAME, SAME),
    "path of another system": (OTHER_PATH, NO, str(OTHER_PATH), NO, NO, NO),
    "text that is not Unicode": ("a\ud800", NO, NO, NO, NO, NO),
    "UUID": (uuid.UUID(int=1), NO, str(uuid.UUID(int=1)), SAME, SAME, SAME),
    "enum": (Colour.RED, NO, "red", NO, NO, NO),
    "class": (Config, NO, f"{__name__}.Config", NO, NO, NO),
    "function": (len, NO, "builtins.len", NO, NO, NO),
    "dtype": (np.dtype("i4"), NO, "int32", NO, NO, NO),
    # times
    "datetime": (NOON, NO, "2026-01-31T12:00:00", SAME, SAME, SAME),
    "datetime with a zone": (NOON.replace(tzinfo=dt.UTC), NO, "2026-01-31T12:00:00+00:00", SAME, SAME, SAME),
    "date": (NOON.date(), NO, "2026-01-31", SAME, SAME, SAME),
    "time of day": (NOON.time(), NO, "12:00:00", SAME, SAME, SAME),
    "timedelta": (dt.timedelta(hours=1), NO, "PT1H", SAME, SAME, SAME),
    "datetime64[ns]": (np.datetime64(NOON, "ns"), NO, "2026-01-31T12:00:00", SAME, SAME, SAME),
    "datetime64[D]": (np.datetime64(NOON, "D"), NO, "2026-01-31", SAME, SAME, SAME),
    "timedelta64": (np.timedelta64(5400, "s"), NO, "PT1H30M", SAME, SAME, SAME),
    "Timestamp": (pd.Timestamp(NOON, tz="Asia/Tokyo"), NO, "2026-01-31T12:00:00+09:00", SAME, SAME, SAME),
    "Timedelta": (pd.Timedelta(1, "ms"), NO, "PT0.001S", SAME, SAME, SAME),
    "Period": (pd.Period("2026-01"), NO, "2026-01", SAME, SAME, SAME),
    "Interval": (pd.Interval(0, 1), NO, NO, SAME, SAME, SAME),
    # what holds others
    "list": ([1, "a", None], NO, SAME, SAME, SAME, [1, "a", None]),
    "list with NaN": ([NAN, INF], NO, SAME, SAME, SAME, SAME),
    "list with a masked one": ([np.ma.masked, 1], NO, [None, 1], [None, 1], [None, 1], [None, 1]),
    "tuple": ((1, 2), NO, [1, 2], SAME, SAME, [1, 2]),
    "set": ({3, 1}, NO, [1, 3], SAME, SAME, SAME),
    "range": (range(3), NO, [0, 1, 2], NO, NO, NO),
    "deque": (collections.deque([1, 2]), NO, [1, 2], NO, NO, NO),
    "keys": ({"a": 1}.keys(), NO, ["a"], NO, NO, NO),
    "mapping": ({"a": 1.5}, {"a": 1.5}, SAME, SAME, SAME, SAME),
    "mapping with NaN": ({"a": NAN}, {"a": NAN}, SAME, SAME, SAME, SAME),
    "keys 1 and '1'": ({1: 0.5, "1": 1.5}, NO, NO, SAME, SAME, {"1": 0.5, "1#2": 1.5}),
    "named tuple": (Pair(1, 0.5), {"x": 1, "y": 0.5}, {"x": 1, "y": 0.5}, NO, NO, [1, 0.5]),
    "dataclass": (Config(), {"lr": 0.1}, {"lr": 0.1}, NO, NO, NO),
    "ordered mapping": (collections.OrderedDict(a=1), {"a": 1}, SAME, SAME, SAME, SAME),
    "counter": (collections.Counter("aab"), {"a": 2, "b": 1}, SAME, SAME, SAME, SAME),
    "chain of mappings": (collections.ChainMap({"a": 1}, {"b": 2}), {"a": 1, "b": 2}, SAME, SAME, SAME, SAME),
    "read-only mapping": (types.MappingProxyType({"a": 1}), {"a": 1}, SAME, SAME, SAME, SAME),
    "tuple of its own type": (Shape([1, 2]), NO, [1, 2], SAME, SAME, [1, 2]),
    "list that holds itself": (ENDLESS, NO, NO, NO, NO, NO),
    "namespace": (types.SimpleNamespace(lr=0.1), {"lr": 0.1}, {"lr": 0.1}, NO, NO, NO),
    "array": (np.arange(3), NO, [0, 1, 2], SAME, SAME, [0, 1, 2]),
    "array with a mask": (np.ma.array([1, 2], mask=[0, 1]), NO, [1, None], [1, None], [1, None], [1, None]),
    "frame": (pd.DataFrame({"a": [1]}), NO, NO, NO, NO, NO),
    "array without dimensions": (np.ma.array(3.0, mask=False), SAME, SAME, SAME, SAME, SAME),
    "masked array without dimensions": (np.ma.array(3, mask=True), NAN, MISSING, MISSING, MISSING, MISSING),
    "record of numpy": (np.array([(1, 0.5)], "i4, f8")[0], {"f0": 1, "f1": 0.5}, {"f0": 1, "f1": 0.5}, NO, NO, NO),
    "records of numpy": (np.array([(1, 0.5)], "i4, f8"), NO, [{"f0": 1, "f1": 0.5}], NO, NO, NO),
    "array of another library": (Wrapper(), NO, NO, [1, 2], [1, 2], [1, 2]),
    "array on a device": (DeviceArray(), NO, NO, NO, NO, NO),
    "Decimal NaN": (Decimal("NaN"), NAN, "NaN", NAN_OF_DECIMAL, NAN_OF_DECIMAL, NAN_OF_DECIMAL),
    "Decimal that no float holds": (Decimal("1e400"), NO, "1E+400", SAME, SAME, SAME),
    "Fraction that no float holds": (Fraction(10**400, 3), NO, f"{10**400}/3", SAME, SAME, SAME),
    "StrEnum": (Letter.A, NO, "a", SAME, SAME, SAME),
    "flag": (Access.READ | Access.WRITE, NO, 3, NO, NO, NO),
    "enum of a tuple": (Span.UNIT, NO, [0, 1], NO, NO, NO),
    "bytearray": (bytearray(b"ab"), NO, NO, SAME, SAME, SAME),
    "memoryview": (memoryview(b"ab"), NO, NO, NO, NO, NO),
    "frozenset": (frozenset("ba"), NO, ["a", "b"], SAME, SAME, SAME),
    "set of tuples": ({(1, 2), (0,)}, NO, [[0], [1, 2]], SAME, SAME, SAME),
    "nested dataclass": (Optimizer(), NO, {"betas": [0.9, 0.99], "config": {"lr": 0.1}}, NO, NO, NO),
    "datetime64[Y]": (np.datetime64("2026", "Y"), NO, "2026-01-01", SAME, SAME, SAME),
    "datetime64[h]": (np.datetime64(NOON, "h"), NO, "2026-01-31T12:00:00", SAME, SAME, SAME),
    "datetime64[ps] of whole ns": (np.datetime64(2000, "ps"), NO, "1970-01-01T00:00:00.000000002", SAME, SAME, SAME),
    "datetime64[ps]": (np.datetime64(2001, "ps"), NO, "1970-01-01T00:00:00.000000002001", NO, NO, NO),
    "datetime64[as]": (np.datetime64(5, "as"), NO, "1970-01-01T00:00:00.000000000000000005", NO, NO, NO),
    "timedelta64[M]": (np.timedelta64(5, "M"), NO, "P5M", NO, NO, NO),
    "timedelta64[W]": (np.timedelta64(1, "W"), NO, "P7D", SAME, SAME, SAME),
    "timedelta64[fs]": (np.timedelta64(5, "fs"), NO, "PT0.000000000000005S", NO, NO, NO),
    "timedelta64 of no unit": (np.timedelta64(5), NO, NO, NO, NO, NO),
    "time with a zone": (NOON.time().replace(tzinfo=dt.UTC), NO, "12:00:00+00:00", NO, NO, NO),
    "map of Arrow": (pa.scalar([("a", 1)], pa.map_(pa.utf8(), pa.int8())), {"a": 1}, {"a": 1}, {"a": 1}, {"a": 1}, {"a": 1}),
    "list of Arrow": (pa.scalar([1, None]), NO, [1, None], [1, None], [1, None], [1, None]),
    "array of Arrow": (pa.array([1, None]), NO, [1, None], NO, NO, NO),
    "table of Arrow": (pa.table({"a": [1]}), NO, NO, NO, NO, NO),
    "key of bytes": ({b"a": 1}, NO, NO, SAME, SAME, {"b'a'": 1}),
    "key of two": ({(1, 2): 0.5}, NO, NO, SAME, SAME, {"1.2": 0.5}),
    "key True": ({True: 0.5, "a": 1}, {"True": 0.5, "a": 1}, {"True": 0.5, "a": 1}, SAME, SAME, {"True": 0.5, "a": 1}),
    "key 1": ({1: 0.5, "a": 1}, {"1": 0.5, "a": 1}, {"1": 0.5, "a": 1}, SAME, SAME, {"1": 0.5, "a": 1}),
    "key 1.0": ({1.0: 0.5, "a": 1}, {"1.0": 0.5, "a": 1}, {"1.0": 0.5, "a": 1}, SAME, SAME, {"1.0": 0.5, "a": 1}),
    "mapping that holds itself": (ROUND, NO, NO, NO, NO, NO),
    "key too long for a name": ({"a": 1, "k" * 5000: 1}, NO, NO, SAME, SAME, SAME),
    "letters that look alike": ({"a": 1, "\u0430": 2}, SAME, SAME, SAME, SAME, SAME),
    "generator": ((one for one in ()), NO, NO, NO, NO, NO),
    "object": (object(), NO, NO, NO, NO, NO),
}  # fmt: skip

PLACES = ("metric", "param", "table", "data", "prediction")
WHAT_TO_DO = re.compile("pass |log |keep |convert |put |decode |rename |remove |flatten |shorten ", re.IGNORECASE)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with mm.Store(tmp_path_factory.mktemp("values")) as store:
        yield store


@pytest.fixture(scope="module")
def monitor(store):
    with store.start_run("model", code=False) as run:
        model = run.log_model(LogisticRegression().fit([[0], [1]], [0, 1]), "classifier")
    return store.monitor(model.reference)


@pytest.fixture
def run(store):
    with store.start_run("values", code=False, on_error="raise") as run:
        yield run


def as_metric(run, value):
    run.log({"value": value})
    found = {name.removeprefix("value/"): number for name, number in run.metrics.items()}
    return found.get("value", found)


def as_param(run, value):
    run.log_params({"x": value})
    return run.config["x"]


def in_a_table(run, value):
    run.log_table({"x": [value, value]}, "rows")
    return run.artifact("rows").load()["x"].tolist()[0]


def in_kept_data(run, value):
    return run.log_dataset({"x": [value, value]}, "rows", keep=True).load()["x"].tolist()[0]


def as_a_prediction(monitor, value):
    return next(iter(monitor.predictions(ids=monitor.log(None, [value, value]).ids[0]))).prediction


def outcome(what, value, expected):
    """What became of a value, in the words of the table."""
    try:
        found = what()
    except (InvalidNameError, InvalidTypeError, InvalidValueError) as error:
        return NO if WHAT_TO_DO.search(str(error)) else f"refused, and what to do is not said: {error}"
    wanted = value if expected == SAME else expected
    if isinstance(found, dict) and isinstance(wanted, list):  # of a model with several outputs
        found = list(found.values())
    if expected == MISSING:
        return MISSING if found is None or pd.isna(found) else found
    return expected if alike(found, wanted) else found


def alike(found, wanted):
    found, wanted = (one[()] if isinstance(one, np.ndarray) and not one.ndim else one for one in (found, wanted))
    if isinstance(found, np.ndarray) or isinstance(wanted, np.ndarray):
        return len(found) == len(wanted) and all(map(alike, list(found), list(wanted)))
    if isinstance(wanted, (list, dict)):
        parts = (found.values(), wanted.values()) if isinstance(wanted, dict) else (found, wanted)
        keys = list(found) == list(wanted) if isinstance(wanted, dict) else True
        return keys and len(found) == len(wanted) and all(map(alike, *parts))
    if wanted is None:
        return found is None or bool(pd.isna(found))
    if isinstance(wanted, Decimal) and wanted.is_nan():
        return isinstance(found, Decimal) and found.is_nan()
    if isinstance(wanted, (float, np.floating)) and math.isnan(wanted):
        return isinstance(found, float) and math.isnan(found)
    return bool(found == wanted) and isinstance(found, bool) <= isinstance(wanted, (bool, np.bool_))


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_is_kept_equal_or_refused(run, monitor, kind):
    value, *expected = VALUES[kind]
    calls = (
        lambda: as_metric(run, value),
        lambda: as_param(run, value),
        lambda: in_a_table(run, value),
        lambda: in_kept_data(run, value),
        lambda: as_a_prediction(monitor, value),
    )
    found = [outcome(call, value, wanted) for call, wanted in zip(calls, expected, strict=True)]
    assert dict(zip(PLACES, found, strict=True)) == dict(zip(PLACES, expected, strict=True))


def test_columns_of_predictions_that_are_equal_and_print_differently_stay_apart(monitor):
    for keys in (["1"], [True], [1], [1.0], [np.int64(1)], [(True, 0)], [(1, 0)], [(1.0, False)]):
        batch = monitor.log([dict.fromkeys(keys, 5)], [0.5])
        [prediction] = monitor.predictions(ids=batch.ids)
        printed = [".".join(map(str, key)) if isinstance(key, tuple) else str(key) for key in keys]
        assert list(prediction.inputs) == printed
        assert list(monitor.predictions(ids=batch.ids).to_frame())[-1] == f"input.{printed[0]}"


def test_times_that_pandas_cannot_count_stay_readable_among_predictions(monitor):
    ids = [*monitor.log(None, [0.5]).ids, *monitor.log(None, pd.Series([np.timedelta64(5, "ps")], dtype=object)).ids]
    found = monitor.predictions(ids=ids).to_frame()["prediction"].tolist()
    assert found == [0.5, np.timedelta64(5, "ps")]


@pytest.mark.parametrize(
    "large", [[Decimal("1e400")], [10**400], np.array(["1e4000"], np.longdouble), [0.5, Fraction(10**400)]]
)
def test_a_number_that_no_float_holds_is_no_infinity(run, large):
    if isinstance(large, np.ndarray) and np.isinf(large).any():
        pytest.skip("long double is double here")
    with pytest.raises(InvalidValueError, match="too large for a float: log its logarithm"):
        run.log_series("x", large)
    with pytest.raises(InvalidValueError, match="too large for a float: log its logarithm"):
        run.log(x=large[-1])
    run.log_series("y", [Decimal("Infinity"), -np.longdouble(INF)])
    assert run.series("y").values.tolist() == [INF, -INF]


def test_a_nested_name_that_is_no_text_costs_no_other_value(store):
    with warnings.catch_warnings(record=True) as told, store.start_run("values", code=False) as run:
        warnings.simplefilter("always")
        run.log({"loss": 0.5, "per class": {b"a": 1, (1, 2): 2, None: 3, "b": 4}})
    assert run.metrics == {"loss": 0.5, "per class/b": 4}
    assert [kind in " ".join(str(each.message) for each in told) for kind in ("bytes", "tuple", "NoneType")] == [
        True
    ] * 3


def test_configurations_of_other_libraries(run):
    omegaconf, pydantic = pytest.importorskip("omegaconf"), pytest.importorskip("pydantic")

    class Login(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(populate_by_name=True)
        rate: float = pydantic.Field(0.1, alias="learning-rate")
        password: pydantic.SecretStr = pydantic.SecretStr("hush")

    run.log_params(login=Login(), conf=omegaconf.OmegaConf.create({"a": 1, "b": "${a}", "c": [1, "${a}"]}))
    assert run.config["login"] == {"password": "**********", "rate": 0.1}
    assert run.config["conf"] == {"a": 1, "b": 1, "c": [1, 1]}
    for text in ("???", "${nowhere}"):
        broken = omegaconf.OmegaConf.create({"inner": {"a": text}})
        for call in (
            lambda x: run.log_params(y=x), lambda x: run.log({"y": x}), lambda x: run.log_dict({"y": x}, "y"),
            lambda x: run.log_table([x, x], "y"),
        ):  # fmt: skip
            with pytest.raises(InvalidValueError, match=r"a' has no value"):
                call(broken)


def test_series_and_frames_of_polars_and_arrow(run, monitor):
    pl = pytest.importorskip("polars")
    columns = [[1, None], ["a", None], [Decimal("1.5"), None], [NOON, None], [[1, None], None], [{"a": 1}, {"a": None}]]
    for values in columns:
        series = pl.Series("x", values)
        run.log_params(x=series, overwrite=True)
        run.log_table({"x": series}, "rows")
        kept = [run.log_dataset({"x": series}, "rows", keep=True).load(), run.artifact("rows").load()]
        for found in kept:
            assert alike(plain_lists(found["x"].tolist()), values)
        assert len(run.params["x"]) == 2
    large = 2**62 + 1  # numpy would make a float of it, beside a missing value
    for column in (
        pl.Series("x", [large, None]),
        pa.array([large, None]),
        pa.chunked_array([[large], [None]]),
        [large, None],
    ):
        for table in ({"x": column}, column, pl.DataFrame({"x": [large, None]}), pa.table({"x": [large, None]})):
            run.log_table(table, "rows")
            assert run.artifact("rows").load().iloc[:, 0].tolist()[0] == large
        assert run.log_dataset({"x": column}, "x", keep=True).load()["x"].tolist()[0] == large
        batch = monitor.log({"asked": column}, column)
        found = monitor.predictions(ids=batch.ids).to_frame()
        assert (found["prediction"].tolist()[0], found["input.asked"].tolist()[0]) == (large, large)
    for rows in ([{"x": large}, {}], [{"x": large}, {"x": NAN}], [[large], [None]], [[large, 1], [0.5]]):
        run.log_table(rows, "rows")
        found = run.artifact("rows").load().iloc[:, 0].tolist()
        assert found[0] == large
        assert pd.isna(found[1]) or found[1] == 0.5
    unnamed = pl.Series([None, "a"], dtype=pl.Categorical)
    assert run.log_dataset(unnamed, "unnamed", keep=True).load().to_series().to_list() == [None, "a"]
    for value in (pl.DataFrame({"a": [1]}), pl.lit(1)):
        with pytest.raises(InvalidTypeError, match=r"pass|keep"):
            run.log_params(y=value)


def plain_lists(values):
    return [value.tolist() if isinstance(value, np.ndarray) else value for value in values]


def test_a_zero_keeps_its_sign(run, store):
    for place, value in enumerate([-0.0, 0.0, np.float32(-0.0), [-0.0]]):
        run.log_params({f"{place}.x": value})
        run.log_dict({"x": value}, "d")
        found = [
            run.params[f"{place}.x"],
            in_a_table(run, value),
            in_kept_data(run, value),
            run.artifact("d").load()["x"],
        ]
        numbers = [float(np.ravel(one)[0]) for one in found]
        assert [math.copysign(1, one) for one in numbers] == [math.copysign(1, np.ravel(value)[0])] * 4
    assert run.id in [found.id for found in store.runs("params.`0.x` = 0 and params.`1.x` = 0")]


def test_what_a_file_or_a_mock_is_as_a_param_is_said(run):
    with pytest.raises(InvalidTypeError, match=r"'log' is of type StringIO: .*pass"):
        run.log_params(log=io.StringIO("a"))


@pytest.mark.parametrize("missing", [True, False])
def test_columns_of_times_that_pandas_reads_in_no_text(run, missing):
    old = pd.to_datetime(["1850-01-01 12:00"]).tz_localize("Europe/Berlin")  # 53 minutes and 28 seconds before UTC
    west = pd.to_datetime(["1850-01-01 12:00"]).tz_localize("America/New_York")
    east = pd.DatetimeIndex([NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30, seconds=15)))])
    far = pd.DatetimeIndex(np.array(["12026-01-01", "-2026-01-01"], "M8[s]"))
    for times in (old, west, east, far):
        column = pd.Series(times.append(pd.DatetimeIndex([pd.NaT], tz=times.tz)) if missing else times)
        run.log_table({"x": column}, "times")
        found = run.artifact("times").load()["x"]
        assert found.isna().tolist() == column.isna().tolist()
        assert found.dropna().tolist() == column.dropna().tolist()


def test_sparse_and_arrow_columns_of_a_table(run):
    columns = {
        "sparse": pd.Series(pd.arrays.SparseArray([0, 1])),
        "price": pd.Series([Decimal("1.10"), None], dtype=pd.ArrowDtype(pa.decimal128(5, 2))),
        "many": pd.Series([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
    }
    run.log_table(pd.DataFrame(columns), "rows")
    found = run.artifact("rows").load()
    assert found["sparse"].tolist() == [0, 1]
    assert found["price"][0] == Decimal("1.10")
    assert list(found["many"][0]) == [1]
    assert found.isna().to_numpy().tolist() == [[False, False, False], [False, True, True]]


def test_a_missing_text_or_category_is_null_in_a_param(run):
    for place, values in enumerate((pd.Categorical(["a", None]), pd.Series(["a", None]), pd.Categorical([0.5, NAN]))):
        run.log_params({f"x{place}": values})
        assert run.params[f"x{place}"] == [values[0], None]


def test_a_name_that_is_no_text_is_told_with_its_place(run):
    with pytest.raises(InvalidTypeError, match=r"below the param 'grid.costs' is text, and \(1, 2\)"):
        run.log_params(grid={"costs": {(1, 2): 3}})


DAYS = np.array(["2026-01-31", "2026-02-01"], "M8[ns]")
MASK = [False, True]
COLUMNS = {
    # kind: (column, as `log_series` has it, as a param, as values of a table, of kept data and of predictions)
    "floats": (np.array([0.5, NAN]), [0.5, NAN], [0.5, NAN], [0.5, NAN]),
    "masked floats": (np.ma.array([0.5, 9], mask=MASK), [0.5, NAN], [0.5, None], [0.5, None]),
    "masked float16": (np.ma.array([0.5, 9], "f2", mask=MASK), [0.5, NAN], [0.5, None], [0.5, None]),
    "masked integers": (np.ma.array([2**62 + 1, 9], mask=MASK), [2.0**62, NAN], [2**62 + 1, None], [2**62 + 1, None]),
    "masked booleans": (np.ma.array([True, True], mask=MASK), [1, NAN], [True, None], [True, None]),
    "masked texts": (np.ma.array(["a", "b"], mask=MASK), NO, ["a", None], ["a", None]),
    "masked objects": (np.ma.array(np.array([[1], 9], object), mask=MASK), NO, [[1], None], [[1], None]),
    "masked times": (np.ma.array(DAYS, mask=MASK), NO, ["2026-01-31T00:00:00", None], [pd.Timestamp("2026-01-31"), None]),
    "masked complex": (np.ma.array([1j, 9], mask=MASK), NO, NO, [1j, None]),
    "a mask over nothing": (np.ma.array([1, 2], mask=False), [1, 2], [1, 2], [1, 2]),
    "masked scalars": ([0.5, np.ma.masked], [0.5, NAN], [0.5, None], [0.5, None]),
    "NA among numbers": ([1, pd.NA], [1, NAN], [1, None], [1, None]),
    "Int64": (pd.array([2**62 + 1, None], dtype="Int64"), [2.0**62, NAN], [2**62 + 1, None], [2**62 + 1, None]),
    "boolean": (pd.Series([True, None], dtype="boolean"), [1, NAN], [True, None], [True, None]),
    "string": (pd.Series(["a", None], dtype="string"), NO, ["a", None], ["a", None]),
    "categories": (pd.Series(["a", None], dtype="category"), NO, ["a", None], ["a", None]),
    "Decimals": ([Decimal("0.5"), Decimal(1)], [0.5, 1], ["0.5", "1"], [Decimal("0.5"), Decimal(1)]),
    "durations": (DAYS - DAYS[0], NO, ["PT0S", "P1D"], [pd.Timedelta(0), pd.Timedelta(days=1)]),
}  # fmt: skip


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_is_kept_equal_or_refused(run, monitor, kind):
    column, as_series, as_list, as_column = COLUMNS[kind]

    def series():
        run.log_series("x", column)
        return run.series("x").values.tolist()

    def predictions():
        found = monitor.predictions(ids=monitor.log({"asked": column}, column).ids).to_frame()
        np.testing.assert_array_equal(found["input.asked"].isna(), found["prediction"].isna())
        return found["prediction"].tolist()

    def table():
        run.log_table({"x": column}, "rows")
        return run.artifact("rows").load()["x"].tolist()

    def data():
        return run.log_dataset({"x": column}, "rows", keep=True).load()["x"].tolist()

    calls = {
        "series": (series, as_series),
        "param": (lambda: as_param(run, column), as_list),
        "table": (table, as_column),
        "data": (data, as_column),
        "predictions": (predictions, as_column),
    }
    found = {place: outcome(call, column, expected) for place, (call, expected) in calls.items()}
    assert found == {place: expected for place, (_, expected) in calls.items()}


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "u1", "?", "c16", "U3", "S3", "M8[ns]", "m8[s]", "O"])
@pytest.mark.parametrize("shape", [(4,), (2, 2), (2, 1, 2)])
def test_a_masked_array_is_kept_with_its_mask(run, dtype, shape):
    values = np.ma.array(np.arange(4).astype(dtype).reshape(shape), mask=np.array([0, 1, 1, 0], bool).reshape(shape))
    kept = run.log_dataset(values, "masked", keep=True)
    found = kept.load()
    assert (type(found), found.dtype, found.shape) == (type(values), values.dtype, values.shape)
    np.testing.assert_array_equal(found.mask, values.mask)
    assert found.compressed().tolist() == values.compressed().tolist()
    other = values.copy()
    other.data[values.mask] = values.data.ravel()[0]
    again = run.log_dataset(np.ma.array(other.data, mask=values.mask), "masked")
    assert again.reference == kept.reference, "what is below the mask is no part of the data"


def test_a_grid_search(run, monitor):
    grid = [{"C": [0.1, 1.0], "fit_intercept": [False]}, {"max_iter": [50, 100]}]
    search = GridSearchCV(LogisticRegression(), grid, cv=2).fit([[0.0], [1.0], [0.2], [0.9]], [0, 1, 0, 1])
    results = search.cv_results_
    run.log_table(results, "search")
    run.log_params(search.best_params_, results=results["param_C"])
    run.log_series("C", results["param_C"])
    for frame in (run.artifact("search").load(), run.log_dataset(results, "search", keep=True).load()):
        assert frame["param_max_iter"].isna().tolist() == [True, True, False, False]
        assert frame["param_max_iter"].tolist()[2:] == [50, 100]
        assert frame["param_fit_intercept"].tolist()[:2] == [False, False]
        assert frame["params"].tolist() == results["params"]
        np.testing.assert_array_equal(frame["param_C"], [0.1, 1.0, NAN, NAN])
    assert run.params["results"] == [0.1, 1.0, None, None]
    np.testing.assert_array_equal(run.series("C").values, [0.1, 1.0, NAN, NAN])
    found = monitor.predictions(ids=monitor.log(results, results["mean_test_score"]).ids).to_frame()
    assert found["input.param_max_iter"].isna().tolist() == [True, True, False, False]


def test_tensors(run, monitor):
    torch = pytest.importorskip("torch")
    half, column = torch.tensor(0.5, dtype=torch.bfloat16, requires_grad=True), torch.tensor([0.5, NAN])
    run.log(x=half)
    run.log_series("y", [half, half])
    run.log_params(x=half, column=column)
    run.log_table({"x": [half], "y": column[:1]}, "rows")
    assert (run.metrics["x"], run.series("y").values.tolist(), run.params["x"]) == (0.5, [0.5, 0.5], 0.5)
    assert run.artifact("rows").load().to_numpy().tolist() == [[0.5, 0.5]]
    np.testing.assert_array_equal(run.log_dataset(column, "tensor", keep=True).load(), [0.5, NAN])
    np.testing.assert_array_equal(
        monitor.predictions(ids=monitor.log(None, column).ids).to_frame()["prediction"], [0.5, NAN]
    )


def test_tensors_that_numpy_has_no_array_for(run):
    torch = pytest.importorskip("torch")
    narrow = torch.tensor([0.5, 2.0]).to(torch.float8_e4m3fn)
    sparse, turned = torch.eye(2).to_sparse(), torch.tensor([1j]).conj().imag
    for value, wanted in ((narrow, [0.5, 2]), (sparse, [[1, 0], [0, 1]]), (turned, [-1])):
        run.log_params({"x": value}, overwrite=True)
        run.log_table({"x": [value]}, "rows")
        assert run.params["x"] == wanted == run.artifact("rows").load()["x"][0].tolist()
    for call in (
        lambda x: run.log_params(y=x),
        lambda x: run.log_table({"y": [x]}, "rows"),
        lambda x: run.log_dataset(x, "y"),
    ):
        with pytest.raises(InvalidTypeError, match=r"no array .*pass"):
            call(torch.empty(2, device="meta"))


def test_the_narrow_numbers_of_jax(run):
    narrow = pytest.importorskip("ml_dtypes")
    for dtype in (narrow.bfloat16, narrow.float8_e4m3fn, narrow.int4):
        values = np.array([1, 2], dtype)
        run.log(x=values[0])
        run.log_params({"x": values, "one": values[0]}, overwrite=True)
        run.log_table({"x": values, "many": [values, values], "one": [values[0]] * 2}, "rows")
        found = run.artifact("rows").load()
        assert (run.metrics["x"], run.params["x"], run.params["one"]) == (1, [1, 2], 1)
        assert (found["x"].tolist(), found["many"][0].tolist(), found["one"].tolist()) == ([1, 2], [1, 2], [1, 1])
        assert run.log_dataset(values, "x", keep=True).load().tolist() == [1, 2]


def test_quantities_of_other_libraries(run, monitor):
    meters = pytest.importorskip("pint").UnitRegistry().meter
    units = pytest.importorskip("astropy.units")
    for one, many in ((3 * meters, np.arange(2) * meters), (3 * units.m, np.arange(2) * units.m)):
        calls = (
            lambda one=one: run.log(x=one), lambda many=many: run.log_series("x", many),
            lambda one=one: run.log_params(x=one),
            lambda many=many: run.log_table({"x": many}, "rows"), lambda many=many: run.log_dataset(many, "x"),
            lambda many=many: run.log_dataset({"x": many}, "x"), lambda many=many: monitor.log(None, many),
        )  # fmt: skip
        for call in calls:
            with pytest.raises(InvalidTypeError, match=r"unit (meter|m)\b"):
                call()


def test_masked_arrays_of_astropy(run):
    Masked = pytest.importorskip("astropy.utils.masked").Masked
    values = Masked(np.array([0.5, 9.0]), mask=[False, True])
    run.log_series("x", values)
    run.log(y=values[1])
    run.log_table({"x": values}, "rows")
    np.testing.assert_array_equal(run.series("x").values, [0.5, NAN])
    assert math.isnan(run.metrics["y"])
    np.testing.assert_array_equal(run.artifact("rows").load()["x"], [0.5, NAN])
    assert run.log_dataset(values, "x", keep=True).load().tolist() == [0.5, None]
