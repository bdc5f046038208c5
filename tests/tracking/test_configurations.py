"""Params and tags from whatever holds a configuration: told by protocols, kept flat, with the name of what is missing."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime as dt
import enum
import functools
import types
import typing
import uuid
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import modelmgmt as mm
from modelmgmt.errors import InvalidTypeError, InvalidValueError


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Point(typing.NamedTuple):
    x: int
    y: float


@dataclasses.dataclass
class Optimizer:
    name: str = "adam"
    lr: float = 0.1
    dtype: str = "float32"  # as an array has one, too
    shape: tuple = (2, 2)
    columns: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Config:
    optimizer: Optimizer
    out: Path
    unset: int = dataclasses.field(init=False)


class Settings(dict):
    """As EasyDict, Munch and Box do: keys are attributes."""

    def __getattr__(self, name):
        return self[name] if name in self else Settings()


class ConfigDict:
    """As ml_collections has one: keys and items without being a mapping."""

    def __init__(self, **fields):
        self._fields = fields

    def keys(self):
        return self._fields.keys()

    def __getitem__(self, key):
        return self._fields[key]


class Struct:
    """As msgspec makes them."""

    __struct_fields__ = ("a", "b")

    def __init__(self):
        self.a, self.b = 1, [2]


class Lazy(collections.abc.Mapping):
    """A mapping that computes its values, and fails at one."""

    def __getitem__(self, key):
        if key == "lr":
            raise RuntimeError("Missing mandatory value: lr\n  full_key: model.lr")
        return key

    def __iter__(self):
        return iter(["a", "lr"])

    def __len__(self):
        return 2


NOW = dt.datetime(2026, 1, 31, 12, 30, 0, 500)
FLAT = {
    # what is logged: what `run.params` has under its name
    "enum": (Colour.RED, "red"),
    "enum of a pair": (Colour.PAIR, [1, 2]),
    "path": (Path("a/b"), "a/b"),
    "range": (range(3), [0, 1, 2]),
    "deque": (collections.deque([1, 2]), [1, 2]),
    "keys": ({"b": 1, "a": 2}.keys(), ["b", "a"]),
    "values": ({"b": 1, "a": 2}.values(), [1, 2]),
    "items": ({"b": 1}.items(), [["b", 1]]),
    "set": ({3, 1, 20}, [1, 3, 20]),
    "frozenset": (frozenset({"b", "a"}), ["a", "b"]),
    "set of both": ({"1", 1, 0.5}, [0.5, 1, "1"]),
    "decimal": (Decimal("1.10"), "1.10"),
    "fraction": (Fraction(1, 3), "1/3"),
    "uuid": (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    "class": (Config, f"{__name__}.Config"),
    "function": (len, "builtins.len"),
    "ufunc": (np.tanh, "numpy.tanh"),
    "generic": (list[int], "list[int]"),
    "dtype": (np.dtype("int8"), "int8"),
    "pandas dtype": (pd.Int64Dtype(), "Int64"),
    "numpy type": (np.float32, "numpy.float32"),
    "array": (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    "masked array": (np.ma.array([1, 2], mask=[0, 1]), [1, None]),
    "masked": (np.ma.masked, None),
    "masked times": (np.ma.array(np.array(["2026-01-01"] * 2, "M8[ns]"), mask=[0, 1]), ["2026-01-01T00:00:00", None]),
    "masked in a list": ([np.ma.masked, 1], [None, 1]),
    "NA": (pd.NA, None),
    "NaT": (pd.NaT, None),
    "numpy NaT": (np.datetime64("NaT", "ns"), None),
    "nullable": (pd.array([1, None], dtype="Int64"), [1, None]),
    "series": (pd.Series([1, 2]), [1, 2]),
    "index": (pd.Index(["a", "b"]), ["a", "b"]),
    "object array": (np.array([Path("x"), None], dtype=object), ["x", None]),
    "records": (np.array([(1, 0.5)], dtype=[("a", "i4"), ("b", "f8")]), [{"a": 1, "b": 0.5}]),
    "longdouble": (np.longdouble(0.1), 0.1),
    "numpy text": (np.str_("x"), "x"),
    "datetime": (NOW, "2026-01-31T12:30:00.000500"),
    "date": (NOW.date(), "2026-01-31"),
    "time": (NOW.time(), "12:30:00.000500"),
    "zoned": (NOW.replace(tzinfo=dt.UTC), "2026-01-31T12:30:00.000500+00:00"),
    "Timestamp": (pd.Timestamp(NOW), "2026-01-31T12:30:00.000500"),
    "Period": (pd.Period("2026Q1"), "2026Q1"),
    "duration": (dt.timedelta(days=1, hours=2, seconds=3, microseconds=40), "P1DT2H3.00004S"),
    "no time at all": (dt.timedelta(), "PT0S"),
    "backwards": (-dt.timedelta(minutes=90), "-PT1H30M"),
    "Timedelta": (pd.Timedelta(1, "ns"), "PT0.000000001S"),
    "months": (np.timedelta64(14, "M"), "P14M"),
    "partial": (functools.partial(max, 3, default=1), {"func": "builtins.max", "args": [3], "keywords.default": 1}),
    "named tuple": (Point(1, 0.5), {"x": 1, "y": 0.5}),
    "dataclass": (Optimizer(), {"name": "adam", "lr": 0.1, "dtype": "float32", "shape": [2, 2], "columns": []}),
    "namespace": (argparse.Namespace(dtype="bf16", shape=3, a=types.SimpleNamespace(b=1)),
                  {"dtype": "bf16", "shape": 3, "a.b": 1}),
    "mapping by attribute": (Settings(lr=0.1, shape=2), {"lr": 0.1, "shape": 2}),
    "keys and items": (ConfigDict(lr=0.1), {"lr": 0.1}),
    "struct": (Struct(), {"a": 1, "b": [2]}),
    "labelled series": (pd.Series({"a": 1.5, "b": 2.5}), {"a": 1.5, "b": 2.5}),
    "record": (np.array([(1, 0.5)], dtype=[("a", "i4"), ("b", "f8")])[0], {"a": 1, "b": 0.5}),
    "keys of other types": ({Colour.RED: 1, np.int64(2): 3, 0.5: 4, True: 5}, {"red": 1, "2": 3, "0.5": 4, "True": 5}),
}  # fmt: skip


@pytest.mark.parametrize("name", FLAT)
def test_what_a_param_becomes(store, name):
    value, expected = FLAT[name]
    nested = {f"x.{key}": one for key, one in expected.items()} if isinstance(expected, dict) else {"x": expected}
    with store.start_run(params={"x": value}) as run:
        assert run.params == nested
        assert [type(one) for one in run.params.values()] == [type(nested[key]) for key in run.params]
        run.log_params(x=value)  # the same again is the same
        run.log_params(within=[value])
    if not isinstance(expected, dict):
        assert run.params["within"] == [expected]


@pytest.mark.parametrize("unit", ["h", "m", "s", "ms", "us", "ns"])
def test_a_time_is_the_same_text_in_whatever_unit(store, unit):
    start = np.datetime64("2026-01-01T05", unit)
    with store.start_run(
        params={"at": start, "many": np.array([start]), "span": np.timedelta64(2, "h").astype(f"m8[{unit}]")}
    ) as run:
        pass
    assert run.params == {"at": "2026-01-01T05:00:00", "many": ["2026-01-01T05:00:00"], "span": "PT2H"}


@pytest.mark.parametrize("unit", ["Y", "M", "W", "D"])
def test_a_day_is_a_day(store, unit):
    with store.start_run(params={"day": np.datetime64("2026-01-01").astype(f"M8[{unit}]")}) as run:
        pass
    assert run.params["day"] in ("2026-01-01", "2025-12-25" if unit == "W" else "")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moment=st.datetimes(), span=st.timedeltas(dt.timedelta(-(10**4)), dt.timedelta(10**4)))
def test_times_of_numpy_pandas_and_python_are_one_text(store, moment, span):
    forms = {"python": moment, "numpy": np.datetime64(moment, "us"), "pandas": pd.Timestamp(moment).as_unit("us")}
    spans = {"python": span, "numpy": np.timedelta64(span), "pandas": pd.Timedelta(span)}
    with store.start_run(params={"at": forms, "for": spans}) as run:
        pass
    assert len({text for name, text in run.params.items() if name.startswith("at")}) == 1
    assert len({text for name, text in run.params.items() if name.startswith("for")}) == 1
    assert pd.Timedelta(run.params["for.python"].removeprefix("-")) == abs(span)
    assert dt.datetime.fromisoformat(run.params["at.numpy"]) == moment


class LrLayers(typing.NamedTuple):
    lr: float
    layers: list


TOP = [
    argparse.Namespace(lr=0.1, layers=[1, 2]), types.SimpleNamespace(lr=0.1, layers=range(1, 3)),
    dataclasses.make_dataclass("C", ["lr", "layers"])(0.1, (1, 2)), Settings(lr=0.1, layers=[1, 2]),
    ConfigDict(lr=0.1, layers=[1, 2]), LrLayers(0.1, [1, 2]),
    types.MappingProxyType({"lr": 0.1, "layers": [1, 2]}), pd.Series({"lr": 0.1, "layers": [1, 2]}, dtype=object),
]  # fmt: skip


@pytest.mark.parametrize("config", TOP, ids=lambda config: type(config).__name__)
def test_a_configuration_is_taken_whole(store, config):
    with store.start_run(params=config) as run:
        run.log_params(config)
        run.log_params(config, seed=0)
    assert run.params == {"lr": 0.1, "layers": [1, 2], "seed": 0}
    with mm.start_run(params=config, store=store) as run:
        pass
    assert run.config == {"lr": 0.1, "layers": [1, 2]}


def test_objects_of_attrs_and_pydantic(store):
    attrs, pydantic = pytest.importorskip("attrs"), pytest.importorskip("pydantic")

    @attrs.define
    class Inner:
        lr: float = 0.1
        when: dt.timedelta = dt.timedelta(seconds=5)

    class Outer(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
        inner: Inner = Inner()
        key: pydantic.SecretStr = pydantic.SecretStr("hunter2")
        mode: Colour = Colour.RED

    with store.start_run(params=Outer()) as run:
        pass
    assert run.params == {"inner.lr": 0.1, "inner.when": "PT5S", "key": "**********", "mode": "red"}
    with store.start_run(params={"a": [Inner()], "b": Outer}) as run:
        pass
    assert run.params["a"] == [{"lr": 0.1, "when": "PT5S"}]
    assert run.params["b"].endswith("Outer")


def test_objects_of_pydantic_1(store):
    pydantic = pytest.importorskip("pydantic.v1")

    class Old(pydantic.BaseModel):
        lr: float = 0.1

    with store.start_run(params=Old()) as run:
        pass
    assert run.params == {"lr": 0.1}


def test_omegaconf(store):
    OmegaConf = pytest.importorskip("omegaconf").OmegaConf
    config = OmegaConf.create({"lr": 0.1, "layers": [1, "${lr}"], "model": {"width": "${lr}", "kinds": ["a"]}})
    with store.start_run(params=config) as run:
        run.log_params(again=config.layers, model2=config.model)
    assert run.config == {
        "lr": 0.1, "layers": [1, 0.1], "model": {"width": 0.1, "kinds": ["a"]}, "again": [1, 0.1],
        "model2": {"width": 0.1, "kinds": ["a"]},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model": {"lr": "???"}}, r"'model\.lr' has no value.*Missing mandatory"),
        ({"a": {"b": "${nothing}"}}, r"'a\.b' has no value.*nothing"),
        ({"layers": [1, "???"]}, r"'layers' has no value at place 1"),
    ],
)
def test_a_missing_value_is_named_by_its_key(store, config, words):
    OmegaConf = pytest.importorskip("omegaconf").OmegaConf
    with pytest.raises(InvalidValueError, match=words):
        store.start_run(params=OmegaConf.create(config))
    with store.start_run() as run, pytest.raises(InvalidValueError, match=words):
        run.log_params(OmegaConf.create(config))


def test_a_mapping_that_fails_at_a_key_names_it(store):
    with store.start_run() as run:
        for params in (Lazy(), {"model": Lazy()}, {"many": [Lazy()]}):
            with pytest.raises(InvalidValueError, match=r"lr' has no value: Missing mandatory value: lr\.$"):
                run.log_params(params)
        assert run.params == {}


def test_torch(store):
    torch = pytest.importorskip("torch")
    params = {
        "dtype": torch.bfloat16, "device": torch.device("cpu"), "size": torch.Size([2, 3]), "layer": torch.nn.ReLU,
        "one": torch.tensor(3), "many": torch.tensor([0.5, 1.0], requires_grad=True), "layout": torch.strided,
    }  # fmt: skip
    with store.start_run(params=params, tags={"one": torch.tensor(3), "device": torch.device("cpu")}) as run:
        pass
    assert run.params == {
        "dtype": "torch.bfloat16", "device": "cpu", "size": [2, 3], "layer": "torch.nn.modules.activation.ReLU",
        "one": 3, "many": [0.5, 1.0], "layout": "torch.strided",
    }  # fmt: skip
    assert run.tags == {"one": "3", "device": "cpu"}


def test_estimators(store):
    with store.start_run(params=LogisticRegression(C=0.5)) as run:
        pass
    assert run.params["C"] == 0.5
    assert run.params["class"].endswith("LogisticRegression")
    with store.start_run(params=make_pipeline(LogisticRegression(C=0.25)).get_params()) as run:
        pass
    assert run.params["logisticregression.C"] == run.params["logisticregression__C"] == 0.25


REFUSED = {
    "bytes": (b"a", "decode"), "complex": (1j, "imaginary"), "generator": ((one for one in ()), "list"),
    "frame": (pd.DataFrame({"a": [1]}), "log_table"), "object": (object(), "str"), "file": (memoryview(b"a"), "decode"),
    "in a list": ([b"a"], "decode"), "in a mapping": ({"a": object()}, "str"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_param_says_what_to_pass(store, name):
    value, words = REFUSED[name]
    with pytest.raises(InvalidTypeError, match=rf"'x.*{type(value).__name__ if 'in a' not in name else ''}.*{words}"):
        store.start_run(params={"x": value})


def test_quantities_are_refused_with_their_unit(store):
    units = pytest.importorskip("pint").UnitRegistry()
    with pytest.raises(InvalidTypeError, match=r"'x'.*unit meter.*into the name"):
        store.start_run(params={"x": 3 * units.meter})
    with store.start_run(params={"x": 3 * units.dimensionless}) as run:
        pass
    assert run.params == {"x": 3}


def test_labels_that_come_twice_are_refused(store):
    with pytest.raises(InvalidValueError, match="'a' twice"):
        store.start_run(params={"x": pd.Series([1, 2], index=["a", "a"])})


def test_objects_that_contain_themselves(store):
    space = types.SimpleNamespace()
    space.within = types.SimpleNamespace(again=space)
    with pytest.raises(InvalidValueError, match="contain themselves"):
        store.start_run(params=space)
    many: list = []
    many.append(many)
    with pytest.raises(InvalidValueError, match="contains itself"):
        store.start_run(params={"x": many})


TAGS = {
    "int": (3, "3"), "numpy int": (np.int64(3), "3"), "float": (0.1, "0.1"), "float32": (np.float32(0.1), "0.1"),
    "bool": (True, "True"), "numpy bool": (np.bool_(False), "False"), "0-d": (np.array(3), "3"), "enum": (Colour.RED, "red"),
    "path": (Path("a/b"), "a/b"), "date": (NOW.date(), "2026-01-31"),
    "numpy time": (np.datetime64("2026-01-31", "ns"), "2026-01-31T00:00:00"),
    "duration": (dt.timedelta(minutes=1), "PT1M"), "decimal": (Decimal("1.10"), "1.10"),
    "uuid": (uuid.UUID(int=1), str(uuid.UUID(int=1))),
    "class": (Config, f"{__name__}.Config"), "dtype": (np.dtype("i4"), "int32"),
    "list": (["a", 1], "['a', 1]"), "text": (np.str_("x"), "x"),
    "complex": (1j, "1j"), "exception": (ValueError("why"), "why"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAGS)
def test_a_tag_is_whatever_prints_as_text(store, name):
    value, expected = TAGS[name]
    with store.start_run(tags={"x": value}) as run:
        run.set_tags(types.SimpleNamespace(y=value), z=value)
    assert run.tags == dict.fromkeys("xyz", expected)


@pytest.mark.parametrize(
    "value", [None, object(), b"a", np.ma.masked, pd.NA, pd.NaT], ids=lambda value: type(value).__name__
)
def test_what_is_no_tag(store, value):
    with pytest.raises(InvalidTypeError, match=r"'x'.*prints as text"):
        store.start_run(tags={"x": value})
