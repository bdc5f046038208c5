"""The code of a run: what was executed, whatever git says of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from tests_project import Project

import modelmgmt as mm
from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError
from modelmgmt.versions import capture, git
from modelmgmt.versions.left_out import MAX_NOTES, bounded, readable, why_not

TRAIN = """
    import modelmgmt as mm
    import lib.core
    with mm.start_run("code", params={"lr": 1}) as run:
        run.log(loss=lib.core.value())
"""
CORE = "def value():\n    return 1.0\n"


@pytest.fixture
def small(project):
    project.write("train.py", TRAIN)
    project.write("lib/core.py", CORE)
    project.write("lib/unused.py", "never = True\n")
    return project


def notes(run) -> dict[str, str]:
    return dict(run.code.version.left_out)


# -- without and with git ----------------------------------------------------------------------------------------------


def test_without_git_the_executed_files_are_kept(small, tmp_path):
    run = small.run("train.py")
    version = run.code.version
    assert run.code.files == ["lib/core.py", "train.py"]
    assert run.code.read("lib/core.py") == CORE
    assert (version.script, version.cwd, version.root) == ("train.py", ".", str(small.root))
    assert (version.git_commit, version.git_branch, version.is_dirty, version.diff_digest) == (None,) * 4
    assert version.left_out == ()
    assert version.reason == "start"
    copy = run.code.checkout(tmp_path / "copy")
    assert (copy / "train.py").read_text() == (small.root / "train.py").read_text()
    with pytest.raises(NotFoundError, match=r"it has: lib/core\.py, train\.py"):
        run.code.read("lib/unused.py")


def test_a_clean_commit(small):
    commit = small.commit()
    small.git("remote", "add", "origin", "https://me:token@example.org/a.git?private_token=b")
    version = small.run("train.py").code.version
    assert (version.git_commit, version.git_branch, version.is_dirty) == (commit, "main", False)
    assert version.git_remotes == {"origin": "https://example.org/a.git"}
    assert version.diff_digest is None


def test_uncommitted_changes_are_in_the_snapshot_and_in_the_diff(small):
    small.write("conf.toml", "lr = 1\n")
    small.write("table.csv", "secret-row\n")
    small.write(".env", "KEY=1\n")
    small.commit()
    small.write("lib/core.py", CORE.replace("1.0", "2.0"))
    small.write("conf.toml", "lr = 2\n")
    small.write("table.csv", "another-row\n")
    small.write(".env", "KEY=2\n")
    run = small.run("train.py")
    assert run.metrics == {"loss": 2.0}
    assert "2.0" in run.code.read("lib/core.py")
    assert run.code.version.is_dirty
    assert "+    return 2.0" in run.code.uncommitted
    assert "+lr = 2" in run.code.uncommitted
    assert "row" not in run.code.uncommitted
    assert "KEY" not in run.code.uncommitted
    assert "data" in notes(run)["table.csv"]
    assert "secret" in notes(run)[".env"]


def test_untracked_files_that_are_imported_are_kept(small):
    small.commit()
    small.write("lib/fresh.py", "x = 1\n")
    small.write("train.py", TRAIN.replace("import lib.core", "import lib.core, lib.fresh"))
    assert "lib/fresh.py" in small.run("train.py").code.files


def test_the_diff_of_two_runs(small):
    first = small.run("train.py")
    small.write("lib/core.py", CORE.replace("1.0", "3.0"))
    small.write("train.py", TRAIN.replace("import lib.core", "import lib.core, lib.unused"))
    second = small.run("train.py")
    text = first.code.diff(second)
    assert "--- a/lib/core.py\n+++ b/lib/core.py\n" in text
    assert "-    return 1.0\n+    return 3.0\n" in text
    assert "--- /dev/null\n+++ b/lib/unused.py\n" in text
    assert first.code.diff(first) == ""
    with pytest.raises(InvalidTypeError, match="takes a run"):
        first.code.diff("text")


def test_a_script_in_a_subfolder_and_a_module(small):
    small.write("jobs/train.py", "import sys; sys.path.insert(0, '..')\n" + TRAIN.replace("    ", "", 4))
    small.commit()
    run = small.run("train.py", cwd="jobs")
    assert (run.code.version.script, run.code.version.cwd) == ("jobs/train.py", "jobs")
    small.write("lib/main.py", TRAIN)
    run = small.run("-m", "lib.main")
    assert run.code.version.script == "lib/main.py"


def test_no_script(small):
    run = small.run("-c", "import modelmgmt as mm, lib.core\nwith mm.start_run('c'): pass")
    assert run.code.files == ["lib/core.py"]
    assert run.code.version.script is None
    assert "the script" in notes(run)


# -- while the run goes on ---------------------------------------------------------------------------------------------


def test_what_is_imported_during_the_run_is_there_at_its_end(small):
    small.write("late.py", "import modelmgmt as mm\nwith mm.start_run('late'):\n    import lib.core\n")
    run = small.run("late.py")
    assert [version.reason for version in run.code.versions] == ["start", "finish"]
    assert run.code.at(0).files == ["late.py"]
    assert run.code.files == ["late.py", "lib/core.py"]


def test_a_checkpoint_sees_a_reload_and_nothing_else(small):
    small.write(
        "reload.py",
        """
        import importlib, pathlib
        import modelmgmt as mm
        import lib.core, lib.unused
        with mm.start_run("reload") as run:
            core, unused = pathlib.Path("lib/core.py"), pathlib.Path("lib/unused.py")
            core.write_text("changed = 22222\\n")
            unused.write_text("changed = 22222\\n")
            run.snapshot_code("written, not loaded")
            importlib.reload(lib.core)
            run.snapshot_code("loaded")
        """,
    )
    run = small.run("reload.py")
    assert [version.reason for version in run.code.versions] == ["start", "written, not loaded", "loaded"]
    assert run.code.at(1).read("lib/core.py") == CORE, "what was executed, not what is on disk"
    assert run.code.at(2).read("lib/core.py") == "changed = 22222\n"
    assert run.code.at(2).read("lib/unused.py") == "never = True\n"
    with pytest.raises(NotFoundError, match="no version 3"):
        run.code.at(3)


def test_the_reason_of_a_checkpoint_is_text(store):
    with store.start_run() as run, pytest.raises(InvalidTypeError, match="int"):
        run.snapshot_code(3)


def test_a_resumed_run_has_the_code_that_goes_on(small):
    run = small.run("train.py")
    small.write("again.py", f"import modelmgmt as mm\nwith mm.start_run(resume='{run.id}') as run: run.log(loss=2)\n")
    small.python("again.py")
    assert [version.reason for version in run.code.versions] == ["start", "resume"]
    assert run.code.files == ["again.py"]


def test_a_killed_run_has_its_code_or_says_that_it_has_not(small):
    small.write("killed.py", TRAIN.replace("run.log(", "import os; os.kill(os.getpid(), 9); run.log("))
    small.write("slow.py", TRAIN.replace("run.log(", "run.flush(); import os; os.kill(os.getpid(), 9); run.log("))
    run = small.run("slow.py", status=-signal.SIGKILL)
    assert run.code.files == ["lib/core.py", "slow.py"]
    assert run.code.version.left_out == ()
    run = small.run("killed.py", status=-signal.SIGKILL)
    assert run.code.files == ["killed.py", "lib/core.py"] or capture.PENDING in run.code.version.left_out
    assert mm.Store(small.store_path).check(deep=True) == []


# -- many runs ---------------------------------------------------------------------------------------------------------


def test_runs_with_the_same_code_share_it(small):
    small.commit()
    small.write("many.py", "import modelmgmt as mm\nfor _ in range(20):\n    with mm.start_run('many'): pass\n")
    small.python("many.py")
    small.python("many.py")
    runs = mm.Store(small.store_path).runs("run.experiment = 'many'")
    assert len(runs) == 40
    versions = [run.code.version for run in runs]
    assert len({version.tree_digest for version in versions}) == 1
    assert len({version.git_commit for version in versions}) == 1
    assert all(version.left_out == () for version in versions)
    assert len([version for version in versions if version.seeds_digest]) == 2, "one a process"


@pytest.mark.parametrize(("is_forgotten", "reads"), [(False, 0), (True, 1)])
def test_another_process_knows_the_digests_from_the_stat_of_the_files(small, is_forgotten, reads):
    time.sleep(2.1)  # what was written a moment before it was read is not trusted
    small.run("train.py")
    if is_forgotten:
        for path in (small.store_path / "tmp").glob("code-*.json"):
            path.unlink()
    small.write(
        "watch.py",
        """
        import sys
        import modelmgmt as mm
        import lib.core
        reads = []
        sys.addaudithook(lambda event, a: event == "open" and str(a[0]).endswith("core.py") and reads.append(a))
        with mm.start_run("watch"):
            pass
        print(len(reads))
        """,
    )
    assert small.python("watch.py").strip() == str(reads)


def test_threads_and_forks(small):
    small.write(
        "threads.py",
        """
        import os, threading
        import modelmgmt as mm
        import lib.core
        store = mm.Store()
        def work():
            for _ in range(5):
                with store.start_run("threads") as run:
                    run.log(loss=1)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        pids = []
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    with store.start_run("child") as run:
                        run.log(loss=1)
                    store.close()
                    status = 0
                finally:
                    os._exit(status)
            pids.append(pid)
        assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
        """,
    )
    # Python warns of any fork beside threads; that it works is what is tested.
    small.python("-W", "ignore::DeprecationWarning", "threads.py")
    runs = mm.Store(small.store_path).runs()
    assert len(runs) == 23
    for run in runs:
        assert run.code.files == ["lib/core.py", "threads.py"]
        assert capture.PENDING not in run.code.version.left_out
        assert run.environment is not None


def test_no_thread_stays(store):
    for _ in range(3):
        with store.start_run():
            pass
    assert not [thread for thread in threading.enumerate() if thread.name == "modelmgmt-code" and thread.is_alive()]


# -- switched off, chosen -----------------------------------------------------------------------------------------------


def test_switched_off(small):
    run = small.run("train.py", MODELMGMT_CODE="off")
    assert run.code.versions == []
    assert not run.code
    with pytest.raises(NotFoundError, match="MODELMGMT_CODE"):
        _ = run.code.files
    assert run.environment is not None
    small.write("off.py", TRAIN.replace('params={"lr": 1}', "code=False"))
    assert small.run("off.py").code.versions == []


def test_chosen_files_are_kept_as_they_are_at_each_start(small):
    small.write("conf/a.toml", "a = 1\n")
    small.write("conf/.env", "KEY=1\n")
    small.write(
        "chosen.py",
        """
        import pathlib
        import modelmgmt as mm
        for number in range(2):
            with mm.start_run("chosen", code=["conf/*", "none/*.toml"]) as run:
                pathlib.Path("conf/a.toml").write_text(f"after = {number}\\n")
        """,
    )
    small.python("chosen.py")
    second, first = mm.Store(small.store_path).runs()
    assert first.code.at(0).read("conf/a.toml") == "a = 1\n"
    assert first.code.files == ["chosen.py", "conf/a.toml"]
    assert second.code.at(0).read("conf/a.toml") == "after = 0\n"
    assert "secret" in notes(first)["conf/.env"]
    assert "none/*.toml" in notes(first)


@pytest.mark.parametrize(
    ("code", "error"),
    [("*.py", InvalidTypeError), (3, InvalidTypeError), ([3], InvalidTypeError), (["/etc/*"], InvalidValueError),
     (["../*"], InvalidValueError), ([""], InvalidValueError)],
)  # fmt: skip
def test_what_is_no_choice_of_code(store, code, error):
    with pytest.raises(error):
        store.start_run(code=code)
    assert store.runs().to_frame().empty


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_a_broken_head(small):
    small.commit()
    (small.root / ".git" / "HEAD").write_text("nonsense\n")
    run = small.run("train.py")
    assert run.code.files == ["lib/core.py", "train.py"]
    assert "git could not say" in notes(run)["git"]
    (small.root / ".git" / "HEAD").write_text("ref: refs/heads/gone\n")
    run = small.run("train.py")
    assert run.code.version.git_commit is None
    assert "+def value():" in run.code.uncommitted  # the index has it, and no commit


def test_a_repository_without_a_commit_and_a_bare_one(small):
    small.git("init", "-q")
    run = small.run("train.py")
    assert run.code.version.git_commit is None
    assert run.code.files == ["lib/core.py", "train.py"]
    subprocess.run(["git", "init", "-q", "--bare", small.root / "bare"], check=True, capture_output=True)
    small.write("bare/bare.py", "import modelmgmt as mm\nwith mm.start_run('bare'): pass\n")
    (small.root / ".git").rename(small.root / "no-git")
    assert small.run("bare.py", cwd="bare").code.files == ["bare.py"]


def test_a_submodule(small, tmp_path):
    other = type(small)(tmp_path / "other", small.store_path)
    other.write("sub.py", "import modelmgmt as mm\nwith mm.start_run('sub'): pass\n")
    commit = other.commit()
    small.commit()
    small.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other.root), "sub")
    small.commit()
    run = small.run("sub.py", cwd="sub")
    assert run.code.version.git_commit == commit
    assert run.code.version.script == "sub.py"
    small.write("sub/sub.py", "x = 1\n")
    run = small.run("train.py")
    assert run.code.version.is_dirty


def test_git_is_not_installed(small, tmp_path):
    small.commit()
    run = small.run("train.py", PATH=str(tmp_path))
    assert run.code.files == ["lib/core.py", "train.py"]
    assert "not installed" in notes(run)["git"]


def hanging_git(tmp_path, monkeypatch, script):
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(script)
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent))
    monkeypatch.setattr(git, "TIMEOUT_S", 0.2)


def test_git_that_hangs(small, tmp_path, monkeypatch):
    small.commit()
    hanging_git(tmp_path, monkeypatch, f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    state = git.look(small.root)
    assert state.commit is None
    assert "within" in state.left_out[0][1]


def test_git_that_hangs_with_a_process_of_its_own(small, tmp_path, monkeypatch):
    """As `git status` does, which asks each submodule with another git, that has the same output open."""
    small.commit()
    hanging_git(tmp_path, monkeypatch, f"#!/bin/sh\n{sys.executable} -c 'import time; time.sleep(60)'\nexit 1\n")
    asking = threading.Thread(target=git.look, args=(small.root,), daemon=True)
    asking.start()
    asking.join(30)
    assert not asking.is_alive()


@pytest.mark.skipif(sys.platform != "linux", reason="a name that is not UTF-8 needs a file system that takes any bytes")
def test_a_folder_whose_name_is_not_utf8(tmp_path):
    odd = Project(tmp_path / os.fsdecode(b"caf\xe9"), tmp_path / "store")
    odd.write("train.py", TRAIN)
    odd.write("lib/core.py", CORE)
    odd.write(os.fsdecode(b"sub\xff/train.py"), TRAIN)
    run = odd.run("train.py")
    assert run.code.files == ["lib/core.py", "train.py"]
    assert run.code.version.root == str(tmp_path / "caf\\xe9")
    assert "not UTF-8" in notes(run)[run.code.version.root]
    below = odd.run("../train.py", os.fsdecode(b"an \xff argument"), cwd=os.fsdecode(b"sub\xff"))
    assert below.code.version.cwd == "sub\\xff"
    assert below.code.version.script == "train.py"
    assert mm.Store(odd.store_path).check() == []


def test_a_million_untracked_files_are_not_looked_at(small):
    """Not a million, but enough to see that none of them is in what git was asked for."""
    small.commit()
    for number in range(500):
        small.write(f"data/{number}.txt", "x")
    version = small.run("train.py").code.version
    assert version.is_dirty is False
    assert version.left_out == ()


def test_a_huge_change_is_a_note(small):
    small.write("notes.txt", "x\n")
    small.write("big.txt", "x\n")
    small.commit()
    small.write("notes.txt", "y\n" * 10)
    small.write("big.txt", "y" * 2_000_000)
    run = small.run("train.py")
    assert "more than" in notes(run)["big.txt"]
    assert "notes.txt" in run.code.uncommitted


def test_files_that_can_not_be_kept_are_notes(small):
    small.write(
        "odd.py",
        """
        import importlib.util, os, sys, types
        import modelmgmt as mm

        def load(path, name):
            spec = importlib.util.spec_from_file_location(name, path)
            sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])

        here = os.path.dirname(os.path.abspath(__file__))
        for number, name in enumerate([b"caf\\xe9.py", b"two\\nlines.py", b"credentials.py", b"gone.py"]):
            path = os.path.join(os.fsencode(here), name)
            with open(path, "w") as file:
                file.write("x = 1\\n")
            load(os.fsdecode(path), f"odd{number}")
        os.unlink("gone.py")
        os.symlink("loop.py", "loop.py")
        odd = {"loop": "loop.py", "folder": "lib", "library": "fast.so", "none": None, "text": "<string>"}
        for name, file in odd.items():
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__file__ = file and os.path.join(here, file)
        class Rude(types.ModuleType):
            def __getattr__(self, name): raise RuntimeError("no")
        sys.modules["rude"] = Rude("rude")
        sys.modules["nothing"] = None
        with open("big.py", "w") as file:
            file.write("#" * 1_100_000)
        load(os.path.join(here, "big.py"), "big")
        with mm.start_run("odd") as run:
            run.log(loss=1)
        """,
    )
    run = small.run("odd.py")
    assert run.status == "finished"
    assert run.code.files == ["odd.py"]
    found = notes(run)
    assert "can be kept everywhere" in found["caf\\udce9.py"]
    assert "can be kept everywhere" in found["two\\nlines.py"]
    assert "secret" in found["credentials.py"]
    assert "No such file" in found["gone.py"]
    assert "symbolic links" in found["loop.py"]
    assert "compiled" in found["fast.so"]
    assert "1,048,576" in found["big.py"]
    assert mm.Store(small.store_path).check(deep=True) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_a_note(small):
    small.write("unreadable.py", TRAIN.replace("with mm", "import os; os.chmod('lib/core.py', 0)\n    with mm", 1))
    run = small.run("unreadable.py")
    assert "denied" in notes(run)["lib/core.py"]


def test_a_working_folder_that_is_gone(small):
    small.write(
        "gone.py", TRAIN.replace("with mm", "import os; os.mkdir('x'); os.chdir('x'); os.rmdir('../x')\n    with mm")
    )
    assert small.run("gone.py").metrics == {"loss": 1.0}


def test_a_file_that_changed_after_the_process_began_is_a_note(small):
    small.write(
        "changed.py", TRAIN.replace("with mm", "import os; os.utime('lib/core.py', (4e9, 4e9))\n    with mm", 1)
    )
    assert "may be older" in notes(small.run("changed.py"))["lib/core.py"]


# -- pure --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [".env", ".env.local", "prod.env", "a/server.PEM", "id_rsa", "credentials.json", "Secrets.py", ".aws/config",
     "deploy/.ssh/known", "my-credentials.py", "tls.key", ".netrc", "terraform.tfvars",
     "client_secret_12.apps.json", "conf/secret.yaml", "hf_token.txt", "token.json", "my.apikey.txt", "prod-passwords.yml",
     "terraform.tfstate.backup", "kaggle.json", "auth.json", "gcp-key.json", "deploy_key", "rclone.conf", ".vault_pass",
     "conf/hf_token", "signing_key.json", "oauth2.json", "db.passwd", ".databrickscfg", "private_key_2.txt"],
)  # fmt: skip
def test_secrets(path):
    assert "secret" in why_not(path, 1)


@pytest.mark.parametrize("path", ["train.py", "environment.py", "env.py", "keys.py", "tokenizer.py", "a/monkey.py",
    "keyboard.json", "auth.py", "passes.txt", "compass.conf",
    "tokenizer.json", "special_tokens_map.json", "tokens.txt", "secretary.json", "tests/test_token.py"])  # fmt: skip
def test_no_secrets(path):
    assert why_not(path, 1) is None


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://token@example.org/a/b.git", "https://example.org/a/b.git"),
        ("https://a:b@c@example.org:8443/x", "https://example.org:8443/x"),
        ("http://example.org/x?token=1#y", "http://example.org/x"),
        ("ssh://git:pw@example.org/x", "ssh://git@example.org/x"),
        ("git@example.org:a/b.git", "git@example.org:a/b.git"),
        ("/home/a/b", "/home/a/b"),
        ("https:me:pw@example.org/x", "example.org/x"),
        ("https://[broken", "(an address that cannot be read)"),
        ("git+https://me:pw@example.org/x", "git+https://example.org/x"),
    ],
)
def test_credentials_are_stripped(url, kept):
    assert git.without_credentials(url) == kept


def test_notes_are_bounded_and_printable():
    found = bounded([(f"file{number}\n\ud800", "why") for number in range(1000)])
    assert len(found) == MAX_NOTES
    assert found[-1][0] == f"{1000 - MAX_NOTES + 1} more"
    assert all(what.isprintable() and what.encode() for what, _ in found)
    assert readable("ok é") == "ok é"
