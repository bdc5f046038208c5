"""Uncommitted changes come back byte for byte, whatever git is configured to do with files and diffs."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys

import pytest
from tests_project import IDENTITY, Project

import modelmgmt as mm
from modelmgmt.tracking.reproduce import reproduce
from modelmgmt.tracking.restore import restore

if sys.platform == "win32":
    pytest.skip("names, links and modes as POSIX has them", allow_module_level=True)

SCRIPT = "import modelmgmt as mm\nwith mm.start_run('changes') as run:\n    run.log(loss=1)\n"
SETTINGS = """
    diff.noprefix=true diff.mnemonicPrefix=true diff.external=false diff.renames=copies color.diff=always color.ui=always
    diff.algorithm=histogram diff.context=0 diff.interHunkContext=99 diff.wordRegex=. diff.suppressBlankEmpty=true
    diff.orderFile=missing diff.colorMoved=zebra diff.relative=true diff.dstPrefix=other/ diff.ignoreSubmodules=all
    diff.submodule=log diff.autoRefreshIndex=false diff.indentHeuristic=false core.pager=false core.fsmonitor=false
    core.untrackedCache=true core.whitespace=trailing-space apply.whitespace=fix status.renames=copies
    status.relativePaths=false status.branch=false status.showStash=true feature.manyFiles=true alias.diff=log
""".split()  # noqa: SIM905 - read as a list, it is a page
TEXT = "".join(f"line {number}\n" for number in range(30))


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path / "project", tmp_path / "store")
    project.write("train.py", SCRIPT)
    project.write("conf.yaml", TEXT)
    project.write("docs/notes.txt", TEXT)
    project.git("init", "-q", "-b", "main")
    return project


def put(project, path, data):
    place = project.root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


def on_disk(root, paths):
    """What is at each path: the target of a link, or mode and bytes; None where nothing is."""
    found = {}
    for path in paths:
        place = root / path
        if not os.path.lexists(place):
            found[path] = None
        elif place.is_symlink():
            found[path] = os.readlink(place)
        elif place.is_file():
            found[path] = bool(place.stat().st_mode & stat.S_IXUSR), place.read_bytes()
    return found


def tracked(project):
    """Every path that git knows now, or knew in the last commit."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=project.root, check=True, capture_output=True).stdout
    paths = set(listed.split(b"\0"))
    before = subprocess.run(
        ["git", "ls-tree", "-r", "-z", "--name-only", "HEAD"], cwd=project.root, check=False, capture_output=True
    )
    return sorted(os.fsdecode(path) for path in paths | set(before.stdout.split(b"\0")) if path)


def setting(key, value, edit=None):
    """A setting of git, and the same change under each."""

    def case(project):
        project.git("config", key, value)
        project.commit()
        (edit or change_text)(project)

    return case


def change_text(project):
    put(project, "conf.yaml", TEXT.replace("line 7\n", "line seven\n").encode())
    put(project, "docs/notes.txt", TEXT.encode() + b"no end")


def settings_of_diffs(project):
    for line in SETTINGS:
        key, _, value = line.partition("=")
        project.git("config", key, value)
    setting("core.checkStat", "minimal")(project)


def crlf(project):
    for path in ("conf.yaml", "docs/notes.txt"):
        put(project, path, (project.root / path).read_bytes().replace(b"\n", b"\r\n"))
    put(project, "conf.yaml", (project.root / "conf.yaml").read_bytes().replace(b"line 7\r\n", b"line seven\r\n"))


def mixed_ends(project):
    put(project, "conf.yaml", b"one\r\ntwo\nthree\r\n")
    put(project, "docs/notes.txt", TEXT.encode().replace(b"line 3\n", b"line 3\r\n"))


def attributes(text, edit, **files):
    def case(project):
        put(project, ".gitattributes", text.encode())
        for path, data in files.items():
            put(project, path.replace("_", "."), data)
        project.commit()
        edit(project)

    return case


def new_attributes(project):
    project.commit()
    put(project, ".gitattributes", b"*.yaml eol=crlf\n*.txt -text\n")
    project.git("add", "-A")
    crlf(project)


def utf16(project):
    put(project, "utf_txt".replace("_", "."), "größer\r\n".encode("utf-16"))


def clean_and_smudge(project):
    project.git("config", "filter.rot.clean", "tr a-z b-za")
    project.git("config", "filter.rot.smudge", "tr b-za a-z")
    project.git("config", "filter.rot.required", "true")
    attributes("*.yaml filter=rot\n", change_text)(project)


