"""A model package as one zip file that another store takes in.

    bundle.json          what the file is, the digest of the package, and the registered model that it was a version of
    tree.json            the manifest of the package: path, digest, size of each file
    signatures.json      who has signed the package
    files/PATH           the files

All members are stored, not compressed: an archive cannot grow while it is read. A member's name is looked up in the
manifest and never used as a path; what is read goes to objects by digest. All of it is checked before anything is kept:
each file has the digest and the size of the manifest, and the manifest is the package that the head names.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from modelmgmt.errors import (
    BundleError,
    CorruptDataError,
    InvalidNameError,
    InvalidTypeError,
    InvalidValueError,
    ModelmgmtError,
)
from modelmgmt.models.packaging.archive import UNSOUND, refusal
from modelmgmt.models.packaging.package import DESCRIPTION, Package, decode_description, read_package, refuse_other
from modelmgmt.models.registry.decisions import of_model
from modelmgmt.models.registry.imported import Origin, made_with
from modelmgmt.models.registry.naming import check_model_name
from modelmgmt.models.registry.projection import ENTERED, detail_of
from modelmgmt.models.registry.reference import Reference, Resolved, find_version
from modelmgmt.models.trust import signing
from modelmgmt.store import events
from modelmgmt.store.disk import THEIRS, reads, token, unreadable
from modelmgmt.store.names import shown
from modelmgmt.store.trees import Entry, Tree, Trees

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.store.sources import Reader

FORMAT = "modelmgmt.bundle/1"
HEAD, TREE, SIGNATURES, FILES = "bundle.json", "tree.json", "signatures.json", "files/"

_HEAD_LIMIT = 16 << 20  # bytes of each of the three members that are read whole
_MEMBERS_LIMIT = 100_000
_COPY = 1 << 20
_DATE = (1980, 1, 1, 0, 0, 0)  # the same package gives the same bundle


@dataclasses.dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle has brought: the package, now in the store, and what it says the registered model was called."""

    package: Package
    model: str | None
    origin: Origin
    """The file, what it says of where it was exported, what the package says of how it was made; not yet its signatures."""


