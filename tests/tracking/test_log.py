"""Logging numbers: what is accepted, which step it gets, who sees it, and that nothing is lost or half written."""

from __future__ import annotations

import datetime as dt
import math
import multiprocessing
import subprocess
import sys
import threading
import types
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import modelmgmt as mm
from modelmgmt.errors import InvalidNameError, InvalidTypeError, InvalidValueError, RunFinishedError
from modelmgmt.tracking.guard import MAX_REFUSED_NAMES
from modelmgmt.tracking.run import BULK_POINTS


class Tensor:
    """As a torch or jax scalar looks from outside."""

    dtype = "float32"

    def __init__(self, value, shape=()):
        self._value = value
        self.shape = shape

    def item(self):
        if math.prod(self.shape) != 1:
            raise RuntimeError(f"a Tensor with {math.prod(self.shape)} elements cannot be converted to Scalar")
        return self._value

    def __float__(self):
        raise AssertionError("item() is the way")


@pytest.fixture
def run(store):
    with store.start_run() as run:
        yield run


def points(run, key):
    series = run.series(key)
    return list(zip(series.steps.tolist(), series.values.tolist(), strict=True))


# -- values -----------------------------------------------------------------------------------------------------------


def test_keywords_and_mappings(run):
    run.log(loss=0.5, acc=0.75)
    run.log({"val/loss": 0.25, "über all": 1})
    run.log({"loss": 0.125}, acc=1)
    assert run.metrics == {"loss": 0.125, "acc": 1, "val/loss": 0.25, "über all": 1}
    assert points(run, "loss") == [(0, 0.5), (2, 0.125)]
    assert points(run, "val/loss") == [(1, 0.25)]


def test_a_mapping_that_is_no_dict(run):
    run.log(pd.Series({"a": 1.5}).to_dict())
    run.log(__import__("types").MappingProxyType({"a": 2.5}), b=1)
    assert run.metrics == {"a": 2.5, "b": 1}


@pytest.mark.parametrize("kind", np.typecodes["AllInteger"] + "?efd")
def test_numpy_scalars_of_every_dtype(run, kind):
    run.log(scalar=np.dtype(kind).type(1), zero_d=np.array(1, kind), one=np.ones((1, 1), kind))
    assert run.metrics == {"scalar": 1, "zero_d": 1, "one": 1}


def test_numbers_of_other_kinds(run):
    numbers = {
        "bool": True, "decimal": Decimal("0.25"), "fraction": Fraction(1, 4), "longdouble": np.longdouble(0.25),
        "tensor": Tensor(0.25), "column": Tensor(0.25, (1, 1)), "series": pd.Series([0.25]), "big": 10**300,
    }  # fmt: skip
    run.log(numbers)
    assert run.metrics == {**dict.fromkeys(numbers, 0.25), "bool": 1, "big": 1e300}


def test_values_of_a_real_torch(run):
    torch = pytest.importorskip("torch")
    run.log(loss=torch.tensor(0.25, requires_grad=True), half=torch.tensor(0.25, dtype=torch.bfloat16))
    run.log_series("many", torch.arange(3.0))
    assert run.metrics == {"loss": 0.25, "half": 0.25, "many": 2}


def test_values_of_a_real_jax(run):
    jnp = pytest.importorskip("jax.numpy")
    run.log(loss=jnp.float32(0.25))
    assert run.metrics == {"loss": 0.25}


def test_every_float_is_kept_to_the_bit(run):
    odd = [math.nan, math.inf, -math.inf, -0.0, 0.0, 5e-324, sys.float_info.max, 0.1, 1 / 3]
    for value in odd:
        run.log(x=value)
    kept = run.series("x").values
    assert kept.tobytes() == np.array(odd).tobytes()
    assert run.summaries["x"].nan_count == 1
    assert (run.summaries["x"].min, run.summaries["x"].max) == (-math.inf, math.inf)


