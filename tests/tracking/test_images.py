"""Pictures: arrays, PIL images and figures are kept as people see them, in the format that the name says."""

from __future__ import annotations

import io

import ml_dtypes
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image, ImageOps

import modelmgmt as mm
from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError

RNG = np.random.default_rng(0)


@pytest.fixture
def run(store):
    with store.start_run() as run:
        yield run


def kept(run, image):
    run.log_image(image, "picture")
    return run.artifact("picture.png").load()


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (4, 5, 4), (1, 1)])
def test_bytes_are_kept_pixel_for_pixel(run, shape):
    pixels = RNG.integers(0, 256, shape, np.uint8)
    assert np.array_equal(kept(run, pixels), pixels)
    assert np.array_equal(kept(run, pixels.astype(np.int64)), pixels)
    assert np.array_equal(kept(run, pixels[::-1, ::-1]), pixels[::-1, ::-1])


def test_floats_from_0_to_1_and_booleans_become_bytes(run):
    assert kept(run, np.array([[0, 0.5, 1]])).tolist() == [[0, 128, 255]]
    assert kept(run, np.array([[True, False]])).tolist() == [[255, 0]]
    assert kept(run, np.zeros((2, 3, 1), np.float32)).shape == (2, 3)
    assert kept(run, [[0, 255]]).tolist() == [[0, 255]]


GREY, COLOUR = (RNG.integers(0, 256, shape, np.uint8) for shape in ((4, 5), (4, 5, 3)))
RED = np.array([[[255, 0, 0, 255], [255, 0, 0, 0]]], np.uint8)


def test_a_pil_image(run):
    image = Image.fromarray(COLOUR)
    assert np.array_equal(kept(run, image), COLOUR)


def palette_of(colours, transparent=None):
    image = Image.new("P", (2, 1))
    image.putdata([0, 1])
    image.putpalette(colours)
    if transparent is not None:
        image.info["transparency"] = transparent
    return image


