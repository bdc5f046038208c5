"""Archives from anywhere: names that are no paths, links, bombs, damage."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import stat
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmgmt.errors import (
    CorruptDataError,
    InvalidNameError,
    InvalidValueError,
    ModelmgmtError,
    NotFoundError,
    StoreReadError,
)
from modelmgmt.models.packaging.archive import Archive, Budget, TooMuchError, compression_of, unpacked
from modelmgmt.models.trust.simulation import Limits


def zipped(members, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file


class Refusing(io.BytesIO):
    """A file of which the disk gives nothing back from some place on."""

    place = 0
    number = errno.EIO

    def read(self, size=-1):
        if self.tell() >= self.place:
            raise OSError(self.number, os.strerror(self.number))
        return super().read(size)


@pytest.mark.parametrize("place", [0, 30])
def test_what_the_disk_refuses_is_not_called_damage(place):
    file = Refusing(zipped([("a", bytes(100))]).getvalue())
    file.place = place
    with pytest.raises(StoreReadError, match="Input/output error"):
        Archive(file)
    file.number = errno.EINVAL  # which is what the system says of an offset below zero
    with pytest.raises(CorruptDataError):
        Archive(file)


def test_members_are_read_by_name():
    with Archive(zipped([("a/b.txt", b"one"), ("c.bin", bytes(5000))], zipfile.ZIP_DEFLATED)) as archive:
        assert archive.names == ("a/b.txt", "c.bin")
        assert archive.read("a/b.txt", max_bytes=10) == b"one"
        with archive.open("c.bin") as file:
            assert len(file.read()) == 5000
        with pytest.raises(TooMuchError):
            archive.read("c.bin", max_bytes=10)
        with pytest.raises(NotFoundError):
            archive.read("nothing", max_bytes=10)


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/passwd", "C:\\x", "a\\b", "a//b", "./a", "a\nb", "\u202eexe", "x" * 2000, "a/.."],
)
def test_names_that_leave_the_folder(name):
    with pytest.raises(InvalidNameError):
        Archive(zipped([(name, b"x")]))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices(kind):
    info = zipfile.ZipInfo("a")
    info.external_attr = (kind | 0o777) << 16
    with pytest.raises(InvalidValueError, match="link or a device"):
        Archive(zipped([(info, b"/etc/passwd")]))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a", "a"), ("a", "A"), ("a", "a/b"), ("A", "a/b")])
def test_one_name_for_two_things(names):
    with pytest.raises(InvalidValueError):
        Archive(zipped([(name, b"x") for name in names]))


def test_bombs():
    with pytest.raises(TooMuchError):
        Archive(zipped([("a", bytes(1 << 27))], zipfile.ZIP_DEFLATED))
    with pytest.raises(TooMuchError):
        Archive(zipped([(str(n), b"") for n in range(11)]), Limits(max_members=10))


def test_a_size_that_is_a_lie():
    data = bytearray(zipped([("a", bytes(100_000))], zipfile.ZIP_DEFLATED).getvalue())
    place = data.index(b"PK\x01\x02") + 24
    data[place : place + 4] = (10).to_bytes(4, "little")
    with Archive(io.BytesIO(bytes(data))) as archive, pytest.raises(CorruptDataError):
        assert len(archive.read("a", max_bytes=1 << 20)) <= 10


def test_an_encrypted_member():
    data = bytearray(zipped([("a", b"x")]).getvalue())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(InvalidValueError, match="encrypted"):
        Archive(io.BytesIO(bytes(data)))


def test_a_flipped_byte():
    data = bytearray(zipped([("a", b"some content")]).getvalue())
    data[data.index(b"some")] ^= 1
    with Archive(io.BytesIO(bytes(data))) as archive, pytest.raises(CorruptDataError):
        archive.read("a", max_bytes=100)


@given(st.data())
def test_any_damage_is_ours_to_report(data):
    good = bytearray(zipped([("a/b", b"x" * 300), ("c", b"y")], zipfile.ZIP_DEFLATED).getvalue())
    for _ in range(data.draw(st.integers(1, 5))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        with Archive(io.BytesIO(bytes(good))) as archive:
            for name in archive.names:
                archive.read(name, max_bytes=1 << 20)
    except ModelmgmtError:
        pass


PACKERS = {
    "gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zlib": zlib.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
}  # fmt: skip


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("size", [0, 1, 1000, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_compressed_streams(kind, size):
    data = bytes(range(256)) * (size // 256 + 1)
    packed = PACKERS[kind](data[:size])
    assert compression_of(packed) == kind
    assert unpacked(packed, kind, Budget(Limits(), len(packed))) == data[:size]
    with pytest.raises(CorruptDataError):
        unpacked(packed[: len(packed) - 3], kind, Budget(Limits(), len(packed)))


@pytest.mark.parametrize("kind", ["gzip", "bz2", "xz"])
def test_streams_that_are_joined(kind):
    packed = PACKERS[kind](b"one") + PACKERS[kind](b"two")
    assert unpacked(packed, kind, Budget(Limits(), len(packed))) == b"onetwo"


@pytest.mark.parametrize("kind", PACKERS)
def test_more_than_allowed(kind):
    packed = PACKERS[kind](bytes(1 << 20))
    with pytest.raises(TooMuchError):
        unpacked(packed, kind, Budget(Limits(max_bytes=1000), len(packed)))
