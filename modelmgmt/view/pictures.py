"""The pictures of runs, as a page shows them: images, figures, and files that are pictures.

A picture stands in the page as a data URI of an `<img>`, where no script of an SVG runs and nothing is loaded. It is decoded
first, so that what is broken is named and not shown. A figure that is a page, as plotly's, is a file to save.
"""

from __future__ import annotations

import base64
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from modelmgmt.errors import InvalidValueError, ModelmgmtError
from modelmgmt.store.names import counted
from modelmgmt.tracking.artifacts import Artifact, logged_name
from modelmgmt.tracking.images import FORMATS
from modelmgmt.view.text import clean

if TYPE_CHECKING:
    from PIL.Image import Image

    from modelmgmt.tracking.run import Run

_NAMES = 24
_EACH = 24  # pictures of one name
_TOTAL = 16 << 20  # bytes of all pictures of a page
_LARGE = 256 << 10  # bytes; a larger image is shown smaller
_SIDE = 1000  # pixels of the longer side, then
_READ = 64 << 20  # bytes of a file that is looked at
_PIXELS = 50_000_000
_SMALL = 128  # pixels of the longer side; a smaller image is enlarged, each pixel a square
_NOTES = 20
_MIME = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp", "BMP": "image/bmp"}
_PAGES = (".html", ".htm")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as a data URI, and what stands below it. `saves_as` is the file name of a page, which has no picture."""

    run: str
    details: str
    uri: str
    description: str
    is_small: bool
    saves_as: str | None


@dataclass(slots=True)
class Panel:
    """What runs logged under one name."""

    name: str
    pictures: list[Picture] = field(default_factory=list)
    note: str = ""


class _Found(NamedTuple):
    run: Run
    label: str
    artifact: Artifact


def panels_of(runs: Iterable[Run]) -> tuple[list[Panel], list[str]]:
    """The pictures by name, in the order of the runs and steps, and a sentence for each that is broken or left out.

    At most 24 names, of each at most 24 pictures, in turn from each run and the last steps first, and 16 MiB in all.
    """
    by_name, notes = _found(runs)
    panels: list[Panel] = []
    room = _TOTAL
    no_room: list[str] = []
    names = sorted(by_name, key=_is_page)  # pictures first: a page of plotly fills a fourth of the room
    for name in names[:_NAMES]:
        chosen = _chosen(by_name[name])
        panel = Panel(clean(name, 200))
        for one in chosen:
            try:
                picture = _picture(one)
            except ModelmgmtError as error:
                notes.append(f"{one.artifact.name} of the run {one.run.name} ({one.run.id}) is not shown: {error}")
                continue
            if len(picture.uri) * 3 // 4 > room:
                no_room.append(f"{one.artifact.name} of {one.label}")
                continue
            room -= len(picture.uri) * 3 // 4
            panel.pictures.append(picture)
        if len(chosen) < len(by_name[name]):
            count = f"{len(panel.pictures)} of {len(by_name[name]):,}"
            panel.note = f"{count} are shown, in turn from each run, the last steps first."
        panels += [panel] if panel.pictures else []
    if no_room:
        notes.insert(0, f"A page holds {_TOTAL >> 20} MiB of pictures; left out are {_some(no_room)}.")
    if names[_NAMES:]:
        notes.insert(0, f"Pictures of {_NAMES} names are shown; left out are {_some(names[_NAMES:])}.")
    more = len(notes) - _NOTES
    return panels, [clean(note, 500) for note in notes[:_NOTES]] + (
        [f"{counted(more, 'more is', 'more are')} not shown."] if more > 0 else []
    )


def _found(runs: Iterable[Run]) -> tuple[dict[str, list[_Found]], list[str]]:
    runs = list(runs)
    names = Counter(run.name for run in runs)
    by_name: dict[str, list[_Found]] = {}
    other: dict[str, int] = {}
    notes = []
    for run in runs:
        try:
            there = run.artifacts
        except ModelmgmtError as error:
            notes.append(f"The pictures of the run {run.name} ({run.id}) are not shown: {error}")
            continue
        label = run.name if names[run.name] == 1 else f"{run.name} ({run.id[-4:]})"
        for artifact in there.values():
            if _is_shown(artifact):
                by_name.setdefault(logged_name(artifact), []).append(_Found(run, label, artifact))
            elif artifact.kind == "figure":
                other[artifact.name] = other.get(artifact.name, 0) + 1
    if other:
        notes.append(f"A page shows no figures of these formats: {_some(list(other))}.")
    return by_name, notes


def _is_shown(artifact: Artifact) -> bool:
    name = artifact.name.lower()
    if artifact.kind == "file":
        return name.endswith((*FORMATS, ".svg"))
    return artifact.kind in ("image", "page") or (
        artifact.kind == "figure" and name.endswith((*FORMATS, ".svg", *_PAGES))
    )


def _is_page(name: str) -> bool:
    return name.lower().endswith(_PAGES)


def _chosen(found: Sequence[_Found]) -> list[_Found]:
    """At most so many, in turn from each run, its last steps first; in the order of the runs, steps and places."""
    order = {run: place for place, run in enumerate(dict.fromkeys(one.run.id for one in found))}
    found = sorted(found, key=lambda one: (order[one.run.id], one.artifact.step or 0, _in_order(one.artifact.name)))
    queues: dict[str, list[int]] = {}
    for place, one in enumerate(found):
        queues.setdefault(one.run.id, []).append(place)
    for queue in queues.values():
        queue.sort(key=lambda place: (-(found[place].artifact.step or 0), place))
    in_turn = (place for places in itertools.zip_longest(*queues.values()) for place in places if place is not None)
    return [found[place] for place in sorted(itertools.islice(in_turn, _EACH))]


def _in_order(name: str) -> list[tuple[int, str]]:
    """A key by which `samples/2` comes before `samples/10`."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def _picture(found: _Found) -> Picture:
    """Raises InvalidValueError with what is wrong with the file, or the error of reading it."""
    _, label, artifact = found
    details = [*([f"step {artifact.step}"] if artifact.step is not None else []), artifact.caption or ""]
    text = clean(" · ".join(filter(None, details)), 300)
    description = clean(f"{artifact.name} of {label}{': ' if text else ''}{text}", 500)
    if artifact.size > _READ:
        raise InvalidValueError(f"it has {artifact.size >> 20:,} MiB.")
    data = artifact.read_bytes()
    name = artifact.name.lower()
    is_small, saves_as = False, None
    if artifact.kind != "image" and name.endswith(_PAGES):
        mime, saves_as = "text/html", clean(artifact.name.rpartition("/")[2], 200)
    elif name.endswith(".svg"):
        _check_svg(data)
        mime = "image/svg+xml"
    else:
        data, mime, is_small = _seen(data)
    uri = f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
    return Picture(clean(label, 200), text, uri, description, is_small, saves_as)


