"""Members of a zip that are looked at in place are what `zipfile` reads, or are refused as it refuses them."""

from __future__ import annotations

import ast
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import modelmgmt as mm
from modelmgmt.errors import CorruptDataError
from modelmgmt.models.packaging.archive import of_model
from modelmgmt.models.packaging.members import Members

SOURCES = sorted(Path(mm.__file__).parent.rglob("*.py"))


def zipped(members, method=zipfile.ZIP_STORED, before=b""):
    file = io.BytesIO()
    file.write(before)
    with zipfile.ZipFile(file, "a", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


GOOD = [("a.txt", b"hello"), ("b/c.bin", bytes(range(256)) * 8), ("empty", b""), ("ü.txt", b"umlaut")]


def assert_as_zipfile(data):
    """Each member by itself. An archive may be refused whole."""
    try:
        members = of_model(Members, memoryview(data))
    except CorruptDataError:
        return 0
    with members, zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in (*archive.namelist(), "nothing"):
            try:
                expected = archive.read(name)
            except Exception as error:  # noqa: BLE001 - whatever zipfile says
                for read in (members.view, members.whole):
                    with pytest.raises(type(error)):
                        read(name)
                continue
            assert members.view(name).tobytes() == members.whole(name) == expected
        return len(archive.namelist())


@pytest.mark.parametrize("before", [b"", b"#!/bin/sh\n" * 50])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_honest_archives(method, before):
    assert assert_as_zipfile(zipped(GOOD, method, before)) == len(GOOD)


def test_an_archive_without_members():
    assert assert_as_zipfile(zipped([])) == 0


def test_what_is_stored_is_not_copied():
    data = zipped(GOOD)
    with of_model(Members, memoryview(data)) as members:
        there = np.frombuffer(data, np.uint8)
        assert np.shares_memory(np.frombuffer(members.view("b/c.bin"), np.uint8), there)
        assert members.view("b/c.bin").readonly


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_changed_bytes(data):
    good = bytearray(zipped(GOOD))
    for _ in range(data.draw(st.integers(1, 3))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    assert_as_zipfile(bytes(good))


HEADER = 30


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, b"PK\x03\x05"), (6, b"\x01\x00"), (6, b"\x20\x00"), (6, b"\x40\x00"), (6, b"\x08\x00"), (8, b"\x08\x00"),
        (26, b"\x00\x00"), (26, b"\xff\xff"), (28, b"\xff\xff"), (28, b"\x01\x00"), (HEADER, b"b"), (HEADER + 5, b"J"),
    ],
)  # fmt: skip
def test_changed_local_headers(place, value):
    good = bytearray(zipped([("a.txt", b"hello"), ("b.txt", b"jello")]))
    good[place : place + len(value)] = value
    assert_as_zipfile(bytes(good))


def test_a_member_within_another():
    """Its header is what the other one holds: what is one member here would be two files elsewhere."""
    inner = zipped([("b.txt", b"inner")])
    inner = inner[: inner.index(b"PK\x01\x02")]
    good = bytearray(zipped([("a.txt", inner), ("b.txt", b"inner")]))
    second = good.rindex(b"PK\x01\x02")
    good[second + 42 : second + 46] = (HEADER + len("a.txt")).to_bytes(4, "little")
    assert_as_zipfile(bytes(good))


# ------------------------------------------------------------------------------------------------- nothing is unpacked


def test_no_source_unpacks_an_archive_into_a_folder():
    """A name in an archive is never a path: nothing calls what would write files under such names."""
    unpackers = {"extract", "extractall", "unpack_archive", "_extract_member"}
    assert len(SOURCES) > 200
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            said = {getattr(node, part, None) for part in ("attr", "id", "name")}  # of a use, a name, an import
            said |= {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()
            assert not unpackers & said, f"{path}:{getattr(node, 'lineno', 0)} unpacks an archive into a folder"


def test_nothing_is_unpacked_while_models_are_loaded_and_imported(store, tmp_path, monkeypatch):
    pytest.importorskip("skops")
    from sklearn.linear_model import LinearRegression

    with store.start_run("models") as run:
        line = run.log_model(LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]), "line", register_as="line")
        arrays = run.log_model({"w": np.ones(3)}, "arrays")
    bundle = store.export_model("line:1", tmp_path / "line.zip")

    def fail(*_, **__):
        raise AssertionError("an archive was unpacked into a folder")

    for kind in (zipfile.ZipFile, tarfile.TarFile):
        for name in ("extract", "extractall", "_extract_member"):
            monkeypatch.setattr(kind, name, fail)
    monkeypatch.setattr("shutil.unpack_archive", fail)
    with pytest.raises(AssertionError), zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path)  # the test can fail
    for logged in (line, arrays):
        assert mm.load_model(logged.reference, store=store, cached=False).model is not None
    with mm.Store(tmp_path / "other") as other:
        other.import_model(bundle)
        assert mm.load_model("line:1", store=other, cached=False).model.predict([[3.0]]) == pytest.approx([6.0])