def test_a_last_value_that_is_not_a_number(run):
    run.log(x=1)
    run.log(x=math.nan)
    assert math.isnan(run.metrics["x"])
    run.finish()
    assert math.isnan(run.metrics["x"])
    run._kernel.close()


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        ("0.5", InvalidTypeError, "log_text"),
        (None, InvalidTypeError, "NoneType"),
        (1 + 2j, InvalidTypeError, "complex"),
        (np.complex64(1), InvalidTypeError, "complex"),
        (np.ones(3), InvalidTypeError, "log_series"),
        (np.empty(0), InvalidTypeError, "log_series"),
        (Tensor(0, (2,)), InvalidTypeError, "log_series"),
        ([0.5], InvalidTypeError, "list"),
        (np.str_("1"), InvalidTypeError, "str"),
        (np.datetime64("2026-01-01"), InvalidTypeError, "date"),
        (10**400, InvalidValueError, "too large"),
        (Fraction(10**400), InvalidValueError, "too large"),
        (Decimal("sNaN"), InvalidValueError, "real number"),
    ],
)
def test_a_value_that_is_no_number(run, value, error, words):
    with pytest.raises(error, match=words) as caught:
        run.log(bad=value)
    assert "'bad'" in str(caught.value)
    assert run.metrics == {}, "nothing of the call is kept"
    run.log(good=2)
    assert points(run, "good") == [(0, 2)], "a call that failed takes no step"


@pytest.mark.parametrize(
    "name", ["", " ", "a\nb", "a\0b", "..", "a/../b", "x" * 10_000, "\ud800", "a\u202eb"], ids=ascii
)
def test_a_name_that_is_none(run, name):
    with pytest.raises(InvalidNameError, match="metric"):
        run.log({name: 2})
    assert run.metrics == {}


def test_a_name_of_another_type(run):
    for name in (1, None, ("a",), b"a"):
        with pytest.raises(InvalidTypeError, match="metric"):
            run.log({name: 2})
    with pytest.raises(InvalidTypeError, match="mapping"):
        run.log([("a", 1)])
    assert run.metrics == {}


# -- one bad value of many --------------------------------------------------------------------------------------------


def test_one_bad_value_of_many(store):
    run = store.start_run()
    with pytest.warns(UserWarning, match="'lr' got None.*left out, and what else was logged is kept") as caught:
        run.log({"loss": 0.5, "lr": None})
    assert len(caught) == 1
    assert caught[0].filename == __file__
    run.log({"loss": 0.25, "lr": None})  # said once
    with pytest.warns(UserWarning, match="metric ' '"):
        run.log({"loss": 0.125, " ": 1.0, "acc": 0.75})
    assert points(run, "loss") == [(0, 0.5), (1, 0.25), (2, 0.125)]
    assert points(run, "acc") == [(2, 0.75)]
    assert "lr" not in run.metrics
    with pytest.warns(UserWarning, match=r"left out 3 values that are no metrics: 'lr' \(2\), ' ' \(1\)"):
        run.finish()
    assert run.lost_points == 3


@pytest.mark.parametrize("bad", ["0.5", None, 1j, np.ones(3), object, np.datetime64("2026-01-01"), 10**400, [], b"1"])
@pytest.mark.parametrize("order", ["bad first", "bad last"])
def test_the_good_values_are_kept_wherever_they_stand(store, bad, order):
    values = {"bad": bad, "a": 1, "val": {"b": 2.0}}
    with pytest.warns(UserWarning, match="'bad' got|left out 1 value"), store.start_run() as run:
        run.log(values if order == "bad first" else dict(reversed(values.items())), step=3)
    assert run.metrics == {"a": 1, "val/b": 2}
    assert run.lost_points == 1


def test_a_mistake_beside_good_values_raises_where_that_was_asked_for(store):
    with store.start_run(on_error="raise") as run:
        with pytest.raises(InvalidTypeError, match="'lr' got None"):
            run.log({"loss": 0.5, "lr": None})
        with pytest.raises(InvalidNameError):
            run.log({"loss": 0.5, "": 1})
        run.log(loss=0.25)
    assert points(run, "loss") == [(0, 0.25)]
    assert run.lost_points == 0


