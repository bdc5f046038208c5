"""Trees: a folder in, the same folder out, one digest; and no tree, however it was made, writes outside its target."""

from __future__ import annotations

import json
import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelmgmt.errors import (
    CorruptDataError,
    InvalidNameError,
    InvalidTypeError,
    InvalidValueError,
    ModelmgmtError,
    NotFoundError,
    SourceChangedError,
    StoreTooNewError,
)
from modelmgmt.store.objects import Objects
from modelmgmt.store.trees import FORMAT, Entry, Tree, TreeDiff, Trees, diff

ONE, TWO = Entry("1" * 64, 1), Entry("2" * 64, 2)


@pytest.fixture
def trees(tmp_path):
    return Trees(Objects(tmp_path / "store"))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    write(folder, {"a.txt": b"a", "sub/b.bin": b"bb", "sub/deep/c": b"", "run.sh": b"#!/bin/sh\n"})
    (folder / "run.sh").chmod(0o755)
    return folder


def write(folder, files):
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def read(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# -- the mapping and its encoding

entries = st.builds(
    Entry,
    st.text("0123456789abcdef", min_size=64, max_size=64),
    st.integers(0, 2**63 - 1),
    st.sampled_from(["file", "executable", "link"]),
)
parts = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="/\\:."), min_size=1, max_size=8
)
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)


@st.composite
def tree_mappings(draw):
    found = draw(st.dictionaries(paths, entries, max_size=8))
    return {path: entry for path, entry in found.items() if not any(other.startswith(f"{path}/") for other in found)}


@given(tree_mappings(), st.randoms())
def test_a_tree_has_one_encoding_whatever_the_order(mapping, random):
    shuffled = list(mapping.items())
    random.shuffle(shuffled)
    tree, other = Tree(mapping), Tree(dict(shuffled))
    assert tree == other == mapping
    assert hash(tree) == hash(other)
    assert tree.encode() == other.encode()
    assert Tree.decode(tree.encode()) == tree
    assert list(tree) == sorted(mapping)
    assert tree.size == sum(entry.size for entry in mapping.values())


@given(tree_mappings(), tree_mappings())
def test_a_diff_says_what_it_takes_to_get_from_one_to_the_other(first, second):
    a, b = Tree(first), Tree(second)
    change = diff(a, b)
    back = diff(b, a)
    assert diff(a, a) == TreeDiff((), (), ())
    assert bool(change) == (a != b)
    assert (change.added, change.removed, change.changed) == (back.removed, back.added, back.changed)
    rebuilt = {path: entry for path, entry in a.items() if path not in change.removed}
    rebuilt |= {path: b[path] for path in change.added + change.changed}
    assert rebuilt == b
    assert not set(change.added) & set(a)
    assert all(list(field) == sorted(field) for field in (change.added, change.removed, change.changed))


@settings(max_examples=200)
@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_no_bytes_make_decode_raise_anything_unexpected(data):
    with pytest.raises(CorruptDataError):
        Tree.decode(data)


def test_the_format_on_disk_is_this():
    tree = Tree({"é/b": ONE, "a": Entry("2" * 64, 0, "executable")})
    assert tree.encode().decode() == (
        '{"entries":{"a":{"digest":"' + "2" * 64 + '","mode":"executable","size":0},'
        '"é/b":{"digest":"' + "1" * 64 + '","mode":"file","size":1}},"format":"modelmgmt.tree/1"}'
    )


def manifest(entries=None, **fields):
    return {"entries": entries or {}, "format": FORMAT} | fields


