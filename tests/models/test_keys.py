"""The user's keys: made once, read by nobody else, and never believed when somebody else may have had a hand in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelmgmt.errors import InvalidNameError, InvalidValueError, KeyFileError, NotFoundError
from modelmgmt.models.trust import keys

NOBODY = 65534
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs to give a file away")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.mark.parametrize("algorithm", ["ed25519", "hmac-sha256"])
def test_a_key_is_made_once_and_for_its_user_alone(folder, algorithm):
    if algorithm == "ed25519":
        pytest.importorskip("cryptography")
    key = keys.own_key(algorithm)
    path = folder / f"{algorithm}.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert keys.own_key(algorithm) == key
    assert key.secret.hex() not in repr(key)
    assert os.listdir(folder) == [path.name], "nothing is left over"
    assert key.fingerprint != keys.fingerprint(algorithm, bytes(32))


def test_looking_makes_nothing(folder):
    assert keys.own_key("hmac-sha256", make=False) is None
    assert keys.own_keys() == []
    assert keys.trusted_keys() == {}
    assert not folder.exists()


def test_without_cryptography_the_key_is_an_hmac(folder, monkeypatch):
    monkeypatch.setattr(keys, "has_ed25519", lambda: False)
    assert keys.own_key().algorithm == "hmac-sha256"
    assert keys.own_key().public is None


def test_many_processes_make_one_key(folder):
    code = "from modelmgmt.models.trust import keys; print(keys.own_key('hmac-sha256').fingerprint)"
    command = [sys.executable, "-c", code]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    assert len({process.communicate()[0] for process in started}) == 1
    assert all(process.returncode == 0 for process in started)
    assert os.listdir(folder) == ["hmac-sha256.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_private_key_that_others_may_read_is_not_used(folder, mode):
    keys.own_key("hmac-sha256")
    (folder / "hmac-sha256.key").chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        keys.own_key("hmac-sha256")


def test_a_folder_that_others_may_write_is_not_believed(folder):
    keys.own_key("hmac-sha256")
    folder.chmod(0o777)
    with pytest.raises(KeyFileError, match="chmod 700"):
        keys.own_key("hmac-sha256")


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_list_that_others_may_change_is_not_believed(folder, mode):
    keys.trust_key("a" * 64, "Build server")
    (folder / "trusted.json").chmod(mode)
    with pytest.raises(KeyFileError, match="Others may change"):
        keys.trusted_keys()


def test_a_list_that_others_may_read_is(folder):
    keys.trust_key("a" * 64, "Build server")
    (folder / "trusted.json").chmod(0o644)
    assert list(keys.trusted_keys()) == ["a" * 64]


@is_root
def test_a_file_of_another_user_is_not_believed(folder):
    keys.own_key("hmac-sha256")
    os.chown(folder / "hmac-sha256.key", NOBODY, NOBODY)
    with pytest.raises(KeyFileError, match=f"belongs to user {NOBODY}"):
        keys.own_key("hmac-sha256")


@pytest.mark.parametrize(
    "content", ["", "{}", "not json", "[1]", '{"format": "modelmgmt.key/2"}', '{"format": "modelmgmt.key/1", "secret": "zz"}',
                '{"format": "modelmgmt.key/1", "algorithm": "hmac-sha256", "secret": "00"}', "[" * 100_000, "x" * (1 << 21)]
)  # fmt: skip
def test_a_file_that_is_no_key(folder, content):
    folder.mkdir(mode=0o700)
    path = folder / "hmac-sha256.key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError):
        keys.own_key("hmac-sha256")
    assert path.read_text() == content, "it is not replaced: it may be somebody's only copy"


def test_a_pipe_or_folder_in_the_place_of_a_key(folder):
    folder.mkdir(mode=0o700)
    os.mkfifo(folder / "hmac-sha256.key", 0o600)
    with pytest.raises(KeyFileError, match="not a file"):
        keys.own_key("hmac-sha256")


@pytest.mark.parametrize("blocked", ["/proc/nowhere", "/dev/null/config"])
def test_a_home_that_can_not_be_written(monkeypatch, blocked):
    monkeypatch.setenv("MODELMGMT_CONFIG", blocked)
    with pytest.raises(KeyFileError, match="MODELMGMT_CONFIG"):
        keys.own_key("hmac-sha256")
    with pytest.raises(KeyFileError):
        keys.trust_key("a" * 64, "x")


def test_where_the_folder_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MODELMGMT_CONFIG", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert keys.config_folder() == tmp_path / ".config" / "modelmgmt"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert keys.config_folder() == tmp_path / ".config" / "modelmgmt"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "x"))
    assert keys.config_folder() == tmp_path / "x" / "modelmgmt"


def test_without_a_home(monkeypatch):
    for variable in ("MODELMGMT_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)

    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(KeyFileError, match="no home folder"):
        keys.config_folder()


def test_no_key_lies_in_a_store(folder, tmp_path):
    with pytest.raises(KeyFileError, match="inside the store"):
        keys.own_key("hmac-sha256", outside=tmp_path)


def test_the_list_of_trusted_keys(folder):
    keys.trust_key("a" * 64, "Build server", "runs our CI")
    keys.trust_key("b" * 64, "Mira's laptop")
    path = folder / "trusted.json"
    content = json.loads(path.read_text())
    content["later"] = {"kept": True}
    content["keys"]["a" * 64]["team"] = "x"
    path.write_text(json.dumps(content))
    keys.trust_key("a" * 64, "Build server", "moved")
    found = keys.trusted_keys()["a" * 64]
    assert (found.name, found.reason) == ("Build server", "moved")
    content = json.loads(path.read_text())
    assert content["later"] == {"kept": True}
    assert content["keys"]["a" * 64]["team"] == "x"
    keys.distrust_key("Mira's laptop")
    assert list(keys.trusted_keys()) == ["a" * 64]
    with pytest.raises(NotFoundError, match="trust list"):
        keys.distrust_key("Mira's laptop")


@pytest.mark.parametrize("bad", ["", "a" * 16, "A" * 64, "a" * 63 + "g", "../" * 10])
def test_only_whole_fingerprints_are_trusted(folder, bad):
    with pytest.raises(InvalidValueError):
        keys.trust_key(bad, "x")
    with pytest.raises(InvalidNameError):
        keys.trust_key("a" * 64, "x\n")


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": "modelmgmt.trusted/1"}', '{"format": "modelmgmt.trusted/1", "keys": {"x": {}}}']
)
def test_a_damaged_list_trusts_nobody(folder, content):
    folder.mkdir(mode=0o700)
    path = folder / "trusted.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError):
        keys.trusted_keys()


def test_two_at_once_both_count(folder):
    code = "import sys; from modelmgmt.models.trust import keys; keys.trust_key(sys.argv[1] * 64, 'key ' + sys.argv[1])"
    started = [subprocess.Popen([sys.executable, "-c", code, digit]) for digit in "0123456789"]
    assert [process.wait() for process in started] == [0] * 10
    assert len(keys.trusted_keys()) == 10
