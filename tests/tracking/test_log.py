"""Logging numbers: what is accepted, which step it gets, who sees it, and that nothing is lost or half written."""

from __future__ import annotations

import math
import multiprocessing
import subprocess
import sys
import threading
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

import modelmgmt as mm
from modelmgmt.errors import InvalidNameError, InvalidTypeError, InvalidValueError, RunFinishedError
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
    run.kernel.close()


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
        (pd.NA, InvalidTypeError, "NAType"),
        (10**400, InvalidValueError, "too large"),
        (Fraction(10**400), InvalidValueError, "too large"),
        (Decimal("sNaN"), InvalidValueError, "real number"),
    ],
)
def test_a_value_that_is_no_number(run, value, error, words):
    with pytest.raises(error, match=words) as caught:
        run.log(good=1, bad=value)
    assert "'bad'" in str(caught.value)
    assert run.metrics == {}, "nothing of the call is kept"
    run.log(good=2)
    assert points(run, "good") == [(0, 2)], "a call that failed takes no step"


@pytest.mark.parametrize(
    "name", ["", " ", "a\nb", "a\0b", "..", "a/../b", "x" * 10_000, "\ud800", "a\u202eb"], ids=ascii
)
def test_a_name_that_is_none(run, name):
    with pytest.raises(InvalidNameError, match="metric"):
        run.log({"good": 1, name: 2})
    assert run.metrics == {}


def test_a_name_of_another_type(run):
    for name in (1, None, ("a",), b"a"):
        with pytest.raises(InvalidTypeError, match="metric"):
            run.log({"good": 1, name: 2})
    with pytest.raises(InvalidTypeError, match="mapping"):
        run.log([("a", 1)])
    assert run.metrics == {}


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
    ("step", "error"),
    [(1.5, InvalidTypeError), (1.0, InvalidTypeError), (math.nan, InvalidTypeError), (math.inf, InvalidTypeError),
     ("3", InvalidTypeError), ([1], InvalidTypeError), (1j, InvalidTypeError), (2**63, InvalidValueError)],
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
        ({"values": [1, 2], "steps": [1.0, 2.0]}, InvalidTypeError),
        ({"values": [1, 2], "steps": 3}, InvalidTypeError),
        ({"values": [1], "steps": np.array([2**64 - 1], np.uint64)}, InvalidValueError),
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
    run = mm.Store(sys.argv[1]).run(sys.argv[2])
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