def test_a_call_with_nothing_good_raises_the_first_mistake(run):
    with pytest.raises(InvalidTypeError, match="'a' got None"):
        run.log({"a": None, "b": "text", "": 1})
    with pytest.raises(InvalidTypeError, match="'val/a' got None"):
        run.log({"val": {"a": None}})
    run.log(good=1)
    assert points(run, "good") == [(0, 1)], "a call that failed takes no step"


def test_names_that_are_many_are_counted_together(store):
    with pytest.warns(UserWarning, match="left out") as caught, store.start_run() as run:
        for number in range(MAX_REFUSED_NAMES + 50):
            run.log({"good": 1, f"bad {number}": None})
    assert run.lost_points == MAX_REFUSED_NAMES + 50
    assert len(caught) == MAX_REFUSED_NAMES + 2
    assert len(str(caught[-1].message)) < 1_000


def test_nested_mappings_are_flattened(run):
    run.log({"train": {"loss": 0.5, "f1": {0: 0.25, "macro": 0.75}}, "lr": 0.1}, step=2)
    run.log({"val": types.MappingProxyType({"loss": 1})}, train={"loss": 0.25})
    run.log(types.SimpleNamespace(a=1, b=types.SimpleNamespace(c=2)))
    run.log(pd.DataFrame({"mae": [1.0, 2.0], "mse": [3.0, 4.0]}).mean())
    run.log(by=pd.Series({"one": 5}), plain=pd.Series([6]))
    assert run.metrics == {
        "train/loss": 0.25, "train/f1/0": 0.25, "train/f1/macro": 0.75, "lr": 0.1, "val/loss": 1, "a": 1, "b/c": 2,
        "mae": 1.5, "mse": 3.5, "by/one": 5, "plain": 6,
    }  # fmt: skip
    within = {"a": 1}
    within["b"] = within
    with pytest.raises(InvalidValueError, match="contain themselves"):
        run.log(within)


# -- what is missing, and what has a unit -----------------------------------------------------------------------------

MISSING = {
    "masked": np.ma.masked, "masked float": np.ma.array(0.5, mask=True), "masked int": np.ma.array(7, "i4", mask=True),
    "masked bool": np.ma.array([True], mask=[True]), "row": np.ma.array([[3]], mask=True), "NA": pd.NA,
    "best": np.ma.array([1, 2], mask=[False, True])[1], "NaN": math.nan, "Int64": pd.array([None], dtype="Int64")[0],
}  # fmt: skip


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_nan(run, name):
    run.log(x=MISSING[name])
    assert math.isnan(run.metrics["x"])


def test_what_is_not_masked_is_a_number(run):
    run.log(a=np.ma.array(7, mask=False), b=np.ma.array([0.5], mask=[False]), c=np.ma.array([1, 2], mask=[0, 1])[0])
    assert run.metrics == {"a": 7, "b": 0.5, "c": 1}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hnp.arrays(st.sampled_from(["f8", "f4", "f2", "i8", "u2", "?"]), st.integers(1, 12)).flatmap(
        lambda array: st.tuples(st.just(array), hnp.arrays(bool, array.shape))
    ),
    st.sampled_from(["masked array", "list of scalars", "nullable series"]),
)
def test_masked_series_hold_nan_where_they_are_masked(store, given_, form):
    array, mask = given_
    masked = np.ma.array(array, mask=mask)
    values = masked if form == "masked array" else list(masked)
    if form == "nullable series":
        values = pd.Series([None if lost else one for one, lost in zip(array.tolist(), mask, strict=True)])
        values = values.astype(
            "Float64" if array.dtype.kind == "f" else "boolean" if array.dtype.kind == "b" else "Int64"
        )
    with store.start_run() as run:
        run.log_series("x", values)
        for value in masked:
            run.log(y=value)
    expected = np.where(mask, np.nan, array.astype(float))
    np.testing.assert_array_equal(run.series("x").values, expected)
    np.testing.assert_array_equal(run.series("y").values, expected)


