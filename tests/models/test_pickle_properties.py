"""Whatever the bytes: nothing outside the list is imported, and what is raised is ours."""

from __future__ import annotations

import io
import pickle
import pickletools
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import pandas as pd
from payloads import name, short, text

from modelmgmt.errors import ModelmgmtError
from modelmgmt.models.trust import allowed
from modelmgmt.models.trust.instructions import Decoder, MalformedError
from modelmgmt.models.trust.opcodes import read_opcodes
from modelmgmt.models.trust.pickle_reader import load_restricted

MANY = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
LISTED = sorted(allowed.listed_names())
MODULES = {each.rpartition(".")[0] for each in LISTED}


@pytest.fixture(autouse=True)
def watched(monkeypatch):
    """Every module that the reader asks for must be one of the list."""
    real = allowed.import_module

    def watch(module):
        assert module in MODULES, f"{module} was asked for"
        return real(module)

    monkeypatch.setattr(allowed, "import_module", watch)


def tried(data):
    read_opcodes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return load_restricted(data)
        except ModelmgmtError:
            return None


arguments = st.sampled_from(
    [b"N", b"K\x01", b")", b"}", b"]", b"\x88", b"C\x02ab", text("a"), short("os"), text("i8"), b"G" + bytes(8)]
)
names = st.one_of(
    st.sampled_from(
        [name(*each.rsplit(".", 1)) for each in LISTED if each.startswith(("builtins", "numpy", "coll", "_codecs"))]
    ),
    st.sampled_from(
        [name("os", "system"), name("builtins", "eval"), name("numpy", "load"), name("numpy.random", "mtrand")]
    ),
)
verbs = st.sampled_from(
    [
        b"R",
        b"b",
        b"\x81",
        b"\x92",
        b"\x93",
        b"o",
        b"(",
        b"t",
        b"\x85",
        b"\x86",
        b"\x87",
        b"a",
        b"e",
        b"s",
        b"u",
        b"0",
        b"1",
        b"2",
        b"\x94",
        b"h\x00",
        b"h\x01",
        b"q\x00",
        b"\x8f",
        b"\x90",
        b"\x91",
        b"d",
        b"l",
        b"\x82\x01",
        b"Q",
        b"\x97",
        b"\x98",
        b"iuuid\nUUID\n",
    ]
)


@MANY
@given(st.sampled_from([b"", b"\x80\x02", b"\x80\x04"]), st.lists(st.one_of(arguments, names, verbs), max_size=40))
def test_any_instructions(head, parts):
    tried(head + b"".join(parts) + b".")


@MANY
@given(st.binary(max_size=200))
def test_any_bytes(data):
    tried(data)


@pytest.fixture(scope="module")
def pickles():
    linear = pytest.importorskip("sklearn.linear_model")
    tree = pytest.importorskip("sklearn.tree")
    joblib = pytest.importorskip("joblib")
    x = np.arange(20.0).reshape(10, 2)
    file = io.BytesIO()
    joblib.dump({"x": x, "o": np.array(["a", None], object)}, file)
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": pd.to_datetime(["2026-01-01", "2026-01-02"])})
    values = [
        {"a": [1, 2.5, "x", b"y", None, True], "b": {3, 4}}, x, np.array(["a", None, 1], object), np.zeros(2, [("a", "f8")]),
        linear.LinearRegression().fit(x, x[:, 0]), tree.DecisionTreeClassifier().fit(x, [0, 1] * 5), frame,
        np.random.default_rng(0),
    ]  # fmt: skip
    return [pickle.dumps(value, protocol) for value in values for protocol in (0, 2, 4, 5)] + [file.getvalue()]


@MANY
@given(st.data())
def test_honest_pickles_with_some_bytes_changed(pickles, data):
    changed = bytearray(data.draw(st.sampled_from(pickles)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        if data.draw(st.booleans()):
            changed[place] = data.draw(st.integers(0, 255))
        else:
            del changed[place : place + data.draw(st.integers(1, 8))]
            changed += b"." if not changed else b""
    tried(bytes(changed))


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.tuples(inner, inner)
        | st.frozensets(st.integers())
        | st.sets(st.text())
    ),
    max_leaves=30,
)


@MANY
@given(plain, st.integers(0, 5))
def test_plain_data_is_read_as_python_reads_it(value, protocol):
    data = pickle.dumps(value, protocol)
    assert repr(load_restricted(data)) == repr(pickle.loads(data))


@MANY
@given(plain, st.integers(0, 5))
def test_instructions_are_those_that_the_standard_library_sees(value, protocol):
    data = pickle.dumps(value, protocol)
    decoder = Decoder(data)
    for opcode, argument, position in pickletools.genops(data):
        assert decoder.position == position
        found, given_ = decoder.next()
        assert found == opcode.name
        if isinstance(argument, int | bytes) and not isinstance(given_, tuple):
            assert given_ == argument


@MANY
@given(st.binary(max_size=60))
def test_what_the_decoder_refuses_python_does_not_read(data):
    """Else a payload could hide from the look behind bytes that only Python understands."""
    decoder, seen = Decoder(data), []
    try:
        while not seen or seen[-1] != "STOP":
            seen.append(decoder.next()[0])
    except MalformedError:
        harmless = not any(
            each in seen for each in ("REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "GLOBAL", "STACK_GLOBAL")
        )
        if harmless:
            with pytest.raises(Exception):
                pickle.loads(data)