@pytest.mark.parametrize(
    ("image", "seen"),
    [
        (Image.fromarray(np.array([[True, False]])), [[255, 0]]),
        (Image.fromarray(np.array([[7, 9]], np.uint8)), [[7, 9]]),
        (Image.fromarray(np.array([[[7, 0], [9, 255]]], np.uint8)), [[[7, 7, 7, 0], [9, 9, 9, 255]]]),
        (Image.fromarray(np.array([[[7, 0], [9, 255]]], np.uint8)).convert("La"), [[[0, 0, 0, 0], [9, 9, 9, 255]]]),
        (palette_of([1, 2, 3, 4, 5, 6]), [[[1, 2, 3], [4, 5, 6]]]),
        (palette_of([1, 2, 3, 4, 5, 6], 1), [[[1, 2, 3, 255], [4, 5, 6, 0]]]),
        (Image.fromarray(RED), RED.tolist()),
        (Image.new("RGB", (1, 1), "red").convert("CMYK"), [[[254, 0, 0]]]),
        (Image.new("RGB", (1, 1), "red").convert("YCbCr"), [[[254, 0, 0]]]),
        (Image.new("RGB", (1, 1), "red").convert("HSV"), [[[255, 0, 0]]]),
        (Image.new("LAB", (1, 1), (255, 128, 128)), [[[255, 255, 255]]]),
        (Image.fromarray(np.array([[0, 65_535]], np.uint16)), [[0, 65_535]]),
        (Image.fromarray(np.array([[0, 7]], np.uint16)), [[0, 7]]),
        (Image.fromarray(np.array([[0, 200]], np.int32)), [[0, 200]]),
        (Image.fromarray(np.array([[0, 60_000]], np.int32)), [[0, 60_000]]),
        (Image.fromarray(np.array([[0, 0.5, 1]], np.float32)), [[0, 128, 255]]),
        (Image.new("L", (1, 1), 200).convert("F"), [[200]]),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_every_mode_of_pil_comes_out_as_people_see_it(run, image, seen):
    found = kept(run, image)
    assert found.dtype in (np.uint8, np.uint16)
    assert np.allclose(found, seen, atol=1), (image.mode, found)
    assert image.mode, "the caller's image is as it was"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_kept_upright_and_without_where_it_was_taken(run, orientation):
    image = Image.fromarray(COLOUR)
    image.getexif()[0x0112] = orientation
    image.getexif()[0x010F] = "maker"
    upright = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(kept(run, image), upright)
    assert b"maker" not in run.artifact("picture.png").read_bytes()


class Tensor:
    """What is used of a tensor of torch, whose bfloat16 numpy does not know."""

    def __init__(self, array, narrow=False):
        self.array, self.narrow = array, narrow
        self.shape, self.ndim = array.shape, array.ndim

    def detach(self):
        return self

    cpu = detach

    def is_floating_point(self):
        return self.array.dtype.kind == "f"

    def double(self):
        return Tensor(self.array.astype(np.float64))

    def __array__(self, *_, **__):
        if self.narrow:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array

    def __iter__(self):
        return (Tensor(each, self.narrow) for each in self.array)


def test_tensors_with_their_channels_first(run):
    first = np.moveaxis(COLOUR, 2, 0)
    floats = (first / 255).astype(np.float32)
    for image in (Tensor(first), Tensor(floats), Tensor(floats, narrow=True), first, floats):
        assert np.array_equal(kept(run, image), COLOUR)
    assert np.array_equal(kept(run, Tensor(GREY[None])), GREY)
    assert np.array_equal(kept(run, GREY[None]), GREY)
    # Where both ends may be channels, torch has them first and all others last.
    both = RNG.integers(0, 256, (3, 5, 4), np.uint8)
    assert np.array_equal(kept(run, both), both)
    assert np.array_equal(kept(run, Tensor(both)), np.moveaxis(both, 0, 2))
    assert np.array_equal(kept(run, np.array([[0, 0.5, 1]], ml_dtypes.bfloat16)), [[0, 128, 255]])


def test_a_mask_of_classes_is_seen_in_colours_and_loads_as_its_numbers(run):
    mask = np.array([[0, 1, 2, 21, 255]])
    run.log_image(mask, "picture")
    artifact = run.artifact("picture")
    assert artifact.load().tolist() == mask.tolist()
    with Image.open(io.BytesIO(artifact.read_bytes())) as image:
        colours = np.asarray(image.convert("RGB"))[0]
    assert colours[0].tolist() == [0, 0, 0]
    assert colours[-1].tolist() == [255, 255, 255]
    assert len({tuple(colour) for colour in colours.tolist()}) == 5
    for image in (mask > 0, mask.astype(np.uint8)):  # not numbers of classes, by their type
        run.log_image(image, "picture")
        with Image.open(io.BytesIO(run.artifact("picture").read_bytes())) as found:
            assert found.mode == "L"
    run.log_image(np.array([[0, 100, 200]]), "picture")  # nor these: there are not so many classes
    assert b"PLTE" not in run.artifact("picture").read_bytes()


def test_floats_up_to_255_nan_and_what_is_masked(run):
    assert kept(run, np.array([[0, 127.4, 255.0]])).tolist() == [[0, 127, 255]]
    assert kept(run, np.array([[-1e-7, 1.0000001]])).tolist() == [[0, 255]]
    assert kept(run, np.array([[0.5, np.nan]])).tolist() == [[[128, 128, 128, 255], [0, 0, 0, 0]]]
    colours = np.array([[[1, 0, 0], [np.nan, 0, 0]]])
    assert kept(run, colours)[0, :, 3].tolist() == [255, 0]
    assert kept(run, np.ma.masked_equal(np.array([[7, 9]], np.uint8), 9))[0, :, 3].tolist() == [255, 0]
    assert kept(run, np.full((2, 2), np.nan))[:, :, 3].max() == 0
    assert kept(run, np.array([[0, 300]], np.uint16)).tolist() == [[0, 300]]
    assert kept(run, np.array([[0, 60_000]])).dtype == np.uint16


@pytest.mark.parametrize(
    ("suffix", "format_"),
    [(".jpg", "JPEG"), (".JPEG", "JPEG"), (".webp", "WEBP"), (".gif", "GIF"), (".bmp", "BMP"), (".tiff", "TIFF")],
)
@pytest.mark.parametrize("image", [COLOUR, GREY, RED, np.array([[0, 1, 2]]), np.array([[0, 65_535]], np.uint16)])
def test_the_suffix_of_the_name_is_what_is_in_the_file(run, suffix, format_, image):
    run.log_image(image, f"folder/picture{suffix}")
    (artifact,) = run.artifacts.values()
    assert artifact.name == f"folder/picture{suffix}"
    with Image.open(io.BytesIO(artifact.read_bytes())) as found:
        assert found.format == format_
    assert artifact.load().shape[:2] == image.shape[:2]
    if format_ == "JPEG":
        assert artifact._repr_jpeg_() == artifact.read_bytes()
        assert artifact.load().max() > 200 or image.max() < 5, "16 bits are seen as 8"


def test_other_suffixes_are_part_of_the_name(run):
    run.log_image(GREY, "epoch.1")
    run.log_image(GREY, "picture.svg")
    assert list(run.artifacts) == ["epoch.1.png", "picture.svg.png"]


def test_a_list_of_images_with_captions_and_steps(run):
    for step in (2, 10):
        run.log_image([GREY, COLOUR + step], "some/samples", captions=["one", None], step=step)
    found = run.images("some/samples")
    assert [(each.name, each.step, each.caption) for each in found] == [
        ("some/samples/step-2/0.png", 2, "one"),
        ("some/samples/step-2/1.png", 2, None),
        ("some/samples/step-10/0.png", 10, "one"),
        ("some/samples/step-10/1.png", 10, None),
    ]
    assert np.array_equal(found[3].load(), COLOUR + 10)
    run.log_image(Tensor(np.stack([GREY, GREY])[:, None]), "some/samples", step=10)
    run.log_image([GREY], "some/samples", step=2)  # a shorter list leaves nothing of the longer one
    run.log_image(GREY, "some/samples2")
    assert [each.name for each in run.images("some/samples")] == [
        "some/samples/step-2/0.png", "some/samples/step-10/0.png", "some/samples/step-10/1.png"
    ]  # fmt: skip
    with pytest.raises(NotFoundError, match=r"run\.images\('some/samples'\)"):
        run.artifact("some/samples")


def test_the_caption_of_one_image_is_a_text_too(run):
    run.log_image(np.zeros((2, 2)), "one", captions="black")
    assert [image.caption for image in run.images("one")] == ["black"]
    with pytest.raises(InvalidValueError, match="2 images and 1 caption"):
        run.log_image([np.zeros((2, 2))] * 2, "two", captions="black")


def test_one_image_each_epoch(run):
    for epoch in range(12):
        run.log_image(np.full((2, 2), epoch, np.uint8), "samples.jpg", step=epoch, caption=f"epoch {epoch}")
    found = run.images("samples")
    assert [each.step for each in found] == list(range(12))
    assert found[-1].name == "samples/step-11.jpg"
    assert found[-1].caption == "epoch 11"
    run.log_image((Image.fromarray(GREY), Image.fromarray(COLOUR)), "pairs")
    assert [each.name for each in run.images("pairs.png")] == ["pairs/0.png", "pairs/1.png"]
    run.log_image(GREY, "single", caption="a photo")
    assert [(each.name, each.caption) for each in run.images("single")] == [("single.png", "a photo")]
    with pytest.raises(NotFoundError, match="no artifact 'sample'"):
        run.images("sample")
    with pytest.raises(InvalidValueError, match="2 images and 1 caption"):
        run.log_image([GREY, GREY], "pairs", captions=["one"])
    with pytest.raises(InvalidTypeError, match="str"):
        run.log_image(GREY, "single", caption=5)


def test_a_notebook_shows_it(run):
    run.log_image(np.zeros((2, 2), np.uint8), "folder/picture")
    assert run.artifact("folder/picture.png")._repr_png_().startswith(b"\x89PNG")
    run.log_text("x", "text.png")
    assert run.artifact("text.png")._repr_png_() is None


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (np.zeros(3), InvalidValueError, "shape"),
        (np.zeros((2, 2, 2)), InvalidValueError, "shape"),
        (np.zeros((16, 28, 28)), InvalidValueError, r"log_image\(list\(batch\)"),
        (np.zeros((0, 2)), InvalidValueError, "shape"),
        (np.array([[0, 1.5]]), InvalidValueError, "from 0 to 1.5: scale it"),
        (np.full((2, 2), 256.0), InvalidValueError, "0 to 255"),
        (np.full((2, 2), -0.1), InvalidValueError, "0 to 1"),
        (np.full((2, 2), np.inf), InvalidValueError, "0 to 1"),
        (np.full((2, 2, 3), 256), InvalidValueError, "from 0 to 255"),
        (np.full((2, 2), 70_000), InvalidValueError, "65,535"),
        (np.full((2, 2), -1), InvalidValueError, "numbers of classes from 0"),
        (np.full((2, 2), 1j), InvalidTypeError, "complex"),
        (Figure(), InvalidTypeError, "log a Figure with log_figure"),
        ([], InvalidValueError, "empty list"),
        (None, InvalidTypeError, "NoneType"),
        ("picture.png", InvalidTypeError, "str"),
        (object(), InvalidTypeError, "object"),
        ([[1], [2, 3]], InvalidTypeError, "list"),
    ],
)
def test_what_is_no_image(run, image, error, words):
    with pytest.raises(error, match=words):
        run.log_image(image, "picture")
    assert run.artifacts == {}