def _check_svg(data: bytes) -> None:
    """Raises InvalidValueError unless a browser would read it as SVG."""
    from xml.parsers import expat

    tags: list[str] = []

    def refuse(name: str, *_: object) -> None:
        raise InvalidValueError(f"it declares the entity {name!r}, and a page shows no SVG that declares any.")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = lambda tag, _: tags.append(tag) if not tags else None
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if isinstance(error, ModelmgmtError):
            raise
        raise InvalidValueError(f"it is not SVG ({error}).") from error
    if tags != ["http://www.w3.org/2000/svg svg"]:
        raise InvalidValueError(
            f"it is not SVG: its first element is {tags[0].split(' ')[-1]!r} of {tags[0].split(' ')[0]!r}."
        )


def _seen(data: bytes) -> tuple[bytes, str, bool]:
    """An image as a browser shows it, its type, and whether it is small. Raises InvalidValueError for what is none.

    Large files are made smaller, and what a camera wrote beside the pixels does not leave the store.
    """
    import warnings

    import PIL.Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which are looked at below, and of odd metadata
            with PIL.Image.open(io.BytesIO(data), formats=sorted(set(FORMATS.values()))) as image:
                if image.width * image.height > _PIXELS:
                    raise InvalidValueError(f"it has {image.width:,} x {image.height:,} pixels.")  # noqa: TRY301 - its end is the same
                image.load()
                mime = _MIME.get(image.format or "")
                is_small = max(image.size) <= _SMALL
                if mime is not None and len(data) <= _LARGE and not image.getexif():
                    return data, mime, is_small
                return *_smaller(image), is_small
    except ModelmgmtError:
        raise
    except PIL.UnidentifiedImageError as error:
        raise InvalidValueError("it is no image of a format that is read here.") from error
    except Exception as error:  # a decoder raises whatever the bytes led it to
        raise InvalidValueError(f"it cannot be read as an image ({error}).") from error


def _smaller(image: Image) -> tuple[bytes, str]:
    import PIL.Image
    from PIL import ImageOps

    from modelmgmt.tracking.images import image_bytes

    upright = ImageOps.exif_transpose(image)
    upright.thumbnail(
        (_SIDE, _SIDE), PIL.Image.Resampling.BOX
    )  # means: others give values below and above all there are
    png = image_bytes(upright)
    return (png, "image/png") if len(png) <= _LARGE else (image_bytes(upright, ".jpg"), "image/jpeg")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(clean(name, 80) for name in names[:5])
    return f"{shown} and {len(names) - 5:,} more" if len(names) > 5 else shown