GOOD = {"digest": "1" * 64, "mode": "file", "size": 1}


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"entries": {}},
        {"format": FORMAT},
        manifest(extra=1),
        manifest(format="other/1"),
        manifest(format="modelmgmt.tree/x"),
        manifest(format=1),
        manifest(entries=[1]),
        manifest({"a": None}),
        manifest({"a": []}),
        manifest({"a": GOOD | {"owner": "me"}}),
        manifest({"a": {"digest": "1" * 64, "mode": "file"}}),
        manifest({"a": GOOD | {"size": -1}}),
        manifest({"a": GOOD | {"size": 1.0}}),
        manifest({"a": GOOD | {"size": True}}),
        manifest({"a": GOOD | {"size": "1"}}),
        manifest({"a": GOOD | {"size": 2**63}}),
        manifest({"a": GOOD | {"size": float("nan")}}),
        manifest({"a": GOOD | {"mode": "device"}}),
        manifest({"a": GOOD | {"mode": ["file"]}}),
        manifest({"a": GOOD | {"digest": "../../../etc/passwd"}}),
        manifest({"a": GOOD | {"digest": "A" * 64}}),
        manifest({"a": GOOD | {"digest": 1}}),
        manifest({"../a": GOOD}),
        manifest({"/etc/passwd": GOOD}),
        manifest({"a/../../b": GOOD}),
        manifest({"a//b": GOOD}),
        manifest({"a\\b": GOOD}),
        manifest({"C:a": GOOD}),
        manifest({"": GOOD}),
        manifest({"a\nb": GOOD}),
        manifest({"\ud800": GOOD}),
        manifest({"a": GOOD, "a/b": GOOD}),
        manifest({"a": GOOD, "a/b/c/d": GOOD, "a!": GOOD}),
    ],
    ids=lambda value: ascii(value)[-60:],
)
def test_malformed_trees_are_named(value):
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(CorruptDataError, match="not a tree") as caught:
        Tree.decode(canonical)
    str(caught.value).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b" " + data,
        lambda data: data + b"\n",
        lambda data: data.replace(b":", b": "),
        lambda data: data.replace(b'"a":', b'"\\u0061":'),
        lambda data: data.replace(b'{"a":', b'{"a":{"digest":"' + b"3" * 64 + b'","mode":"file","size":1},"a":'),
        lambda data: data.replace(b'"size":1', b'"size":1,"size":1'),
        lambda data: data[:-1],
        lambda data: data.decode().encode("utf-16"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: b"[" * 100_000,
        lambda data: data.replace(b'"size":1', b'"size":' + b"1" * 10_000),
        lambda data: b"",
    ],
)
def test_only_the_canonical_form_is_a_tree(change):
    data = Tree({"a": ONE, "b": TWO}).encode()
    with pytest.raises(CorruptDataError):
        Tree.decode(change(data))


def test_a_tree_of_a_later_version_is_refused_in_one_sentence():
    with pytest.raises(StoreTooNewError, match=r"tree/2.*upgrade"):
        Tree.decode(json.dumps(manifest(format="modelmgmt.tree/2", more=[])).encode())


def test_a_tree_is_checked_when_it_is_made():
    with pytest.raises(InvalidNameError):
        Tree({"../x": ONE})
    with pytest.raises(InvalidTypeError):
        Tree({"x": "1" * 64})
    with pytest.raises(InvalidTypeError):
        Tree({1: ONE})
    with pytest.raises(InvalidValueError, match="'a' is both"):
        Tree({"a": ONE, "a/b": TWO})
    with pytest.raises(TypeError):
        Tree({})["a"] = ONE
    for wrong in (("x", 1), ("1" * 64, -1), ("1" * 64, 1.5), ("1" * 64, True), ("1" * 64, 1, "pipe")):
        with pytest.raises(InvalidValueError):
            Entry(*wrong)


# -- folders in and out


