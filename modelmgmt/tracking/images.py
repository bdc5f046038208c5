"""Pictures as files: arrays, PIL images, figures of matplotlib, plotly and whatever writes itself as HTML. Pure functions.

What a name ends in is what is in the file. A suffix that cannot be written here is a part of the name, and the usual one
(`.png`, or `.html` for a figure that is a page) is added.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidTypeError, InvalidValueError, MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

DPI = 120
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""What an image is written as, by the suffix of its name."""
_OPTIONS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}
_UNDATED: dict[str, dict[str, Any]] = {
    # Without version and date: the same figure gives the same bytes, which are kept once.
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
_ROUNDING = 0.01  # of 1, that a float may lie beyond the ends of its range
_CLASSES = 64  # numbers of classes that a mask of integers may have, and 255 for what is of none
_SCRIPT = 1 << 16  # characters; a script of a page that is longer is kept once for all pages
_CHANNELS = (1, 3, 4)


def split_name(name: str, formats: Mapping[str, str] = FORMATS) -> tuple[str, str]:
    """A name without its suffix, and the suffix, where it is one of the formats; else the whole name, and nothing.

    >>> split_name("roc.PNG"), split_name("epoch.1")
    (('roc', '.PNG'), ('epoch.1', ''))
    """
    suffix = PurePosixPath(name).suffix
    return (name.removesuffix(suffix), suffix) if suffix.lower() in formats else (name, "")


# ------------------------------------------------------------------------------------------------ images


def as_list(images: Any) -> list[Any] | None:
    """The images of a list, tuple or batch `(n, ...)` of them; None of what is one image.

    A list of numbers, or of rows of them, is an image itself. Raises InvalidValueError for a list that is empty.
    """
    if isinstance(images, (list, tuple)):
        if not images:
            raise InvalidValueError("log_image got an empty list: pass at least one image.")
        many = any(_is_pil(each) or _dimensions(each) >= 2 for each in images)
        return list(images) if many else None
    return list(images) if _dimensions(images) == 4 else None


def image_bytes(image: Any, suffix: str = ".png") -> bytes:
    """An image as a file of the format that the suffix says. Raises InvalidTypeError, InvalidValueError."""
    drawn = _seen(image) if _is_pil(image) else _drawn(image)
    written = FORMATS[suffix.lower()]
    if written == "JPEG":
        drawn = _on_white(_eight_bits(drawn))
    elif written == "WEBP" or (written in {"GIF", "BMP"} and drawn.mode == "I;16"):
        drawn = _eight_bits(drawn)
        drawn = drawn if drawn.mode != "P" else drawn.convert("RGB")
    buffer = io.BytesIO()
    drawn.save(buffer, format=written, **_OPTIONS.get(written, {}))
    return buffer.getvalue()


def load_image(data: bytes) -> NDArray[Any]:
    """The array of an image that was written here.

    `(height, width)` or `(height, width, 3 or 4)`, uint8; uint16 for 16 bits of grey; the numbers of the classes for a
    mask.
    """
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        if image.mode.startswith("I"):
            return np.asarray(image).astype(np.uint16)
        if image.mode == "P" and image.format == "PNG":
            return np.asarray(image)
        return np.asarray(image if image.mode in {"L", "RGB", "RGBA"} else image.convert(_plain_mode(image)))


def _is_pil(image: Any) -> bool:
    # Whoever has a PIL image has imported PIL.
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(image, pil.Image)


def _dimensions(image: Any) -> int:
    found = getattr(image, "ndim", None)
    return found if isinstance(found, int) else len(getattr(image, "shape", ()))


def _plain_mode(image: Image) -> str:
    is_grey = image.mode in {"1", "L", "La", "LA"}
    if image.mode in {"LA", "La", "PA", "RGBa"} or "transparency" in image.info:
        return "RGBA"
    return "L" if is_grey else "RGB"


def _seen(image: Image) -> Image:
    """A PIL image as one looks at it: upright, in L, RGB, RGBA or 16 bits of grey."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode in {"F", "I"} or upright.mode.startswith("I;"):
        import numpy as np

        pixels = np.asarray(upright)
        # I;16 says itself that it has 16 bits, of however few are used.
        return _sixteen_bits(pixels) if upright.mode.startswith("I;") else _drawn(pixels, is_mask=False)
    if upright.mode == "La":  # PIL makes nothing but LA of it
        upright = upright.convert("LA")
    if upright.mode == "LAB":
        from PIL import ImageCms

        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        found = ImageCms.profileToProfile(upright, lab, srgb, outputMode="RGB")
        upright = upright if found is None else found
    profile = upright.info.get("icc_profile") if upright.mode in {"L", "RGB", "RGBA"} else None
    if upright.mode not in {"L", "RGB", "RGBA"} or "transparency" in upright.info:
        upright = upright.convert(_plain_mode(upright))
    # A copy with its colours and nothing else: the place where a photo was taken is nobody's business.
    plain = upright.copy()
    plain.info = {"icc_profile": profile} if profile else {}
    return plain


def _drawn(image: Any, *, is_mask: bool = True) -> Image:
    """An array as a PIL image; `is_mask` lets a few small integers be the numbers of classes."""
    import numpy as np
    from PIL import Image

    pixels, hidden = _array(image)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    elif pixels.dtype.kind == "f":
        pixels, hidden = _bytes_of_floats(pixels, hidden)
    elif pixels.dtype != np.uint8:
        low, high = int(pixels.min()), int(pixels.max())
        if low < 0 or high > (65_535 if pixels.ndim == 2 else 255):
            message = (
                f"An image of integers has values from 0 to 255, or to 65,535 in grey, and this one from {low} to {high}: "
                "scale it. A mask has numbers of classes from 0; 255 stands for what is of none."
            )
            raise InvalidValueError(message)
        if high > 255:
            return _sixteen_bits(pixels)
        pixels = pixels.astype(np.uint8)
        if is_mask and pixels.ndim == 2 and not hidden.any() and bool(((pixels < _CLASSES) | (pixels == 255)).all()):
            mask = Image.fromarray(pixels)
            mask.putpalette(_palette())
            return mask
    if hidden.any():
        colours = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
        opaque = colours[:, :, 3:] if colours.shape[2] == 4 else np.full((*hidden.shape, 1), 255, np.uint8)
        pixels = np.concatenate([colours[:, :, :3], np.where(hidden[:, :, None], 0, opaque).astype(np.uint8)], axis=2)
    return Image.fromarray(np.ascontiguousarray(pixels))


def _array(image: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The pixels as `(height, width)` or `(height, width, 3 or 4)`, and which are masked."""
    import numpy as np

    is_tensor = hasattr(image, "detach")  # torch has its channels first, the others last
    if is_tensor:
        image = image.detach().cpu()
        if getattr(image, "is_floating_point", lambda: False)():
            image = image.double()  # numpy has no bfloat16
    if hasattr(image, "savefig") or hasattr(image, "get_figure"):
        raise InvalidTypeError(f"An image is an array or a PIL image; log a {type(image).__name__} with log_figure.")
    try:
        pixels = np.asanyarray(image)
    except ValueError as error:
        raise InvalidTypeError(f"An image is an array, and {type(image).__name__} was given: {error}.") from error
    if pixels.dtype.kind == "V" and pixels.dtype.names is None:  # the narrow floats of ml_dtypes, as jax has them
        pixels = pixels.astype(np.float64)
    if pixels.dtype.kind not in "buif":
        what = f"an array of {pixels.dtype}" if pixels.ndim else f"a value of type {type(image).__name__}"
        path = (
            "; keep a file with log_artifact" if isinstance(image, (str, bytes)) or hasattr(image, "__fspath__") else ""
        )
        raise InvalidTypeError(f"An image is an array of real numbers or a PIL image, and {what} was given{path}.")
    if pixels.ndim == 3:
        first, last = pixels.shape[0] in _CHANNELS, pixels.shape[2] in _CHANNELS
        if first and (is_tensor or not last):
            pixels = np.moveaxis(pixels, 0, 2)
        if pixels.shape[2] == 1:
            pixels = pixels[:, :, 0]
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if not fits or 0 in pixels.shape:
        message = (
            f"An image has the shape (height, width), (height, width, 3 or 4) or (3 or 4, height, width), and this one "
            f"{pixels.shape}. A batch (n, height, width) is logged as a list: log_image(list(batch), ...)."
        )
        raise InvalidValueError(message)
    masked = np.ma.getmaskarray(pixels)
    hidden: NDArray[np.bool_] = np.any(masked, axis=2) if masked.ndim == 3 else masked
    return np.where(masked, 0, np.ma.getdata(pixels)).astype(pixels.dtype), hidden


def _bytes_of_floats(pixels: NDArray[Any], hidden: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Floats from 0 to 1, or from 0 to 255 when one is above 1, as bytes; NaN is hidden."""
    import numpy as np

    lost = np.isnan(pixels)
    hidden = hidden | (lost.any(axis=2) if lost.ndim == 3 else lost)
    values = np.where(lost, 0, pixels).astype(np.float64)
    low, high = values.min(), values.max()
    top = 1 if high <= 1 + _ROUNDING else 255
    if low < -_ROUNDING or high > 255 + _ROUNDING or 1 + _ROUNDING < high < 2:
        message = (
            "An image of floats has values from 0 to 1 or from 0 to 255, and this one "
            f"from {low:.4g} to {high:.4g}: scale it, such as (x - x.min()) / (x.max() - x.min())."
        )
        raise InvalidValueError(message)
    return np.round(np.clip(values, 0, top) * (255 / top)).astype(np.uint8), hidden


def _sixteen_bits(pixels: NDArray[Any]) -> Image:
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(pixels.astype(np.uint16)))


def _eight_bits(image: Image) -> Image:
    import numpy as np
    import PIL.Image

    if not image.mode.startswith("I"):
        return image
    return PIL.Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))


def _on_white(image: Image) -> Image:
    import PIL.Image

    if image.mode == "RGBA":
        white = PIL.Image.new("RGBA", image.size, "white")
        return PIL.Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB") if image.mode == "P" else image


def _palette() -> bytes:
    """The colours of the classes of a mask: those of PASCAL VOC, in which 0 is black; 255 is white."""
    colours = bytearray()
    for number in range(255):
        bits = [[(number >> (3 * place + channel)) & 1 for place in range(3)] for channel in range(3)]
        colours += bytes(sum(bit << (7 - place) for place, bit in enumerate(channel)) for channel in bits)
    return bytes(colours + b"\xff\xff\xff")


# ------------------------------------------------------------------------------------------------ figures


def figure_bytes(figure: Any, name: str) -> tuple[bytes, str]:
    """A figure, or what is part of one, as bytes, and the whole name. Raises InvalidTypeError, InvalidValueError."""
    if _is_pil(figure) or (_dimensions(figure) >= 2 and getattr(getattr(figure, "dtype", None), "kind", "O") != "O"):
        raise InvalidTypeError(f"log_figure takes a figure; log a {type(figure).__name__} with log_image.")
    found = _matplotlib_figure(figure)
    if found is not None:
        return _saved(found, name)
    if hasattr(figure, "to_image") and hasattr(figure, "to_html"):  # plotly
        stem, suffix = split_name(name, dict.fromkeys((".png", ".jpg", ".jpeg", ".webp", ".svg", ".pdf"), ""))
        if suffix:
            return _plotly_image(figure, suffix[1:].lower()), stem + suffix
    if hasattr(figure, "to_html"):
        return _page(figure).encode(), name if name.lower().endswith((".html", ".htm")) else f"{name}.html"
    raise InvalidTypeError(
        f"A figure is one of matplotlib, seaborn or plotly, or has to_html(), and {type(figure).__name__} was given."
    )


def split_page(page: bytes) -> list[bytes]:
    """The parts of an HTML page: each of its long scripts, which many pages share, and what stands between them.

    >>> [len(part) for part in split_page(b"<html><script>" + b"x" * 100_000 + b"</script></html>")]
    [14, 100000, 16]
    """
    import re

    parts, at = [], 0
    for match in re.finditer(rb"(?is)<script\b[^>]*>(.*?)</script>", page):
        start, end = match.span(1)
        if end - start >= _SCRIPT:
            parts += [page[at:start], page[start:end]]
            at = end
    return [part for part in [*parts, page[at:]] if part]


def _matplotlib_figure(figure: Any) -> Any:
    """The whole figure that something of matplotlib is, belongs to or holds; None of anything else.

    Figures, Axes, artists, arrays and lists of them, and what keeps its figure: grids of seaborn (`figure`), displays of
    scikit-learn (`figure_`), `pyplot` itself.
    """
    if isinstance(figure, Mapping):
        figure = list(figure.values())
    if hasattr(figure, "ravel") and getattr(getattr(figure, "dtype", None), "kind", "") == "O":
        figure = list(figure.ravel())
    if isinstance(figure, Sequence) and not isinstance(figure, (str, bytes)):
        found = {id(one): one for one in map(_matplotlib_figure, figure) if one is not None}
        if len(found) > 1:
            raise InvalidValueError(f"These belong to {len(found)} figures: log each under a name of its own.")
        return next(iter(found.values()), None)
    if hasattr(figure, "gcf") and hasattr(figure, "savefig"):
        return figure.gcf()
    if hasattr(figure, "get_figure"):
        top = figure.get_figure()
        while top is not None and not hasattr(top, "savefig"):  # a part of a figure that has subfigures
            top = getattr(top, "figure", None)
        return top
    if hasattr(figure, "savefig") and hasattr(figure, "canvas"):
        return figure
    for kept in ("figure", "figure_", "fig"):
        if hasattr(getattr(figure, kept, None), "savefig"):
            return getattr(figure, kept)
    if hasattr(figure, "draw") and type(figure).__module__.split(".")[0] == "plotnine":
        return figure.draw()
    return None


def _saved(figure: Any, name: str) -> tuple[bytes, str]:
    import matplotlib as mpl

    suffix = PurePosixPath(name).suffix[1:].lower()
    if suffix not in figure.canvas.get_supported_filetypes():
        name, suffix = f"{name}.png", "png"
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "modelmgmt"}):
        figure.savefig(buffer, format=suffix, dpi=DPI, bbox_inches="tight", metadata=_UNDATED.get(suffix))
    data = buffer.getvalue()
    if suffix in ("ps", "eps"):  # matplotlib writes the time into these whatever the metadata are
        data = re.sub(rb"^%%CreationDate: .*\n", b"", data, count=1, flags=re.MULTILINE)
    return data, name


def _plotly_image(figure: Any, suffix: str) -> bytes:
    try:
        data: bytes = figure.to_image(format=suffix)
    except (ImportError, ValueError, RuntimeError) as error:
        why = next(iter(str(error).split("\n\n")), "").strip().replace("\n", " ")
        message = f"plotly cannot write .{suffix} here ({why}): install kaleido and Chrome, or name it .html."
        raise MissingExtraError(message) from error
    return data


def _page(figure: Any) -> str:
    """The figure as a page that opens without a network, where its library can write one."""
    import inspect

    if hasattr(figure, "to_plotly_json"):
        # With an id of plotly's choice, the same figure would be another page at each call.
        return str(figure.to_html(include_plotlyjs=True, div_id="figure"))
    if "inline" in inspect.signature(figure.to_html).parameters:  # altair
        try:
            return str(figure.to_html(inline=True))
        except (ImportError, ValueError) as error:
            message = (
                f"altair cannot write a page that opens without a network ({error}): pip install vl-convert-python."
            )
            raise MissingExtraError(message) from error
    return str(figure.to_html())