TIMES = [
    np.datetime64("2026-01-01", "ns"), np.datetime64("2026-01-01"), np.datetime64("NaT"), np.timedelta64(5, "s"),
    np.timedelta64(5, "ns"), pd.Timestamp(0), pd.Timedelta(1), pd.NaT, dt.datetime(2026, 1, 1), dt.date(2026, 1, 1),
    dt.time(1), dt.timedelta(1), pd.Period("2026"), np.array(5, "M8[us]"), np.array([5], "m8[ms]"),
]  # fmt: skip


@pytest.mark.parametrize("value", TIMES, ids=repr)
def test_times_are_no_metrics(run, value):
    with pytest.raises(InvalidTypeError, match=r"'x' got .*is a time.*total_seconds\(\)"):
        run.log(x=value)
    assert run.metrics == {}


def test_quantities_with_a_unit_are_refused_and_those_without_are_numbers(run):
    class Quantity:
        def __init__(self, magnitude, units):
            self._parts = magnitude, units

        magnitude = property(lambda self: self._parts[0])
        units = property(lambda self: self._parts[1])

        def __float__(self):
            return float(self.magnitude)

    with pytest.raises(InvalidTypeError, match=r"unit meter.*put the unit into the name"):
        run.log(x=Quantity(3, "meter"))
    with pytest.raises(InvalidTypeError, match="unit meter"):
        run.log_series("x", Quantity(np.arange(3), "meter"))
    run.log(x=Quantity(3, "dimensionless"))
    assert run.metrics == {"x": 3}


# -- steps ------------------------------------------------------------------------------------------------------------


def test_steps_in_any_order_and_twice(run):
    for step, value in [(5, 1), (-3, 2), (5, 3), (0, 4), (5, 1)]:
        run.log({"x": value}, step=step)
    run.log(x=9)
    assert points(run, "x") == [(-3, 2), (0, 4), (5, 1), (5, 3), (5, 1), (6, 9)]
    assert run.metrics == {"x": 9}


def test_automatic_steps_count_calls(run):
    run.log(a=1)
    run.log(b=1)
    run.log(a=2, step=10)
    run.log(a=3)
    run.log(a=4, step=3)
    run.log(a=5)
    assert points(run, "a") == [(0, 1), (3, 4), (10, 2), (11, 3), (12, 5)]


@pytest.mark.parametrize("step", [2**63 - 1, -(2**63), np.int32(7), np.uint8(7), True, np.array(7)], ids=repr)
def test_steps_of_every_integer_kind(run, step):
    run.log({"x": 1}, step=step)
    run.log(y=1)
    assert points(run, "x") == [(int(step), 1)]
    assert run.series("y").steps[0] == min(max(int(step) + 1, 0), 2**63 - 1)


@pytest.mark.parametrize(
    "step", [7.0, np.float32(7), np.float64(7), Decimal(7), Fraction(7), Tensor(7.0), np.array(7.0), np.ma.array(7.0)]
)
def test_a_float_that_is_whole_is_a_step(run, step):
    run.log({"x": 1}, step=step)
    run.log_series("y", [1, 2], steps=[float(step if not isinstance(step, Tensor) else 7), 8.0])
    assert points(run, "x") == [(7, 1)]
    assert points(run, "y") == [(7, 1), (8, 2)]


@pytest.mark.parametrize(
    ("step", "error"),
    [(1.5, InvalidTypeError), (math.nan, InvalidTypeError), (math.inf, InvalidTypeError),
     ("3", InvalidTypeError), ([1], InvalidTypeError), (1j, InvalidTypeError), (2**63, InvalidValueError),
     (1e300, InvalidValueError), (np.float32(0.5), InvalidTypeError), (np.ma.masked, InvalidTypeError),
     (pd.NA, InvalidTypeError), (np.ma.array(3, mask=True), InvalidTypeError), (np.timedelta64(3, "s"), InvalidTypeError),
     (np.datetime64("2026"), InvalidTypeError), (Decimal("NaN"), InvalidTypeError)],
)  # fmt: skip
def test_a_step_that_is_none(run, step, error):
    with pytest.raises(error, match="step"):
        run.log({"x": 1}, step=step)
    assert run.metrics == {}