def test_a_folder_comes_back_as_it_was(trees, folder, tmp_path):
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("sub/b.bin")
    (folder / "sub" / "up").symlink_to("../a.txt")
    (folder / "dir").symlink_to("sub")
    (folder / "dead").symlink_to("not-here")
    stored = trees.put_folder(folder)
    tree = trees.get(stored.digest)
    assert (stored.size, stored.count) == (tree.size, 8)
    assert {path: entry.mode for path, entry in tree.items()} == {
        "a.txt": "file",
        "dead": "link",
        "dir": "link",
        "link": "link",
        "run.sh": "executable",
        "sub/b.bin": "file",
        "sub/deep/c": "file",
        "sub/up": "link",
    }
    out = tmp_path / "new" / "out"
    trees.checkout(stored.digest, out)
    assert read(out) == read(folder)
    assert everything(out) == [path for path in everything(folder) if path != "empty"]
    assert os.readlink(out / "sub" / "up") == "../a.txt"
    assert os.access(out / "run.sh", os.X_OK)
    assert not stat.S_IMODE((out / "a.txt").stat().st_mode) & 0o111
    assert os.access(out / "a.txt", os.W_OK)
    assert trees.put_folder(out) == stored
    assert everything(tmp_path / "new") == ["out", *(f"out/{path}" for path in everything(out))]


@settings(max_examples=20, deadline=None)
@given(files=st.dictionaries(paths, st.binary(max_size=50), max_size=5))
def test_any_folder_comes_back(tmp_path_factory, files):
    files = {path.casefold(): data for path, data in files.items()}
    files = {path: data for path, data in files.items() if not any(p.startswith(f"{path}/") for p in files)}
    base = tmp_path_factory.mktemp("any")
    (base / "in").mkdir()
    write(base / "in", files)
    trees = Trees(Objects(base / "store"))
    stored = trees.put_folder(base / "in")
    trees.checkout(stored.digest, base / "out")
    assert read(base / "out") == files
    assert stored.size == sum(map(len, files.values()))


def test_the_digest_tells_content_and_not_times_or_places(trees, folder, tmp_path):
    first = trees.put_folder(folder).digest
    os.utime(folder / "a.txt", (1, 1))
    moved = folder.rename(tmp_path / "moved")
    assert trees.put_folder(moved).digest == first
    (moved / "a.txt").write_bytes(b"A")
    second = trees.put_folder(moved).digest
    assert diff(trees.get(first), trees.get(second)) == TreeDiff((), (), ("a.txt",))
    (moved / "a.txt").write_bytes(b"a")
    (moved / "a.txt").chmod(0o755)
    assert diff(trees.get(first), trees.get(trees.put_folder(moved).digest)).changed == ("a.txt",)


def test_an_empty_folder_is_a_tree(trees, tmp_path):
    (tmp_path / "empty").mkdir()
    stored = trees.put_folder(tmp_path / "empty")
    assert (stored.size, stored.count) == (0, 0)
    trees.checkout(stored.digest, tmp_path / "out")
    assert everything(tmp_path / "out") == []


def test_the_same_content_is_kept_once(trees, tmp_path):
    write(tmp_path / "folder", {f"copy{i}": b"x" * 1000 for i in range(20)})
    trees.put_folder(tmp_path / "folder")
    assert len(list(trees.objects.digests())) == 2


def test_ignore_is_asked_first_and_skips_folders_whole(trees, folder):
    os.mkfifo(folder / "sub" / "pipe")
    asked = []

    def ignore(path):
        asked.append(path)
        return path in {"sub", "a.txt"}

    assert list(trees.get(trees.put_folder(folder, ignore=ignore).digest)) == ["run.sh"]
    assert sorted(asked) == ["a.txt", "run.sh", "sub"]


def test_the_store_inside_the_folder_is_left_out(tmp_path):
    write(tmp_path, {"a": b"a", "b/c": b"c"})
    trees = Trees(Objects(tmp_path / "b" / ".modelmgmt"))
    first = trees.put_folder(tmp_path)
    assert first.count == 2
    assert trees.put_folder(tmp_path) == first
    with pytest.raises(InvalidValueError, match="the store itself"):
        trees.put_folder(trees.objects.root)


def test_a_folder_that_is_none_raises_what_scandir_raises(trees, folder):
    with pytest.raises(FileNotFoundError):
        trees.put_folder(folder / "nowhere")
    with pytest.raises(NotADirectoryError):
        trees.put_folder(folder / "a.txt")
    with pytest.raises(InvalidValueError):
        trees.put_folder(folder, links="maybe")


