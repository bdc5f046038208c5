"""Signatures of packages: who wrote what. Alone writes the table `signatures`.

Signed is the digest of the package's tree, which names every byte of it, with a word before it that says what the
signature is for: it cannot be passed off as a signature of anything else. A signature by Ed25519 carries its public key,
whose fingerprint is the name of the key: it is checked without asking anybody. One by HMAC is checked by its holder only.
"""

from __future__ import annotations

import hmac
import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import CorruptDataError, InvalidValueError, KeyFileError, warn
from modelmgmt.models.trust import keys
from modelmgmt.store.objects import check_digest
from modelmgmt.store.rows import row_crc, verified
from modelmgmt.store.times import now_iso

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

_PURPOSE = "modelmgmt.signature/1"
_COLUMNS = "package, key, algorithm, public_key, signature, signed_at, crc"


@dataclass(frozen=True, slots=True)
class Signature:
    """One row of the table. `key` is a fingerprint; `public_key` and `signature` are hex; `signed_at` is signed, too."""

    package: str
    key: str
    algorithm: str
    public_key: str | None
    signature: str
    signed_at: str

    @property
    def message(self) -> bytes:
        """The bytes that are signed: what for, the digest of the tree, the time, one a line."""
        return f"{_PURPOSE}\n{self.package}\n{self.signed_at}\n".encode()


def sign(kernel: Kernel, digest: str) -> Signature | None:
    """Sign a package, by the digest of its tree, with the user's own key, made when there is none. Again: the same.

    On return the signature survives a power cut. When no key can be made or read (no home, a read-only one, a key file
    that others may read), there is a warning and None: the package is kept, unsigned. Raises StoreWriteError.
    """
    try:
        key = keys.own_key(outside=kernel.path)
    except KeyFileError as error:
        warn(f"What was logged is stored without a signature: {error}")
        return None
    assert key is not None  # noqa: S101 - it was made
    return sign_with(kernel, digest, key)


def sign_with(kernel: Kernel, digest: str, key: keys.OwnKey) -> Signature:
    """Sign with a key that the caller has. Survives a power cut on return."""
    check_digest(digest)
    public = None if key.public is None else key.public.hex()
    blank = Signature(digest, key.fingerprint, key.algorithm, public, "", now_iso())
    made = Signature(digest, blank.key, blank.algorithm, public, key.sign(blank.message).hex(), blank.signed_at)
    with kernel.database.writing(durable=True) as connection:
        known = [other for other in _sound_rows(connection, digest) if other.key == made.key]
        if known and is_valid(known[0], key):
            return known[0]
        _write(connection, made)
    return made


def add(kernel: Kernel, signature: Signature) -> None:
    """Keep a signature that came with a package from elsewhere. Survives a power cut on return.

    Raises InvalidValueError for one by Ed25519 that does not fit. Whether its key is trusted is asked at each load.
    """
    refuse_invalid(signature)
    with kernel.database.writing(durable=True) as connection:
        if not any(other == signature for other in _sound_rows(connection, signature.package)):
            _write(connection, signature)


def refuse_invalid(signature: Signature) -> None:
    """Raises InvalidValueError for a signature by Ed25519 that does not fit."""
    check_digest(signature.package)
    if signature.algorithm == "ed25519" and keys.has_ed25519() and not is_valid(signature):
        raise InvalidValueError(
            f"The signature of {signature.package} by {signature.key} is not valid: ask for another."
        )


def bring(kernel: Kernel, other: Kernel) -> int:
    """Take the signatures that another store has of packages that are in this one; how many came. Survives a power cut.

    What came with them was merged before. A signature says nothing by itself: its key is asked for at each load.
    """
    with other.database.reading() as connection:
        packages = [digest for (digest,) in connection.execute("SELECT DISTINCT package FROM signatures ORDER BY 1")]
        found = [each for digest in packages if kernel.objects.has(digest) for each in _sound_rows(connection, digest)]
    with kernel.database.writing(durable=True) as connection:
        new = [each for each in found if each.key not in {known.key for known in _sound_rows(connection, each.package)}]
        for signature in new:
            _write(connection, signature)
    return len(new)


def read(kernel: Kernel, digest: str) -> list[Signature]:
    """Every signature of a package as it is kept, by key; not checked. A damaged row is left out, with a warning."""
    with kernel.database.reading() as connection:
        return _sound_rows(connection, digest)


def verify(kernel: Kernel, digest: str) -> list[Signature]:
    """The signatures of a package that fit, by key: by Ed25519, and by the HMAC keys that this user holds.

    It says who wrote the package, not whether to trust them: `modelmgmt.models.trust.decision.decide` does. Raises
    KeyFileError when an HMAC key is needed and its file is not believed.
    """
    found = read(kernel, digest)
    own = None
    if any(signature.algorithm == "hmac-sha256" for signature in found):
        own = keys.own_key("hmac-sha256", make=False)
    return [signature for signature in found if is_valid(signature, own)]


def is_valid(signature: Signature, own: keys.OwnKey | None = None) -> bool:
    """Whether a signature fits. `own` is the key for one by HMAC. One that cannot be checked here does not count."""
    try:
        claimed = bytes.fromhex(signature.signature)
        public = bytes.fromhex(signature.public_key or "")
    except ValueError:
        return False
    if signature.algorithm == "hmac-sha256":
        is_own = own is not None and own.algorithm == signature.algorithm and own.fingerprint == signature.key
        return is_own and own is not None and hmac.compare_digest(own.sign(signature.message), claimed)
    if signature.algorithm != "ed25519" or keys.fingerprint("ed25519", public) != signature.key:
        return False
    return keys.has_ed25519() and _fits(public, claimed, signature.message)


def _fits(public: bytes, signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _write(connection: sqlite3.Connection, signature: Signature) -> None:
    values: tuple[Any, ...] = astuple(signature)
    statement = f"INSERT OR REPLACE INTO signatures ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
    connection.execute(statement, (*values, row_crc("signatures", values)))


def _sound_rows(connection: sqlite3.Connection, digest: str) -> list[Signature]:
    statement = f"SELECT {_COLUMNS} FROM signatures WHERE package = ? ORDER BY key"
    return [signature for row in connection.execute(statement, (digest,)) for signature in _sound(row)]


def _sound(row: Sequence[Any]) -> list[Signature]:
    try:
        return [Signature(*verified("signatures", row))]
    except CorruptDataError as error:
        warn(f"A signature was ignored: {error}")
        return []
