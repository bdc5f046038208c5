"""The command line that a run keeps: it can be run again, and has no password in it."""

from __future__ import annotations

import shlex
import sys
import types

import pytest

from modelmgmt.tracking.command_line import command_line, without_secrets


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("x.py --token=abc", "x.py --token=***"),
        ("x.py --token abc --lr 1", "x.py --token *** --lr 1"),
        ("x.py --HF_TOKEN abc", "x.py --HF_TOKEN ***"),
        ("x.py --db-password=a=b", "x.py --db-password=***"),
        ("x.py -password abc", "x.py -password ***"),
        ("x.py --api-key k --secret s", "x.py --api-key *** --secret ***"),
        ("x.py +wandb.api_key=k aws.secret_access_key=s", "x.py +wandb.api_key=*** aws.secret_access_key=***"),
        ("x.py --data=https://me:pw@host/a?b=1", "x.py --data=https://***@host/a?b=1"),
        ("x.py https://token@host/a.git", "x.py https://***@host/a.git"),
        ("x.py mysql://me:p@ss@host/db", "x.py mysql://***@host/db"),
    ],
)
def test_secrets_are_hidden(given, kept):
    assert without_secrets(shlex.split(given)) == shlex.split(kept)


@pytest.mark.parametrize(
    "command",
    [
        "x.py --max-tokens 100 --tokenizer gpt2 --pad-token <pad> --eos_token=</s>",
        "x.py --use-token train.csv --token --lr 1",
        "x.py --key id --monkey=1 --sort-key a keyboard=us",
        "x.py ssh://git@host/a.git https://host/a?b=c@d s3://bucket/x file:///a/b@c",
        "x.py --token= http://[::1 a=b",
    ],
)
def test_what_is_no_secret_stays(command):
    words = shlex.split(command)
    assert without_secrets(words) == words


def test_the_run_the_store_and_its_journal_have_no_token(store, script):
    done = script("with mm.start_run('x') as run: run.log({'a': 1}); print(run.id)", "--token=hunter2x", "--lr", "3")
    assert done.returncode == 0, done.stderr
    assert store.runs[done.stdout.strip()].command.endswith("'--token=***' --lr 3")
    for path in store.path.rglob("*"):
        assert not path.is_file() or b"hunter2x" not in path.read_bytes(), path


def kernel(monkeypatch, argv, user_ns, **attributes):
    shell = types.SimpleNamespace(user_ns=user_ns, **attributes)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(sys, "orig_argv", argv)


LAUNCHER = ["/usr/bin/python", "-m", "ipykernel_launcher", "-f", "/root/.local/share/jupyter/runtime/kernel-1.json"]


@pytest.mark.parametrize(
    ("argv", "user_ns", "session", "kept"),
    [
        (LAUNCHER, {}, None, "notebook"),
        (LAUNCHER, {}, "/home/me/my work/train.ipynb", "notebook train.ipynb"),
        (LAUNCHER, {}, "train run.ipynb", "notebook 'train run.ipynb'"),
        (LAUNCHER, {"__vsc_ipynb_file__": "c:\\work\\Train.ipynb"}, None, "notebook Train.ipynb"),
        (["/usr/bin/python3", "-m", "colab_kernel_launcher", "-f", "k.json"], {}, None, "notebook"),
        (["python", "-m", "spyder_kernels.console"], {}, "kernel-5", "notebook"),
    ],
)
def test_a_notebook_is_named_and_not_the_command_of_its_kernel(store, monkeypatch, argv, user_ns, session, kept):
    kernel(monkeypatch, argv, user_ns, kernel=object())
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    if session is not None:
        monkeypatch.setenv("JPY_SESSION_NAME", session)
    with store.start_run("a", code=False) as run:
        pass
    assert store.runs(f"run.command = '{kept.replace(chr(39), chr(39) * 2)}'").ids == [run.id]
    assert "launcher" not in run._repr_html_()


@pytest.mark.parametrize(
    ("argv", "seen", "kept"),
    [
        (
            ["python", "-m", "debugpy", "--listen", "5678", "train.py", "--lr", "1"],
            ["train.py", "--lr", "1"],
            "python train.py --lr 1",
        ),
        (
            ["/usr/bin/python", "/home/me/.vscode/debugpy/launcher/../../debugpy", "--connect", "127.0.0.1:1", "t.py"],
            ["t.py"],
            "/usr/bin/python t.py",
        ),
        (
            ["python", "/opt/pycharm/pydevd.py", "--file", "t.py", "--token", "x"],
            ["t.py", "--token", "x"],
            "python t.py --token '***'",
        ),
        (["python", "-m", "pytest", "-q"], ["pytest/__main__.py", "-q"], "python -m pytest -q"),
        (["python", "debugpy_demo.py"], ["debugpy_demo.py"], "python debugpy_demo.py"),
        (["python", "/usr/bin/ipython"], ["/usr/bin/ipython"], "python /usr/bin/ipython"),
    ],
)
def test_a_debugger_is_no_part_of_the_command(monkeypatch, argv, seen, kept):
    kernel(monkeypatch, argv, {})  # IPython in a terminal has no kernel
    monkeypatch.setattr(sys, "argv", seen)
    assert command_line() == kept