def one_way_filter(project):
    """As one that strips the outputs of notebooks: what is on disk cannot be made from what git has."""
    project.git("config", "filter.strip.clean", "sed /output/d")
    attributes(
        "*.ipynb filter=strip\n", lambda p: put(p, "a.ipynb", b"cell\noutput 2\nnew\n"), a_ipynb=b"cell\noutput 1\n"
    )(project)


def staged_and_unstaged(project):
    project.commit()
    put(project, "conf.yaml", b"staged\n")
    project.git("add", "-A")
    put(project, "conf.yaml", b"and changed again\n")
    put(project, "new.cfg", b"new, staged\n")
    project.git("add", "new.cfg")
    put(project, "meant.cfg", b"new, to be added\n")
    project.git("add", "-N", "meant.cfg")


def out_of_the_index(project):
    project.commit()
    project.git("rm", "-q", "--cached", "conf.yaml")


def renamed(project):
    project.git("mv", "conf.yaml", "settings with space.yaml")
    project.git("mv", "docs/notes.txt", "notes.md")
    put(project, "notes.md", TEXT.encode() + b"more\n")


def deleted(project):
    put(project, "gone/away.txt", b"x\n")
    project.commit()
    project.git("rm", "-q", "conf.yaml")
    shutil.rmtree(project.root / "docs")
    shutil.rmtree(project.root / "gone")
    put(project, "gone", b"a file where a folder was\n")
    project.git("add", "gone")


def folder_for_a_file(project):
    project.commit()
    (project.root / "conf.yaml").unlink()
    put(project, "conf.yaml/part", b"in a folder where a file was\n")
    project.git("add", "-A")


def modes(project):
    """Which git may be told not to look at; what is in the files it sees."""
    put(project, "run.sh", b"#!/bin/sh\n")
    put(project, "plain.sh", b"#!/bin/sh\n")
    (project.root / "plain.sh").chmod(0o755)
    project.commit()
    (project.root / "run.sh").chmod(0o755)
    (project.root / "plain.sh").chmod(0o644)
    put(project, "run.sh", b"#!/bin/sh\necho\n")
    put(project, "plain.sh", b"#!/bin/sh\necho\n")


def links(project):
    (project.root / "link").symlink_to("conf.yaml")
    (project.root / "was-link").symlink_to("conf.yaml")
    (project.root / "folder").symlink_to("docs")
    project.commit()
    (project.root / "link").unlink()
    (project.root / "link").symlink_to("/nowhere/at all")
    (project.root / "was-link").unlink()
    put(project, "was-link", b"a file\n")
    (project.root / "docs/notes.txt").unlink()
    (project.root / "docs/notes.txt").symlink_to("../conf.yaml")
    (project.root / "folder").unlink()
    put(project, "folder/file", b"in a folder where a link was\n")
    project.git("add", "-A")


def odd_names(project):
    names = [
        b"caf\xe9.txt",
        "größe.txt".encode(),
        b'quo"te\ttab.txt',
        b"back\\slash.txt",
        b"-dash.txt",
        b"CON",
        b"a:b.txt",
    ]
    for name in names:
        put(project, os.fsdecode(name), b"before\n")
    project.commit()
    for name in names:
        put(project, os.fsdecode(name), b"after\r\n")


def binary(project):
    put(project, "blob", bytes(range(256)))
    put(project, "text", b"text\n")
    project.commit()
    put(project, "blob", bytes(range(255, -1, -1)) * 3)
    put(project, "text", b"\0binary now\r\n")
    put(project, "fresh", b"\0\1\2")
    project.git("add", "fresh")


def no_commit(project):
    project.git("config", "core.autocrlf", "true")
    project.git("add", "-A")
    put(project, "conf.yaml", b"changed after it was added\r\n")


def not_looked_at(project):
    project.commit()
    project.git("update-index", "--assume-unchanged", "conf.yaml")
    project.git("update-index", "--skip-worktree", "docs/notes.txt")
    change_text(project)


def conflict(project):
    project.commit()
    project.git("checkout", "-q", "-b", "other")
    put(project, "conf.yaml", b"theirs\n")
    project.commit()
    project.git("checkout", "-q", "main")
    put(project, "conf.yaml", b"ours\n")
    project.commit()
    subprocess.run(
        ["git", "merge", "other"], cwd=project.root, env={**os.environ, **IDENTITY}, check=False, capture_output=True
    )
    assert b"<<<<<<<" in (project.root / "conf.yaml").read_bytes()


def many(project):
    """More names than a command line takes, and a warning for each."""
    project.git("config", "core.autocrlf", "input")
    for number in range(1_500):
        put(project, f"many/{'long' * 20}-{number}.txt", b"x\n")
    project.commit()
    for number in range(1_500):
        put(project, f"many/{'long' * 20}-{number}.txt", b"y\r\n")


