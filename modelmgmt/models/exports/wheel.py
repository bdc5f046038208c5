"""A wheel of this library, of the files that are installed: for those who load an exported model and have no index for it."""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from modelmgmt.errors import InvalidValueError

_NAME = "modelmgmt"
_DATE = (1980, 1, 1, 0, 0, 0)  # the same files give the same wheel
_WHEEL = "Wheel-Version: 1.0\nGenerator: modelmgmt\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def write_wheel(folder: Path) -> Path:
    """Write the wheel to the new `folder`, with no network. Raises InvalidValueError when the library is not installed."""
    try:
        distribution = metadata.distribution(_NAME)
    except metadata.PackageNotFoundError as error:
        message = "vendor=True packs the installed library, and modelmgmt is not installed: pip install modelmgmt."
        raise InvalidValueError(message) from error
    stem = f"{_NAME}-{distribution.version}"
    folder.mkdir()
    path = folder / f"{stem}-py3-none-any.whl"
    record = []
    with zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*_modules(), *_about(distribution, f"{stem}.dist-info")]:
            _add(archive, name, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(content)}")
        name = f"{stem}.dist-info/RECORD"
        _add(archive, name, "".join(f"{line}\n" for line in [*record, f"{name},,"]).encode())
    return path


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o100644 << 16
    archive.writestr(info, content)


def _modules() -> Iterator[tuple[str, bytes]]:
    """The package as it lies there: an editable install lists no files of its own."""
    package = Path(str(sys.modules[_NAME].__file__)).parent
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(package.parent).as_posix(), path.read_bytes()


def _about(distribution: metadata.Distribution, folder: str) -> Iterator[tuple[str, bytes]]:
    licenses = [f"licenses/{path.name}" for path in distribution.files or () if path.parent.name == "licenses"]
    for name in ("METADATA", "entry_points.txt", *licenses):
        text = distribution.read_text(name)
        if text is not None:
            yield f"{folder}/{name}", text.encode()
    yield f"{folder}/WHEEL", _WHEEL.encode()