def test_pipes_are_refused_and_no_tree_is_kept(trees, folder):
    os.mkfifo(folder / "sub" / "pipe")
    with pytest.raises(InvalidValueError, match="'sub/pipe' is a pipe"):
        trees.put_folder(folder)
    assert list(trees.objects.digests()) == []


def test_names_that_are_not_utf8_are_named(trees, folder):
    try:
        with open(os.fsencode(folder) + b"/sub/caf\xe9", "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    with pytest.raises(InvalidNameError, match=r"caf\\xe9.*not UTF-8") as caught:
        trees.put_folder(folder)
    str(caught.value).encode()
    assert trees.put_folder(folder, ignore=lambda path: path.startswith("sub/caf")).count == 4


@pytest.mark.parametrize("name", ["a\nb", "back\\slash", "x" * 255, " a", "\u202egpj.exe"])
def test_names_that_would_not_travel_are_named(trees, folder, name):
    (folder / name).touch()
    with pytest.raises(InvalidNameError, match="path"):
        trees.put_folder(folder)


def test_a_file_that_goes_while_the_folder_is_copied_is_noticed(trees, folder):
    class Meddling(Objects):
        def put_file(self, path, **options):
            if path.name == "a.txt":  # files of the top come before those of folders in it
                (folder / "sub" / "b.bin").unlink()
            return super().put_file(path, **options)

    with pytest.raises(SourceChangedError, match=r"sub/b\.bin"):
        Trees(Meddling(trees.objects.root)).put_folder(folder)


# -- links


@pytest.mark.parametrize(
    ("links", "why"),
    [
        ({"out": "../outside"}, "outside"),
        ({"sub/out": "../../outside"}, "outside"),
        ({"out": "sub/../../outside"}, "outside"),
        ({"out": "/etc/passwd"}, "absolute"),
        ({"me": "me"}, "circle"),
        ({"x": "y", "y": "sub/../x"}, "circle"),
        ({"hop": "sub/up/../outside", "sub/up": ".."}, "outside"),
        ({"p": "sub/q/../../z", "sub/q": ".."}, "outside"),
        ({"p": "x\\..\\..\\y"}, "POSIX"),
    ],
    ids=str,
)
def test_links_that_leave_or_loop_are_refused(trees, folder, links, why):
    for path, target in links.items():
        (folder / path).symlink_to(target)
    with pytest.raises(InvalidValueError, match=why):
        trees.put_folder(folder)
    assert list(trees.objects.digests()) == []


def test_links_can_be_followed(trees, folder, tmp_path):
    write(tmp_path, {"blobs/weights": b"w" * 100, "elsewhere/x": b"x"})
    (folder / "weights").symlink_to(tmp_path / "blobs" / "weights")
    (folder / "more").symlink_to("../elsewhere")
    stored = trees.put_folder(folder, links="follow")
    tree = trees.get(stored.digest)
    assert "link" not in {entry.mode for entry in tree.values()}
    assert tree["weights"].size == 100
    assert "more/x" in tree


@pytest.mark.parametrize(
    ("path", "target", "why"),
    [("sub/up", "..", "link to a folder that contains it"), ("x", "x", "circle"), ("x", "no", "nothing")],
)
def test_following_ends_where_links_do_not(trees, folder, path, target, why):
    (folder / path).symlink_to(target)
    with pytest.raises(InvalidValueError, match=why):
        trees.put_folder(folder, links="follow")


def test_a_link_to_a_folder_above_is_kept_without_walking_in_circles(trees, folder, tmp_path):
    (folder / "sub" / "up").symlink_to("..")
    stored = trees.put_folder(folder)
    trees.checkout(stored.digest, tmp_path / "out")
    assert (tmp_path / "out" / "sub" / "up" / "a.txt").read_bytes() == b"a"


# -- trees made by hand, and hostile ones


def hostile(trees, files, links=None):
    """Put a tree past every check, as a store written by somebody else could hold it."""
    entries = {path: trees.objects.put_bytes(data) for path, data in files.items()}
    tree = {path: Entry(stored.digest, stored.size) for path, stored in entries.items()}
    for path, text in (links or {}).items():
        stored = trees.objects.put_bytes(text)
        tree[path] = Entry(stored.digest, stored.size, "link")
    return trees.objects.put_bytes(Tree(tree).encode()).digest


@pytest.mark.parametrize(
    "links",
    [
        {"l": b"../x"},
        {"l": b"/etc"},
        {"l": b""},
        {"l": b"l"},
        {"l": b"a\0b"},
        {"l": b"\xff"},
        {"l": b"a" * 5000},
        {"a/b": b"..", "l": b"a/b/../x"},
        {"a/b": b"../a", "l": b"a/b/../../x"},
    ],
    ids=str,
)
def test_no_link_of_a_hostile_tree_is_ever_made(trees, tmp_path, links):
    digest = hostile(trees, {"f": b"f"}, links)
    before = everything(tmp_path)
    with pytest.raises(CorruptDataError):
        trees.checkout(digest, tmp_path / "out")
    assert everything(tmp_path) == before
    with pytest.raises((InvalidValueError, CorruptDataError)):
        trees.put(trees.get(digest))


def test_files_are_not_written_through_links(trees, tmp_path):
    (tmp_path / "victim").mkdir()
    with pytest.raises(ModelmgmtError):
        hostile(trees, {"l/file": b"x"}, {"l": b"."})
    digest = hostile(trees, {"L/file": b"x"}, {"l": b"L"})
    try:
        trees.checkout(digest, tmp_path / "out")
    except FileExistsError:
        assert not (tmp_path / "out").exists()  # a file system that takes L and l for one name
    assert everything(tmp_path / "victim") == []


def test_put_keeps_a_tree_of_known_objects_only(trees):
    stored = trees.objects.put_bytes(b"x")
    tree = Tree({"a": Entry(stored.digest, 1), "b/c": Entry(stored.digest, 1, "executable")})
    digest = trees.put(tree)
    assert trees.get(digest) == tree
    with pytest.raises(NotFoundError, match="'a' names object 1111"):
        trees.put(Tree({"a": ONE}))
    with pytest.raises(InvalidValueError, match="1 bytes in the store, not 2"):
        trees.put(Tree({"a": Entry(stored.digest, 2)}))


def test_an_object_that_is_no_tree_is_named(trees):
    digest = trees.objects.put_bytes(b"just a file").digest
    with pytest.raises(CorruptDataError, match=digest):
        trees.get(digest)
    with pytest.raises(NotFoundError):
        trees.get("0" * 64)


# -- checkout


def test_a_checkout_with_damaged_or_missing_bytes_leaves_nothing(trees, folder, tmp_path):
    digest = trees.put_folder(folder).digest
    place = trees.objects.path(trees.get(digest)["sub/b.bin"].digest)
    (tmp_path / "empty").mkdir()
    place.chmod(0o644)
    for data, error in ((b"bB", CorruptDataError), (b"b", CorruptDataError), (None, NotFoundError)):
        place.write_bytes(data) if data else place.unlink()
        before = everything(tmp_path)
        for target in ("new", "empty"):
            with pytest.raises(error):
                trees.checkout(digest, tmp_path / target)
            assert everything(tmp_path) == before


def test_checkout_takes_a_new_or_an_empty_folder_only(trees, folder, tmp_path, monkeypatch):
    digest = trees.put_folder(folder).digest
    (tmp_path / "empty").mkdir()
    inode = (tmp_path / "empty").stat().st_ino
    trees.checkout(digest, tmp_path / "empty")
    assert read(tmp_path / "empty") == read(folder)
    assert (tmp_path / "empty").stat().st_ino == inode
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("empty", "file", "dangling", "store"):
        before = everything(tmp_path)
        with pytest.raises(InvalidValueError, match=name):
            trees.checkout(digest, tmp_path / name)
        assert everything(tmp_path) == before
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    trees.checkout(digest, type(tmp_path)())
    assert read(tmp_path / "here") == read(folder)
