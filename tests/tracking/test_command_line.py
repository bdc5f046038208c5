"""The command line that a run keeps: it can be run again, and has no password in it."""

from __future__ import annotations

import shlex

import pytest

from modelmgmt.tracking.command_line import without_secrets


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
    assert store.run(done.stdout.strip()).record.command.endswith("'--token=***' --lr 3")
    for path in store.path.rglob("*"):
        assert not path.is_file() or b"hunter2x" not in path.read_bytes(), path