# -- whole arrays -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, BULK_POINTS - 1, BULK_POINTS, 300_000])
def test_a_series_of_any_length(run, count):
    values = np.random.default_rng(0).normal(size=count)
    run.log_series("x", values)
    run.log(x=1.0)
    series = run.series("x")
    assert series.steps.tolist() == list(range(count + 1))
    assert series.values.tobytes() == np.append(values, 1.0).tobytes()


def test_a_series_with_steps_and_times(run):
    times = pd.date_range("2026-01-01", periods=3, freq="s", tz="Europe/Berlin")
    run.log_series("a", [1, 2, 3], steps=[30, 10, 20], times=times)
    run.log_series("b", [1, 2, 3], steps=[30, 10, 20], times=times.to_series())
    run.log_series("c", [1, 2, 3], steps=[30, 10, 20], times=times.tz_convert(None).to_numpy())
    run.log_series("d", [1, 2, 3], steps=[30, 10, 20], times=times.as_unit("us").asi8)
    frame = run.series("a").to_frame()
    assert frame["step"].tolist() == [10, 20, 30]
    assert frame["value"].tolist() == [2, 3, 1]
    assert frame["time"].tolist() == times[[1, 2, 0]].tolist()
    for key in "bcd":
        pd.testing.assert_frame_equal(run.series(key).to_frame(), frame)


def test_a_series_can_be_logged_as_it_was_read(run):
    run.log_series("a", np.arange(5.0))
    frame = run.series("a").to_frame()
    run.log_series("b", frame["value"], frame["step"], frame["time"])
    pd.testing.assert_frame_equal(run.series("b").to_frame(), frame)


@pytest.mark.parametrize("values", [[], (), np.empty(0), np.empty(0, object), pd.Series([], dtype=float), iter([])])
def test_an_empty_series_is_nothing(run, values):
    run.log_series("x", values)
    assert run.metrics == {}


@pytest.mark.parametrize("values", [range(3), [0, 1.0, True + 1], np.arange(3, dtype=np.uint8), iter([0, 1, 2]),
                                    pd.Series([0, 1, 2]), np.array([0, 1, 2], np.float16), (0, 1, 2)])  # fmt: skip
def test_a_series_of_many_kinds(run, values):
    run.log_series("x", values)
    assert points(run, "x") == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"values": 5}, InvalidTypeError),
        ({"values": np.array(5)}, InvalidValueError),
        ({"values": None}, InvalidTypeError),
        ({"values": "abc"}, InvalidTypeError),
        ({"values": [1j]}, InvalidTypeError),
        ({"values": [1, None]}, InvalidTypeError),
        ({"values": [[1], [2, 3]]}, InvalidTypeError),
        ({"values": np.ones((2, 2))}, InvalidValueError),
        ({"values": [1, 2], "steps": [1]}, InvalidValueError),
        ({"values": [1, 2], "steps": [1.0, 2.5]}, InvalidTypeError),
        ({"values": [1, 2], "steps": 3}, InvalidTypeError),
        ({"values": [1], "steps": np.array([2**64 - 1], np.uint64)}, InvalidValueError),
        ({"values": [1], "steps": np.ma.array([1], mask=[True])}, InvalidValueError),
        ({"values": [1], "steps": [1e300]}, InvalidTypeError),
        ({"values": np.array([1], "m8[s]")}, InvalidTypeError),
        ({"values": pd.Series(pd.to_datetime(["2026-01-01"]))}, InvalidTypeError),
        ({"values": [dt.timedelta(1)]}, InvalidTypeError),
        ({"values": [1], "times": [0.5]}, InvalidTypeError),
        ({"values": [1], "times": np.array(["NaT"], "datetime64[s]")}, InvalidValueError),
        ({"values": [1, 2], "times": [1]}, InvalidValueError),
    ],
    ids=repr,
)
def test_a_series_that_is_none(run, arguments, error):
    with pytest.raises(error, match="'x'"):
        run.log_series("x", **arguments)
    assert run.metrics == {}