def write_bundle(kernel: Kernel, package: Package, path: Path, found: Resolved) -> None:
    """Write the package that a reference led to, to the new file `path`, each file verified; on an error nothing is left."""
    head = {"format": FORMAT, "package": package.digest, "name": package.name, "exported": _exported(kernel, found)}
    if found.model is not None:
        head["model"] = found.model
    part = path.parent / f".{token()}.part"
    try:
        with zipfile.ZipFile(part, "x", zipfile.ZIP_STORED) as archive:
            _add(archive, HEAD, _json(head))
            _add(archive, TREE, package.tree.encode())
            rows = [dataclasses.asdict(signature) for signature in signing.read(kernel, package.digest)]
            _add(archive, SIGNATURES, _json(rows))
            for name, entry in package.tree.items():
                _add_object(kernel, archive, FILES + name, entry)
        os.link(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_bundle(kernel: Kernel, path: Path) -> Bundle:
    """Take the package in a bundle into the store: objects, and the signatures that fit. Nothing of it is executed.

    On return the objects survive a power cut; they are garbage until a row names the package. Raises BundleError for
    anything that `write_bundle` does not write.
    """
    with reads(path, but=THEIRS), path.open("rb") as file:
        own = hashlib.file_digest(file, "sha256").hexdigest()
        digest, head, signatures = _read(kernel, file, path)
    found = read_package(kernel, digest)
    for signature in signatures:
        signing.add(kernel, signature)
    model, told = head
    name = "".join(char if char.isprintable() else "?" for char in path.name)
    # What the bundle may say of itself is where it was exported, and no more.
    origin = Origin(
        "bundle", told.reference, store=told.store, event=told.event, file=name, digest=own,
        origin=None if told.origin is None else told.origin.as_claimed(),
    )  # fmt: skip
    return Bundle(found, model, dataclasses.replace(origin, **made_with(found.content)))


def _exported(kernel: Kernel, found: Resolved) -> dict[str, Any]:
    """What was exported, from which store, and where it had come from before. The same again, at each export."""
    with kernel.database.reading() as connection:
        store = events.log_of(connection)
        if found.model is None:
            return Origin("bundle", f"run:{found.run}/{found.artifact}", store=store).to_dict()
        row = find_version(connection, Reference(found.model, number=found.number))
        entered = (event for event in of_model(connection, row.model) if event.kind in ENTERED)
        event = next((event.hash for event in entered if detail_of(event).get("version") == row.number), None)
    origin = None if row.origin is None else Origin.decode(row.origin)
    return Origin("bundle", f"{row.model}:{row.number}", store=store, event=event, origin=origin).to_dict()


def _read(kernel: Kernel, file: BinaryIO, path: Path) -> tuple[str, tuple[str | None, Origin], list[signing.Signature]]:
    """The digest of the package, the model's name with what was exported, the signatures: not verified yet."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = _checked(archive, path)
            model, told, stated = _read_head(archive, members)
            tree = _read_tree(archive, members)
            digest = hashlib.sha256(tree.encode()).hexdigest()
            if stated != digest:
                raise BundleError(f"The bundle says that it is the package {shown(str(stated))}, and it is {digest}.")
            signatures = _signatures(_json_of(archive, members, SIGNATURES), digest)
            _check_files(archive, members, tree)
            try:
                refuse_other(tree, digest)
                decode_description(archive.read(members[FILES + DESCRIPTION]))
            except CorruptDataError as error:
                raise BundleError(f"{path} does not contain a model: {error}") from error
            for name, entry in tree.items():
                with archive.open(members[FILES + name]) as source:
                    kernel.objects.put_stream(_Bounded(source, entry.size), size=entry.size)
            return Trees(kernel.objects).put(tree), (model, told), signatures
    except UNSOUND as error:
        if isinstance(error, ModelmgmtError):
            raise
        if (refused := refusal(error)) is not None:
            raise unreadable(path, refused) from error
        raise BundleError(f"{path} is not a model bundle, or is damaged ({error}).") from error


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(_info(name), data)


def _add_object(kernel: Kernel, archive: zipfile.ZipFile, name: str, entry: Entry) -> None:
    info = _info(name)
    info.file_size = entry.size
    with kernel.objects.open(entry.digest) as source, archive.open(info, "w") as target:
        while block := source.read(_COPY):
            target.write(block)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info


def _json(content: object) -> bytes:
    return json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True).encode()


# ------------------------------------------------------------------------------------------------------------ reading


def _checked(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The members by name, when the archive is as we write it. Nothing has been read of them yet."""
    listed = archive.infolist()
    if len(listed) > _MEMBERS_LIMIT:
        raise BundleError(f"{path} has {len(listed):,} members: a model has fewer than {_MEMBERS_LIMIT:,}.")
    members: dict[str, zipfile.ZipInfo] = {}
    for member in listed:
        _check_member(member)
        if member.filename in members:
            raise BundleError(f"{path} has two members {shown(member.filename)}: it is not clear which one is meant.")
        members[member.filename] = member
    if sum(member.file_size for member in listed) > path.stat().st_size:
        raise BundleError(f"The members of {path} are larger than the file: members overlap.")
    for name in (HEAD, TREE, SIGNATURES):
        if name not in members:
            raise BundleError(f"{path} has no {name}: it is not a model bundle.")
    return members


def _check_member(member: zipfile.ZipInfo) -> None:
    name = shown(member.filename)
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG) or member.is_dir():
        raise BundleError(f"The member {name} is a folder, link or device, and a bundle contains only files.")
    if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
        raise BundleError(f"The member {name} is compressed, and the members of a bundle are not.")
    if member.flag_bits & 0x1:
        raise BundleError(f"The member {name} is encrypted, and the members of a bundle are not.")


