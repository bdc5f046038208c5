"""The user's own signing keys, and the keys of others whom the user trusts. Alone writes the user's configuration folder.

    ~/.config/modelmgmt/ed25519.key       the private key, mode 0600: signatures that anybody can check
    ~/.config/modelmgmt/hmac-sha256.key   the same for where `cryptography` is not installed: only its holder can check
    ~/.config/modelmgmt/trusted.json      fingerprints of keys, with a name, when, why

`$MODELMGMT_CONFIG` names another folder, else `$XDG_CONFIG_HOME/modelmgmt`. No key is ever in a store: whoever can write
to a store could sign with it. A file that others may write, or a private key that others may read, is not believed.
"""

from __future__ import annotations

import hmac
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from modelmgmt.errors import InvalidValueError, KeyFileError, NotFoundError, printable
from modelmgmt.store.disk import sync_folder
from modelmgmt.store.names import check_name, shown
from modelmgmt.store.objects import check_digest
from modelmgmt.store.times import now_iso

Algorithm = Literal["ed25519", "hmac-sha256"]
ALGORITHMS: tuple[Algorithm, ...] = ("ed25519", "hmac-sha256")

KEY_FORMAT = "modelmgmt.key/1"
TRUSTED_FORMAT = "modelmgmt.trusted/1"
_TRUSTED = "trusted.json"
_LOCK_TIMEOUT_S = 10.0
_MAX_BYTES = 1 << 20  # of a file of ours


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A private key of this user. `fingerprint` is the SHA-256 that others know it by."""

    algorithm: Algorithm
    secret: bytes
    created_at: str

    def __repr__(self) -> str:
        return printable(f"<OwnKey {self.algorithm} {self.fingerprint}>")  # the secret is for no log

    @property
    def public(self) -> bytes | None:
        """What others check signatures with, 32 bytes; None for HMAC, which has no such half."""
        if self.algorithm == "hmac-sha256":
            return None
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        public: bytes = Ed25519PrivateKey.from_private_bytes(self.secret).public_key().public_bytes_raw()
        return public

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the public key, or of the secret of an HMAC, which is random and so not to be guessed from it."""
        return fingerprint(self.algorithm, self.secret if self.public is None else self.public)

    def sign(self, message: bytes) -> bytes:
        """The signature: 64 bytes for Ed25519, 32 for HMAC-SHA-256."""
        if self.algorithm == "hmac-sha256":
            return hmac.digest(self.secret, message, "sha256")
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        signature: bytes = Ed25519PrivateKey.from_private_bytes(self.secret).sign(message)
        return signature


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key of somebody else that this user trusts to write executable models."""

    fingerprint: str
    name: str
    reason: str
    added_at: str


def fingerprint(algorithm: str, key: bytes) -> str:
    """The name of a key: SHA-256 over what it is for, its algorithm and its bytes.

    >>> fingerprint("ed25519", bytes(32))[:16]
    '01ea8b05c2f58990'
    """
    return sha256(b"modelmgmt.key/1\0" + algorithm.encode() + b"\0" + key).hexdigest()


def config_folder() -> Path:
    """`$MODELMGMT_CONFIG`, else `$XDG_CONFIG_HOME/modelmgmt`, else `~/.config/modelmgmt`.

    Raises KeyFileError when there is no home.
    """
    named = os.environ.get("MODELMGMT_CONFIG")
    if named:
        return Path(named).expanduser()
    shared = os.environ.get("XDG_CONFIG_HOME", "")
    if Path(shared).is_absolute():  # what the specification asks for; a relative one would depend on the working folder
        return Path(shared) / "modelmgmt"
    try:
        return Path.home() / ".config" / "modelmgmt"
    except RuntimeError as error:
        message = "There is no home folder for a signing key: set MODELMGMT_CONFIG to a folder of your own."
        raise KeyFileError(message) from error


def has_ed25519() -> bool:
    """Whether `cryptography` is installed; it is not loaded."""
    return find_spec("cryptography") is not None


def own_key(algorithm: Algorithm | None = None, *, make: bool = True, outside: Path | None = None) -> OwnKey | None:
    """This user's key, made when there is none; None when there is none and `make` is false.

    By default Ed25519 where `cryptography` is installed, else HMAC. Any number of processes may ask at once: one makes
    it. On return it survives a power cut. `outside`: a store, in whose folder keys are refused. Raises KeyFileError.
    """
    algorithm = algorithm or ("ed25519" if has_ed25519() else "hmac-sha256")
    folder = config_folder()
    if outside is not None and Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(outside)):
        message = f"The folder for keys, {folder}, is inside the store {outside}: set MODELMGMT_CONFIG to another."
        raise KeyFileError(message)
    path = folder / f"{algorithm}.key"
    data = _read(path, private=True)
    if data is None and make:
        _make_key(path, algorithm)
        data = _read(path, private=True)
    return None if data is None else _decode_key(path, algorithm, data)


def own_keys() -> list[OwnKey]:
    """Every key that this user has and can use here. Makes none. Raises KeyFileError."""
    usable = [algorithm for algorithm in ALGORITHMS if algorithm != "ed25519" or has_ed25519()]
    return [key for key in (own_key(algorithm, make=False) for algorithm in usable) if key is not None]


def trusted_keys() -> dict[str, TrustedKey]:
    """The keys of others that this user trusts, by fingerprint. Raises KeyFileError for a list that is not believed."""
    entries = _read_trusted(config_folder() / _TRUSTED)["keys"]
    return {
        name: TrustedKey(name, *(str(entry.get(field, "")) for field in ("name", "reason", "added_at")))
        for name, entry in entries.items()
    }


def trust_key(key: str, name: str, reason: str = "") -> TrustedKey:
    """Trust what is written under a key from now on. Survives a power cut on return.

    `key` is the whole fingerprint, 64 hex digits: the beginning of one can be forged. Raises InvalidValueError,
    KeyFileError.
    """
    added = TrustedKey(check_digest(key), check_name(name, "name of a key"), reason, now_iso())
    with _changing_trusted() as content:
        entry = {"name": added.name, "reason": added.reason, "added_at": added.added_at}
        content["keys"][key] = {**content["keys"].get(key, {}), **entry}
    return added


def distrust_key(key: str) -> None:
    """Stop trusting a key; `key` is its fingerprint or its name. Raises NotFoundError when it was not trusted."""
    with _changing_trusted() as content:
        found = [other for other, entry in content["keys"].items() if key in (other, entry.get("name"))]
        if not found:
            raise NotFoundError(
                f"There is no trusted key called {shown(key)}: 'modelmgmt models trust list' shows them."
            )
        if len(found) > 1:
            raise InvalidValueError(f"{len(found)} trusted keys are called {shown(key)}: give the fingerprint.")
        del content["keys"][found[0]]


# ------------------------------------------------------------------------------------------- files


class _changing_trusted:  # noqa: N801 - used as a function
    """The list as it is, to change; written when the block ends, under a lock: two at once both count."""

    def __enter__(self) -> dict[str, Any]:
        from filelock import FileLock

        self._path = config_folder() / _TRUSTED
        _make_folder(self._path.parent)
        self._lock = FileLock(self._path.with_suffix(".lock"), timeout=_LOCK_TIMEOUT_S)
        try:
            self._lock.acquire()
        except (OSError, TimeoutError) as error:
            raise _refused("lock", self._path, error) from error
        try:
            self._content = _read_trusted(self._path)
        except BaseException:
            self._lock.release()
            raise
        return self._content

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                text = json.dumps(self._content, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
                _write(self._path, text.encode(), replace=True)
        finally:
            self._lock.release()


def _read_trusted(path: Path) -> dict[str, Any]:
    data = _read(path, private=False)
    if data is None:
        return {"format": TRUSTED_FORMAT, "keys": {}}
    content = _decode(path, data, TRUSTED_FORMAT)
    keys = content.get("keys")
    if not isinstance(keys, dict) or not all(isinstance(entry, dict) for entry in keys.values()):
        raise KeyFileError(
            f"{path} does not contain a mapping of keys: repair it, or remove it and trust the keys again."
        )
    for key in keys:
        try:
            check_digest(key)
        except InvalidValueError as error:
            raise KeyFileError(f"{path} contains a key that is not a fingerprint: {error}") from error
    return content


def _decode_key(path: Path, algorithm: Algorithm, data: bytes) -> OwnKey:
    content = _decode(path, data, KEY_FORMAT)
    try:
        secret = bytes.fromhex(content["secret"])
    except (KeyError, TypeError, ValueError) as error:
        raise KeyFileError(f"{path} contains no key: move it away, and a new one is made.") from error
    if content.get("algorithm") != algorithm or len(secret) != 32:
        raise KeyFileError(f"{path} contains no key of {algorithm}: move it away, and a new one is made.")
    return OwnKey(algorithm, secret, str(content.get("created_at", "")))


def _decode(path: Path, data: bytes, wanted: str) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise KeyFileError(f"{path} is not JSON ({error}): restore it, or move it away.") from error
    if not isinstance(content, dict) or content.get("format") != wanted:
        found = content.get("format") if isinstance(content, dict) else None
        raise KeyFileError(f"{path} does not have the format {wanted} (found {found!r}): upgrade, or move it away.")
    return content


def _make_key(path: Path, algorithm: Algorithm) -> None:
    content = {"format": KEY_FORMAT, "algorithm": algorithm, "secret": os.urandom(32).hex(), "created_at": now_iso()}
    _make_folder(path.parent)
    with suppress(FileExistsError):  # another process was first: its key is the one
        _write(path, json.dumps(content, indent=2).encode() + b"\n", replace=False)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _refused("make", folder, error) from error


def _write(path: Path, data: bytes, *, replace: bool) -> None:
    """The whole file or nothing, mode 0600 from its first moment. Raises FileExistsError unless `replace`."""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    except OSError as error:
        raise _refused("write", path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            Path(temporary).replace(path)
        else:
            os.link(temporary, path)  # a rename would take the place of another's key
        sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise _refused("write", path, error) from error
    finally:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()


def _read(path: Path, *, private: bool) -> bytes | None:
    """The bytes of a file that only this user can have written; None when there is none. Raises KeyFileError."""
    try:
        _refuse_shared_folder(path.parent)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except KeyFileError:
        raise
    except OSError as error:
        raise _refused("read", path, error) from error
    with os.fdopen(descriptor, "rb") as file:
        _refuse_shared(path, os.fstat(descriptor), private=private)
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise KeyFileError(f"{path} has more than {_MAX_BYTES:,} bytes: this library did not write it.")
    return data


def _refuse_shared(path: Path, found: os.stat_result, *, private: bool) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise KeyFileError(f"{path} is not a file: move it away.")
    if found.st_uid != os.geteuid():
        raise KeyFileError(f"{path} belongs to user {found.st_uid}, not to you, so it is not used: move it away.")
    if found.st_mode & (0o077 if private else 0o022):
        verb = "read or change" if private else "change"
        message = f"Others may {verb} {path} (mode {stat.S_IMODE(found.st_mode):04o}): 'chmod 600 {path}'"
        hint = ", and make a new key if they may have read it." if private else ", and look at what is in it."
        raise KeyFileError(message + hint)


def _refuse_shared_folder(folder: Path) -> None:
    found = folder.stat()
    if found.st_uid not in (os.geteuid(), 0) or found.st_mode & 0o022:
        mode = stat.S_IMODE(found.st_mode)
        message = f"Others may put files into {folder} (mode {mode:04o}, owner {found.st_uid}): 'chmod 700 {folder}'."
        raise KeyFileError(message)


def _refused(verb: str, path: Path, error: Exception) -> KeyFileError:
    why = error.strerror if isinstance(error, OSError) else error
    message = f"Could not {verb} {path} ({why}): check its permissions, or set MODELMGMT_CONFIG to another folder."
    refused = KeyFileError(message)
    refused.errno = getattr(error, "errno", None)
    return refused


def describe(keys: Mapping[str, TrustedKey], key: str) -> str:
    """How a key is shown: its name where the user gave it one, and the beginning of its fingerprint."""
    return f"{keys[key].name!r} ({key[:16]}...)" if key in keys else f"{key[:16]}..."