def test_a_figure_or_its_axes(run):
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot([1, 2, 3])
    run.log_figure(figure, "curve")
    run.log_figure(axes, "curve from axes.png")
    first, second = run.artifacts.values()
    assert (first.name, first.kind) == ("curve from axes.png", "figure")
    assert first.digest == second.digest, "the same figure gives the same bytes"
    assert first._repr_png_().startswith(b"\x89PNG")
    assert first.load().startswith(b"\x89PNG")
    assert axes.figure is figure, "the figure stays as it is"


@pytest.mark.parametrize(
    ("suffix", "start"),
    [
        (".svg", b"<?xml"),
        (".PDF", b"%PDF"),
        (".jpg", b"\xff\xd8"),
        (".eps", b"%!PS"),
        (".webp", b"RIFF"),
        (".png", b"\x89PNG"),
    ],
)
def test_a_figure_is_written_as_its_name_says(run, suffix, start):
    figure = Figure()
    figure.add_subplot().plot([1, 2])
    run.log_figure(figure, f"curve{suffix}")
    run.log_figure(figure, f"again{suffix}")
    one, other = run.artifacts.values()
    assert other.name == f"curve{suffix}"
    assert other.read_bytes().startswith(start)
    assert one.digest == other.digest, "no date, no random ids"
    if suffix == ".svg":
        assert "<svg" in other._repr_svg_()


