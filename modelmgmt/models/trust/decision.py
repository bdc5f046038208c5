"""Whether bytes that may run code may be read: decided by the caller and the caller's keys, never by the bytes.

Writes nothing; reads the table `signatures` and the user's list of trusted keys.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Protocol

from modelmgmt.errors import InvalidTypeError, InvalidValueError, KeyFileError, UntrustedModelError
from modelmgmt.models.trust import keys, signing
from modelmgmt.store.objects import check_digest

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

Trust = bool | str | Collection[str] | None
"""What a caller says: None (ask the keys), True (for this call), False (never), the digest, or names of types."""

RESTRICTED = "restricted"
_PREFIX = "sha256:"


class HasDigest(Protocol):
    """A package: all that counts of it is which bytes it is."""

    @property
    def digest(self) -> str: ...


def decide(kernel: Kernel, package: HasDigest | str, trust: Trust = None) -> None:
    """Return when the caller allows that this package runs code as it is read; else raise UntrustedModelError.

    `package` is a package or the digest of its tree. With `trust=None` it is allowed when it was signed by this user or
    under a key in the user's list. `True` allows it for this call, `False` refuses it whoever signed it,
    `"sha256:..."` allows exactly these bytes. Names of types, and `"restricted"`, speak to the restricted reader, which
    runs nothing (`restricted_names`): they allow no more than None does.
    """
    digest = check_digest(package if isinstance(package, str) else package.digest)
    reason = distrust(kernel, digest, trust)
    if reason is not None:
        raise UntrustedModelError(f"{_what(digest)}, and {reason}")


def distrust(kernel: Kernel, digest: str, trust: Trust = None) -> str | None:
    """Why the caller does not trust a package, as the rest of a sentence and what to do; None when the caller does.

    It means the same for every format: `decide` asks it before code runs, and a format that runs none asks it before it
    makes types beyond the reviewed list. Raises InvalidTypeError, InvalidValueError for what is no value of `trust`.
    """
    if trust is True:
        return None
    if trust is False:
        return "trust=False was given: without it, your trusted keys decide."
    if isinstance(trust, str) and trust != RESTRICTED:
        given = _digest_of(trust)
        return None if given == digest else f"trust= names other bytes: {given}. These are sha256:{digest}."
    restricted_names(trust)  # a mistake in it is said before any key is asked
    reason = refusal(kernel, digest)
    return None if reason is None else f"{reason} {_HOW.format(digest=digest)}"


def check_trust(digest: str, trust: Trust) -> None:
    """Refuse a `trust` that cannot hold for these bytes, whatever their format needs. Asks no key.

    Raises UntrustedModelError for the digest of other bytes, InvalidTypeError and InvalidValueError for no value of it.
    """
    if isinstance(trust, str) and trust != RESTRICTED and _digest_of(trust) != digest:
        raise UntrustedModelError(f"trust= names other bytes: {_digest_of(trust)}. These are sha256:{digest}.")
    restricted_names(trust)


def is_trusted(kernel: Kernel, package: HasDigest | str) -> bool:
    """Whether `decide` would allow it by keys alone."""
    return refusal(kernel, check_digest(package if isinstance(package, str) else package.digest)) is None


def restricted_names(trust: object) -> frozenset[str] | None:
    """The names of types that the caller allows beyond the list that comes with the library; None when it named none.

    Not None means: read it with the restricted reader. `"restricted"` and an empty list add no name. Raises
    InvalidTypeError, InvalidValueError.

    >>> sorted(restricted_names(["churn.features.Encoder"])), restricted_names(True)
    (['churn.features.Encoder'], None)
    """
    if trust is None or isinstance(trust, bool):
        return None
    if isinstance(trust, str):
        return frozenset() if trust == RESTRICTED else None
    if not isinstance(trust, Collection) or isinstance(trust, bytes | bytearray):
        raise InvalidTypeError(f"trust is None, a bool, a digest or names of types, found {type(trust).__name__}.")
    return frozenset(check_type_name(name) for name in trust)


def check_type_name(name: Any) -> str:
    """Return `module.Type` as it is, or raise InvalidTypeError, InvalidValueError: no pattern, no prefix."""
    if not isinstance(name, str):
        raise InvalidTypeError(f"The name of a type is text, found {type(name).__name__}.")
    parts = name.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise InvalidValueError(f"{name[:80]!r} is not the full name of a type: write module.Type, without patterns.")
    return name


_HOW = (
    "If you know who wrote it: 'modelmgmt models trust add FINGERPRINT --name NAME'. If you know these bytes: "
    'trust="sha256:{digest}". To make plain objects without running code: trust="restricted". '
    "'modelmgmt models inspect' shows what is in it."
)


def _what(digest: str) -> str:
    return f"Reading the model {digest[:16]}... can run any code"


def _digest_of(trust: str) -> str:
    try:
        return check_digest(trust.removeprefix(_PREFIX))
    except InvalidValueError as error:
        message = (
            f'trust={trust[:80]!r} is neither "restricted" nor a digest "sha256:..." of 64 characters 0-9 and a-f.'
        )
        raise InvalidValueError(message) from error


def standings(kernel: Kernel, digest: str) -> dict[str, str]:
    """Key -> how it stands with this user, of every key that has signed a tree, as a person reads it.

    `not checked` are signatures that cannot be checked here: by HMAC under another's key, without cryptography, or when the
    user's keys cannot be read.
    """
    signatures = signing.read(kernel, digest)
    try:
        valid = {signature.key for signature in signing.verify(kernel, digest)}
        trusted, own = keys.trusted_keys(), {key.fingerprint for key in keys.own_keys()}
    except KeyFileError:
        return {signature.key: "not checked" for signature in signatures}
    known = {key: f"trusted as {kept.name!r}" for key, kept in trusted.items()} | dict.fromkeys(
        own, "the importer's own key"
    )
    return {
        signature.key: known.get(signature.key, "not trusted") if signature.key in valid else "not checked"
        for signature in signatures
    }


def refusal(kernel: Kernel, digest: str) -> str | None:
    """Why its keys alone do not let a tree be read here, as the rest of a sentence; None when one vouches for it."""
    found = signing.read(kernel, digest)
    if not found:
        return "it is not signed."
    try:
        valid = {signature.key for signature in signing.verify(kernel, digest)}
        trusted = keys.trusted_keys()
        own = {key.fingerprint for key in keys.own_keys()}
    except KeyFileError as error:
        return f"your keys could not be read. {error}"
    if valid & (own | trusted.keys()):
        return None
    if valid:
        return f"it is signed under {', '.join(sorted(valid))}, a key that you do not trust."
    if not keys.has_ed25519() and any(signature.algorithm == "ed25519" for signature in found):
        return "checking its signature needs cryptography: pip install 'modelmgmt[models]'."
    return "none of its signatures is valid under a key that you trust."