def _read_head(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> tuple[str | None, Origin, object]:
    """The name of the registered model, None in a bundle of a model that was not registered; what was exported; the
    digest that the bundle says its package has.
    """
    head = _json_of(archive, members, HEAD)
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        written = head.get("format") if isinstance(head, dict) else head
        raise BundleError(f"The bundle has the format {shown(str(written))}, and this version reads {FORMAT!r}.")
    model = head.get("model")
    try:
        told = Origin.from_dict(head.get("exported", {"kind": "bundle"}))
    except InvalidValueError as error:
        raise BundleError(f"The bundle's origin cannot be read: {error}") from error
    try:
        return None if model is None else check_model_name(model), told, head.get("package")
    except (InvalidNameError, InvalidTypeError) as error:
        raise BundleError(f"The bundle names a model whose name is not valid: {error}.") from error


def _read_tree(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> Tree:
    try:
        # Every path in it is one that stays inside a folder, or this raises.
        tree = Tree.decode(_whole(archive, members, TREE))
    except (CorruptDataError, InvalidValueError) as error:
        raise BundleError(f"The manifest of the bundle is not valid: {error}") from error
    extra = sorted(members.keys() - {HEAD, TREE, SIGNATURES} - {FILES + name for name in tree})
    if extra:
        raise BundleError(f"The bundle has a member {shown(extra[0])} that its manifest does not name.")
    links = [name for name, entry in tree.items() if entry.mode == "link"]
    if links:
        raise BundleError(f"The bundle has a symbolic link {shown(links[0])} in it: a model contains only files.")
    return tree


def _check_files(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], tree: Tree) -> None:
    """Compare the files with the manifest. Nothing is kept of a bundle that is refused."""
    for name, entry in tree.items():
        member = members.get(FILES + name)
        if member is None:
            raise BundleError(f"The bundle has no file {shown(name)}, which its manifest names.")
        if member.file_size != entry.size:
            raise BundleError(
                f"The file {shown(name)} has {member.file_size:,} bytes, the manifest says {entry.size:,}."
            )
        found = hashlib.sha256()
        with archive.open(member) as source:
            reader = _Bounded(source, entry.size)
            while block := reader.read(_COPY):
                found.update(block)
        if found.hexdigest() != entry.digest:
            raise BundleError(
                f"The file {shown(name)} is not what the manifest says: its SHA-256 is {found.hexdigest()}."
            )


class _Bounded:
    """A reader that gives no more bytes than were announced."""

    def __init__(self, source: Reader, size: int) -> None:
        self._source, self._left = source, size

    def read(self, size: int, /) -> bytes:
        data = self._source.read(min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise BundleError("A member of the bundle is longer than its archive says.")
        return data


def _whole(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str) -> bytes:
    if members[name].file_size > _HEAD_LIMIT:
        raise BundleError(f"The member {name} has {members[name].file_size:,} bytes, and {_HEAD_LIMIT:,} is the most.")
    return archive.read(members[name])


def _json_of(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str) -> Any:
    try:
        return json.loads(_whole(archive, members, name))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"The member {name} of the bundle is not JSON ({str(error)[:100]}).") from error


def _signatures(rows: Any, digest: str) -> list[signing.Signature]:
    """Those of the package. Whether a key is trusted is asked when the model is loaded, not here."""
    fields = {field.name for field in dataclasses.fields(signing.Signature)}
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict) or row.keys() != fields or row["package"] != digest:
            raise BundleError("A signature in the bundle is not valid, or belongs to another model.")
        if not all(isinstance(value, str) or (value is None and key == "public_key") for key, value in row.items()):
            raise BundleError("A signature in the bundle has a field that is not text.")
    found = [signing.Signature(**row) for row in rows] if isinstance(rows, list) else []
    for signature in found:
        try:
            signing.refuse_invalid(signature)
        except InvalidValueError as error:
            raise BundleError(f"A signature in the bundle is not valid: {error}") from error
    return found
