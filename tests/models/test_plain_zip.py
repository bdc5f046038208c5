"""What is written front to back is a zip like any other."""

from __future__ import annotations

import io
import warnings
import zipfile
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelmgmt.models.packaging import plain_zip
from modelmgmt.models.packaging.plain_zip import PlainZip

names = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="/\\"), min_size=1, max_size=12)
contents = st.one_of(st.binary(max_size=300), st.text(st.characters(blacklist_categories=["Cs"]), max_size=100))


@given(st.dictionaries(names, contents, max_size=8))
@settings(max_examples=60, deadline=None)
def test_it_reads_back_as_it_was_written(members):
    file = io.BytesIO()
    with PlainZip(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        assert list(archive.namelist()) == list(members)
    with ZipFile(file) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == list(members)
        for name, content in members.items():
            wanted = content if isinstance(content, bytes) else content.encode()
            assert archive.read(name) == wanted
            assert archive.getinfo(name).external_attr >> 16 == 0o600


def test_equal_content_is_an_equal_file():
    def written():
        file = io.BytesIO()
        with PlainZip(file, "w") as archive:
            archive.writestr("a", memoryview(b"x" * 1000))
        return file.getvalue()

    assert written() == written()


@pytest.mark.parametrize(
    "write",
    [
        lambda archive: archive.writestr(ZipInfo("b"), b"1"),
        lambda archive: archive.writestr("b", b"1", ZIP_DEFLATED),
        lambda archive: archive.writestr("b", "1"),
        lambda archive: archive.writestr("b/", b""),
        lambda archive: archive.writestr("b", memoryview(b"1234").cast("I")),
    ],
)
def test_what_is_not_plain_is_left_to_zipfile(write):
    file, other = io.BytesIO(), io.BytesIO()
    for kind, place in ((PlainZip, file), (ZipFile, other)):
        with kind(place, "w") as archive:
            archive.writestr("a", b"first")
            write(archive)
            archive.writestr("c", b"last")
    with ZipFile(file) as one, ZipFile(other) as two:
        assert one.testzip() is None
        assert one.namelist() == two.namelist()
        assert [one.read(name) for name in one.namelist()] == [two.read(name) for name in two.namelist()]


def test_long_members_and_other_pythons_are_left_to_zipfile(monkeypatch):
    monkeypatch.setattr(plain_zip, "MAX_BYTES", 3)
    calls = []
    monkeypatch.setattr(ZipFile, "writestr", lambda self, name, *rest: calls.append(name))
    with PlainZip(io.BytesIO(), "w") as archive:
        archive.writestr("long", b"1234")
        archive.writestr("short", b"123")
        del archive.start_dir
        archive.writestr("other", b"1")
        archive.start_dir = archive.fp.tell()
    assert calls == ["long", "other"]


def test_a_name_twice_and_a_closed_file_are_what_they_are_to_zipfile():
    archive = PlainZip(io.BytesIO(), "w")
    archive.writestr("a", b"1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="Duplicate name"):
            archive.writestr("a", b"2")
    archive.close()
    with pytest.raises(ValueError, match="already closed"):
        archive.writestr("b", b"1")


def test_offsets_beyond_four_gigabytes(tmp_path):
    """A sparse file: only the numbers are large."""
    with (tmp_path / "big.zip").open("wb") as file:
        file.seek((1 << 32) + 5)
        with PlainZip(file, "w") as archive:
            archive.writestr("a", b"first")
            archive.writestr("b", b"second")
    with ZipFile(tmp_path / "big.zip") as archive:
        assert (archive.read("a"), archive.read("b")) == (b"first", b"second")
        assert archive.getinfo("b").header_offset > zipfile.ZIP64_LIMIT