def test_a_series_for_which_no_steps_are_left(run):
    run.log({"x": 1}, step=2**63 - 1)
    with pytest.raises(InvalidValueError, match="steps"):
        run.log_series("x", [1, 2])
    assert len(run.series("x")) == 1


def test_no_such_series(run):
    run.log(loss=1)
    with pytest.raises(KeyError, match="it has: loss"):
        run.series("lost")


def test_a_run_that_has_ended_takes_no_more(run):
    run.finish()
    for write in (lambda: run.log(a=1), lambda: run.log_series("a", [1]), run.__enter__):
        with pytest.raises(RunFinishedError, match="resume="):
            write()
    assert run.metrics == {}


# -- who sees it, and when --------------------------------------------------------------------------------------------

WATCHER = """
import sys, modelmgmt as mm
for line in sys.stdin:
    run = mm.Store(sys.argv[1]).runs[sys.argv[2]]
    values = run.series("x").values
    found = mm.Store(sys.argv[1]).runs("metrics.x = " + line)
    print(len(values), values[-1], run.metrics["x"], run.status, len(found), flush=True)
"""


def test_another_process_sees_a_point_at_once(run, store):
    command = [sys.executable, "-W", "error", "-c", WATCHER, str(store.path), run.id]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watcher:
        for number in range(20):
            run.log(x=number)
            watcher.stdin.write(f"{number}\n")
            watcher.stdin.flush()
            assert watcher.stdout.readline().split() == [f"{number + 1}", f"{number}.0", f"{number}.0", "running", "1"]
        watcher.stdin.close()
    assert watcher.returncode == 0


def test_threads_that_log_to_one_run_lose_nothing(run):
    def work(name):
        for value in range(5_000):
            run.log({f"t{name}": value, "all": value}, step=value)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(run.series("all")) == 20_000
    for name in range(4):
        assert points(run, f"t{name}") == [(value, value) for value in range(5_000)]


def test_more_points_than_a_journal_segment_holds(run):
    for value in range(30_000):
        run.log(x=value)
    assert run.series("x").values.tolist() == list(range(30_000))
    run.flush()
    run.finish()
    assert run.series("x").values.tolist() == list(range(30_000))


def _log_from_child(run, name):
    for value in range(2_000):
        run.log({name: value, "shared": value}, step=value)
    run.set_tags({name: "done"})
    run.finish()


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_forked_children_log_to_the_run_of_their_parent(run):
    run.log(shared=-1, step=-1)
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_log_from_child, args=(run, f"child{n}")) for n in range(3)]
    for child in children:
        child.start()
    for value in range(2_000):
        run.log(parent=value, shared=value, step=value)
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert run.status == "running", "its end is for the parent to say"
    for key in ("parent", "child0", "child1", "child2"):
        assert points(run, key) == [(value, value) for value in range(2_000)]
    assert len(run.series("shared")) == 8_001
    assert run.tags == {f"child{n}": "done" for n in range(3)}
    run.finish()
    assert run.status == "finished"
    assert len(run.series("shared")) == 8_001


def test_the_log_function_goes_to_the_active_run(run):
    mm.log({"a": 1}, step=7, b=2)
    assert points(run, "a") == [(7, 1)]
    assert points(run, "b") == [(7, 2)]


def test_nothing_to_log_is_fine(run):
    run.log()
    run.log({})
    assert run.metrics == {}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "leave it out, or log math.nan"),
        ("0.5", "log float"),
        (1j, "as two metrics"),
        ([1, 2], r"log_series\('x', values\)"),
        (range(3), "log_series"),
        ({1, 2}, "log_series"),
        (pd.DataFrame({"a": [1]}), "log_table"),
        (np.float32, "log_params"),
        (float, "log_params"),
        (np.dtype("f4"), "log_params or set_tags"),
        (len, "log_params or set_tags"),
    ],
)
def test_what_is_no_number_is_refused_with_what_to_log_instead(store, value, words):
    with store.start_run() as run, pytest.raises(InvalidTypeError, match=f"'x'.*one real number.*{words}") as caught:
        run.log(x=value)
    assert "\n" not in str(caught.value)