class Display:
    """As ConfusionMatrixDisplay of scikit-learn."""

    def __init__(self, axes):
        self.ax_, self.figure_ = axes, axes.figure


def test_whatever_belongs_to_a_figure_or_holds_one(run):
    figure = Figure()
    grid = figure.subplots(2, 2)
    (line,) = grid[0, 0].plot([1, 2])
    bars = grid[0, 1].bar([1, 2], [3, 4])
    sub = Figure()
    inner = sub.subfigures(1, 2)[0].add_subplot()
    inner.plot([1, 2])
    held = [grid, grid[0], list(grid.flat), dict(enumerate(grid.flat)), line, list(bars), Display(grid[0, 0]), figure]
    for number, each in enumerate(held):
        run.log_figure(each, f"same {number}")
    assert len({each.digest for each in run.artifacts.values()}) == 1
    run.log_figure(inner, "inner")
    with pytest.raises(InvalidValueError, match="belong to 2 figures"):
        run.log_figure([grid[0, 0], inner], "both")


def test_what_mm_plots_returns_and_pyplot_itself(store, run):
    for step in range(3):
        run.log({"loss": 1 / (step + 1), "acc": step / 3}, step=step)
    runs = store.runs()
    run.log_figure(mm.plots.curves(runs, "loss"), "one")
    run.log_figure(mm.plots.curves(runs, ["loss", "acc"]), "two")
    plt.close("all")
    plt.plot([1, 2])
    run.log_figure(plt, "pyplot.svg")
    plt.close("all")
    assert list(run.artifacts) == ["one.png", "pyplot.svg", "two.png"]


SCRIPT = "/* a library */" + "let x = 1;" * 10_000


class Chart:
    """As a chart of plotly or bokeh: a page with a large script and small data."""

    def __init__(self, data):
        self.data = data

    def to_html(self):
        return f"<html><head><script>{SCRIPT}</script></head><script>draw({self.data})</script></html>"


def test_the_script_of_many_pages_is_kept_once_and_each_opens_alone(store, run, tmp_path):
    for number in range(20):
        run.log_figure(Chart([number] * 100), f"chart {number}")
    pages = run.artifacts
    assert {page.kind for page in pages.values()} == {"page"}
    for number in range(20):
        page = pages[f"chart {number}.html"]
        assert page.load().decode() == Chart([number] * 100).to_html()
        assert page.size == len(page.load())
        assert page.save(tmp_path / f"{number}.html").read_bytes() == page.load()
    kept_bytes = sum(path.stat().st_size for path in (store.path / "objects").rglob("*") if path.is_file())
    assert kept_bytes < 2 * len(SCRIPT)
    assert not store.check()
    run.log_figure(Chart([1]), "page.htm")
    assert run.artifact("page.htm").load().decode() == Chart([1]).to_html()


class Small:
    def to_html(self):
        return "<html>small</html>"


def test_a_small_page(run):
    run.log_figure(Small(), "curve")
    assert (run.artifact("curve.html").kind, run.artifact("curve").load()) == ("figure", b"<html>small</html>")


def test_plotly(run):
    express = pytest.importorskip("plotly.graph_objects")
    for number in range(3):
        run.log_figure(express.Figure(express.Scatter(y=[number, 2])), f"chart {number}")
        run.log_figure(express.Figure(express.Scatter(y=[number, 2])), f"chart {number}")
    pages = [run.artifact(f"chart {number}.html").load() for number in range(3)]
    assert all(b"cdn.plot.ly" not in page.split(b"</script>")[-1] and len(page) > 1_000_000 for page in pages)


@pytest.mark.parametrize(
    "figure",
    [None, "figure", np.zeros((2, 2)), Image.new("L", (1, 1)), [], {}],
    ids=["None", "text", "array", "image", "list", "dict"],
)
def test_what_is_no_figure(run, figure):
    with pytest.raises(InvalidTypeError, match="figure"):
        run.log_figure(figure, "curve")
    assert run.artifacts == {}
