"""Archives whose lists of members were changed, cut or stretched: whatever they say, the errors are ours."""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import modelmgmt as mm
from modelmgmt.errors import BundleError, CorruptDataError, ModelmgmtError
from modelmgmt.models.trust.opcodes import read_opcodes

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
OFFSETS = (-1, -(1 << 31), 0, 1, 1 << 31, 0xFFFF_FFFF)
fuzzed = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def heads(data):
    """Where the headers of an archive lie, each with what follows it."""
    places = []
    for magic in (LOCAL, CENTRAL, END):
        at = data.find(magic)
        while at >= 0:
            places.append(at)
            at = data.find(magic, at + 1)
    return places


@st.composite
def broken(draw, data):
    """Bytes that were changed, cut out or put in at the headers."""
    whole = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = min(draw(st.sampled_from(heads(data))) + draw(st.integers(0, 60)), len(whole))
        how = draw(st.sampled_from(["change", "cut", "insert", "number"]))
        if how == "change":
            whole[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
        elif how == "cut":
            del whole[place : place + draw(st.integers(1, 50))]
        elif how == "insert":
            whole[place:place] = draw(st.binary(min_size=1, max_size=50))
        else:
            whole[place : place + 4] = (draw(st.sampled_from(OFFSETS)) & 0xFFFF_FFFF).to_bytes(4, "little")
    return bytes(whole)


def zipped(members, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def shifted(data, by):
    """The end of the archive says that its list lies elsewhere, and so each member does."""
    place = data.rindex(END) + 16
    start = int.from_bytes(data[place : place + 4], "little")
    return data[:place] + ((start + by) & 0xFFFF_FFFF).to_bytes(4, "little") + data[place + 4 :]


@pytest.fixture(scope="module")
def skops_file():
    skops_io = pytest.importorskip("skops.io")
    from sklearn.linear_model import LinearRegression

    return skops_io.dumps(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]))


def load(folder, data):
    from modelmgmt.models.formats import skops
    from modelmgmt.models.packaging.files import FolderFiles

    (folder / skops.FILE).write_bytes(data)
    return skops.load(FolderFiles(folder), {}, None)


@pytest.fixture
def bundle(store, tmp_path):
    with store.start_run("models") as run:
        run.log_model({"w": np.arange(4.0)}, "net", register_as="net")
    return store.export_model("net:1", tmp_path / "net.zip")


@pytest.mark.parametrize("by", [1, 40, 1000])
def test_members_that_lie_before_the_beginning(store, bundle, skops_file, tmp_path, by):
    with pytest.raises(CorruptDataError):
        load(tmp_path, shifted(skops_file, by))
    hostile = tmp_path / "shifted.zip"
    hostile.write_bytes(shifted(bundle.read_bytes(), by))
    with pytest.raises(BundleError):
        store.import_model(hostile, "again")
    assert read_opcodes(shifted(zipped({"a.pkl": pickle.dumps([1])}), by)).reasons


@fuzzed
@given(st.data())
def test_a_broken_skops_file(skops_file, tmp_path, data):
    try:
        model = load(tmp_path, data.draw(broken(skops_file)))
    except ModelmgmtError:
        return
    assert model.coef_.shape == (1,)


@fuzzed
@given(st.data())
def test_a_broken_bundle(store, bundle, tmp_path, data):
    hostile = tmp_path / "broken.zip"
    hostile.write_bytes(data.draw(broken(bundle.read_bytes())))
    try:
        version = store.import_model(hostile, "again")
    except ModelmgmtError:
        return
    assert mm.load_model(version.reference, store=store).model["w"].tolist() == [0, 1, 2, 3]


@fuzzed
@given(st.data(), st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_a_broken_archive_is_looked_into(data, method):
    whole = zipped({"a.pkl": pickle.dumps(np.arange(3)), "b/c.pkl": pickle.dumps({"a": [1, 2]})}, method)
    try:
        read_opcodes(data.draw(broken(whole)))
    except ModelmgmtError:
        return