CASES = {
    "plain": setting("core.bare", "false"),
    **{f"autocrlf={value}": setting("core.autocrlf", value, crlf) for value in ("true", "input", "false")},
    **{f"autocrlf={value}, mixed": setting("core.autocrlf", value, mixed_ends) for value in ("true", "input")},
    "safecrlf": lambda p: (p.git("config", "core.safecrlf", "true"), setting("core.autocrlf", "input", mixed_ends)(p)),
    "core.eol": setting("core.eol", "crlf", crlf),
    **{
        f"attribute {text}": attributes(f"*.yaml {text}\n*.txt {text}\n", crlf)
        for text in ("text=auto", "text", "-text", "text eol=crlf", "eol=lf", "binary")
    },
    "mixed ends under text=auto": attributes("* text=auto\n", mixed_ends),
    "attributes that are not committed": new_attributes,
    "working-tree-encoding": attributes(
        "utf.txt working-tree-encoding=UTF-16 eol=crlf\n", utf16, utf_txt="groß\r\n".encode("utf-16")
    ),
    "ident": attributes("*.yaml ident\n", lambda p: put(p, "conf.yaml", b"$Id: mine $\nx\n"), conf_yaml=b"$Id$\n"),
    "whitespace and merge attributes": attributes("* whitespace=cr-at-eol merge=union diff=python\n", mixed_ends),
    "clean and smudge": clean_and_smudge,
    "a filter that loses": one_way_filter,
    "diff settings": settings_of_diffs,
    "diff settings, renamed": lambda p: (settings_of_diffs(p), renamed(p)),
    "core.quotePath": setting("core.quotePath", "false", odd_names),
    "core.fileMode": setting("core.fileMode", "false", modes),
    "textconv": lambda p: (
        p.git("config", "diff.up.textconv", "tr a-z A-Z <"),
        p.git("config", "diff.up.command", "false"),
        attributes("*.yaml diff=up\n", change_text)(p),
    ),
    "staged and unstaged": staged_and_unstaged,
    "out of the index": out_of_the_index,
    "renamed": lambda p: (p.commit(), renamed(p)),
    "deleted": deleted,
    "a folder for a file": folder_for_a_file,
    "modes": modes,
    "links": links,
    "odd names": odd_names,
    "binary": binary,
    "no commit": no_commit,
    "not looked at": not_looked_at,
    "a conflict": conflict,
    "many files": many,
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_on_disk_comes_back(project, tmp_path, case):
    CASES[case](project)
    paths = tracked(project)
    before = on_disk(project.root, paths)
    run = project.run("train.py")
    assert run.code.version.changes_digest is not None
    restored = restore(run, tmp_path / "restored")
    assert [note for note in restored.missing if "text of" not in note] == []
    assert on_disk(restored.folder, paths) == before
    assert mm.Store(project.store_path).check(deep=True) == []


@pytest.mark.parametrize(
    "variables",
    [
        {"GIT_EXTERNAL_DIFF": "false"},
        {"GIT_DIFF_OPTS": "-u0"},
        {"GIT_DIR": "/nowhere", "GIT_WORK_TREE": "/nowhere"},
        {"GIT_INDEX_FILE": "/nowhere/index"},
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.autocrlf", "GIT_CONFIG_VALUE_0": "true"},
        {"GIT_PAGER": "false", "PAGER": "false", "GIT_TRACE": "1", "GIT_LITERAL_PATHSPECS": "1"},
        {"LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_variables_of_git_change_nothing(project, tmp_path, monkeypatch, variables):
    project.commit()
    crlf(project)
    before = on_disk(project.root, tracked(project))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    restored = restore(project.run("train.py"), tmp_path / "restored")
    assert restored.missing == ()
    assert on_disk(restored.folder, before) == before


@pytest.mark.parametrize("where", ["a linked worktree", "a shallow clone", "a sparse checkout", "a partial clone"])
def test_other_kinds_of_working_copies(project, tmp_path, where):
    project.commit()
    put(project, "conf.yaml", b"second\n")
    project.commit()
    copy = Project(tmp_path / "copy", project.store_path)
    if where == "a linked worktree":
        project.git("worktree", "add", "-q", str(copy.root), "HEAD")
    else:
        options = {"a shallow clone": ["--depth=1"], "a partial clone": ["--filter=blob:none"]}.get(where, [])
        project.git("config", "uploadpack.allowFilter", "true")
        project.git("clone", "-q", *options, f"file://{project.root}", str(copy.root))
    if where == "a sparse checkout":
        copy.git("sparse-checkout", "set", "--no-cone", "/*", "!docs/")
        assert not (copy.root / "docs").exists()
    put(copy, "conf.yaml", b"third\r\n")
    before = {path: about for path, about in on_disk(copy.root, tracked(copy)).items() if about is not None}
    restored = restore(copy.run("train.py"), tmp_path / "restored")
    assert restored.missing == ()
    assert on_disk(restored.folder, before) == before


def test_submodules_come_back_with_their_changes(project, tmp_path):
    inner, outer = (Project(tmp_path / name, project.store_path) for name in ("inner", "outer"))
    allowed = ("-c", "protocol.file.allow=always", "submodule", "add", "-q")
    inner.write("deep.txt", "deep\n")
    inner.commit()
    outer.write("kept.txt", "kept\n")
    outer.write("changed.txt", "before\n")
    outer.commit()
    outer.git(*allowed, str(inner.root), "in")
    outer.commit()
    project.commit()
    project.git(*allowed, str(outer.root), "sub")
    project.git("-c", "protocol.file.allow=always", "submodule", "update", "-q", "--init", "--recursive")
    project.commit()
    sub = Project.__new__(Project)
    sub.root = project.root / "sub"
    put(project, "sub/kept.txt", b"of another commit\n")
    sub.git("commit", "-qam", "one more")
    put(project, "sub/changed.txt", b"after\r\n")
    put(project, "sub/in/deep.txt", b"deeper\r\n")
    paths = [*tracked(project), "sub/kept.txt", "sub/changed.txt", "sub/in/deep.txt"]
    before = on_disk(project.root, paths)
    restored = restore(project.run("train.py"), tmp_path / "restored")
    assert restored.missing == ()
    assert on_disk(restored.folder, paths) == before


# -- what could not be restored ----------------------------------------------------------------------------------------

CHOOSY = """
    import pathlib
    import modelmgmt as mm
    with mm.start_run("choosy") as run:
        place = pathlib.Path("{path}")
        run.log(size=len(place.read_bytes()) if place.exists() else 0)
"""


def big(project):
    put(project, "conf.yaml", b"y" * 2_000_000)
    return "conf.yaml"


def data(project):
    put(project, "table.csv", b"a\n1\n")
    return "table.csv"


def secret(project):
    put(project, ".env", b"KEY=another, longer\n")
    return ".env"


@pytest.mark.parametrize("change", [big, data, secret])
def test_a_change_that_was_not_kept_is_a_cause(project, tmp_path, change):
    put(project, "table.csv", b"a\n")
    put(project, ".env", b"KEY=1\n")
    path = change(project)
    shutil.rmtree(project.root / ".git")
    project.git("init", "-q", "-b", "main")
    project.write("train.py", CHOOSY.format(path=path))
    put(project, path, b"short\n")
    project.commit()
    change(project)
    run = project.run("train.py")
    found = reproduce(run, into=tmp_path / "again")
    assert not found.is_reproduced
    [cause] = found.causes
    assert cause.kind == "not restored"
    assert cause.detail.startswith(f"{path}: its uncommitted change is not kept")


def test_a_commit_that_is_gone_is_a_cause(project, tmp_path):
    project.write("train.py", CHOOSY.format(path="conf.yaml"))
    project.commit()
    run = project.run("train.py")
    shutil.rmtree(project.root / ".git")
    project.write("other.py", "another = 'commit'\n")  # within a second the same content is the same commit
    project.commit()
    found = reproduce(run, into=tmp_path / "again")
    assert [cause.kind for cause in found.causes] == ["not restored"]
    assert "commit" in found.causes[0].detail


def test_a_filter_that_cannot_be_run_is_a_cause(project, tmp_path):
    project.write("train.py", CHOOSY.format(path="conf.yaml"))
    project.git("config", "filter.twice.clean", "sed s/xx/x/")
    project.git("config", "filter.twice.smudge", "sed s/x/xx/")
    project.git("config", "filter.twice.required", "true")
    put(project, ".gitattributes", b"*.yaml filter=twice\n")
    put(project, "conf.yaml", b"xx\n")
    project.commit()
    run = project.run("train.py")
    project.git("config", "filter.twice.smudge", "no-such-program-here")
    found = reproduce(run, into=tmp_path / "again")
    assert [cause.kind for cause in found.causes] == ["not restored"]
    assert found.causes[0].detail.startswith("conf.yaml: it may be as git keeps it")
    assert (found.folder / "docs/notes.txt").read_text() == TEXT


def test_nothing_is_a_cause_when_the_numbers_are_equal(project, tmp_path):
    project.commit()
    big(project)
    found = reproduce(project.run("train.py"), into=tmp_path / "again")
    assert found.is_reproduced
    assert found.causes == ()
    assert any("conf.yaml: its uncommitted change is not kept" in note for note in found.notes)
