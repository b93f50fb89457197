"""A person's own pictures, drawn here, become what a model has been trained on."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import configuration
from PIL import Image, ImageDraw
from scipy import ndimage

from pipeline import datasets
from pipeline.contracts import Dataset, Split
from pipeline.errors import PipelineError
from pipeline.pictures import check, describe, prepare

PHOTO = {"shape": [32, 48, 3], "dtype": "uint8", "lowest": 3.0, "highest": 251.0, "background": None}


@pytest.fixture(scope="module")
def mnist() -> Dataset:
    return datasets.load(configuration("dataset=mnist5k").dataset)


@pytest.fixture(scope="module")
def seen(mnist: Dataset) -> dict[str, Any]:
    return json.loads(json.dumps(describe(mnist)))  # as it comes back from a run


def of_images(images: np.ndarray, mnist: Dataset) -> Dataset:
    return replace(mnist, train=Split(images, np.arange(len(images)) % 10))


def three(size: tuple[int, int] = (400, 400), pen: float = 24, scale: float = 1.0) -> np.ndarray:
    """(height, width) from 0 to 1: a 3 drawn with a pen of this width, in the middle, 120x220 where scale is 1."""
    width, height = size
    canvas = Image.new("L", (2 * width, 2 * height))  # and reduced, for soft edges
    draw = ImageDraw.Draw(canvas)
    x, y, r = width, height, 110 * scale
    for top, start, end in ((-2 * r, 190, 450), (0, 270, 530)):
        draw.arc((x - 1.1 * r, y + top, x + 0.9 * r, y + top + 2 * r), start, end, fill=255, width=round(2 * pen))
    return np.asarray(canvas.reduce(2), np.float32) / 255


def on_paper(ink: np.ndarray, paper: Any = 255, pen: Any = 0) -> np.ndarray:
    """(height, width, 3) in the colors of paper and pen."""
    paper, pen = (np.broadcast_to(np.asarray(color, np.float32), 3) for color in (paper, pen))
    return paper + (pen - paper) * ink[..., np.newaxis]


def lit(picture: np.ndarray, shadow: bool = False) -> np.ndarray:
    """A photograph of it: light from one side, a soft lens, a noisy sensor, and the shadow of the one who takes it."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width]
    light = 0.45 + 0.55 * (0.3 * y / height + 0.7 * x / width)
    if shadow:
        light = light * np.where(ndimage.gaussian_filter((x + 0.6 * y < 0.75 * width).astype(float), 2) > 0.5, 0.6, 1)
    noise = np.random.default_rng(0).normal(0, 6, picture.shape)
    return ndimage.gaussian_filter(picture * light[..., np.newaxis], (1, 1, 0)) + noise


def ruled(picture: np.ndarray) -> np.ndarray:
    """With a grey line every 40 pixels."""
    lines = np.ones((len(picture), 1, 1))
    lines[20::40], lines[21::40] = 0.7, 0.7
    return picture * lines


def save(pixels: np.ndarray, path: Path, **settings: Any) -> Path:
    Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8)).save(path, **settings)
    return path


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Of two images (height, width, 1), by pixel, but for a pixel's shift: rounding decides where the center is."""
    shifts = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return min(float(np.abs(np.roll(one, shift, axis=(0, 1)).astype(float) - other).mean()) for shift in shifts)


def test_what_a_model_of_mnist_has_seen(seen: dict[str, Any]) -> None:
    assert 2 < seen["stroke"] < 3
    assert {key: value for key, value in seen.items() if key != "stroke"} == {
        "shape": [28, 28, 1],
        "dtype": "uint8",
        "lowest": 0,
        "highest": 255,
        "class_names": list("0123456789"),
        "background": 0,
        "ink": "lighter",
        "ink_size": 20,
        "center": [14, 14],
    }


@pytest.mark.parametrize("kind", ["colored", "grey", "one color"])
def test_photographs_have_no_background(kind: str, mnist: Dataset) -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 12, 10, 3), dtype=np.uint8)
    images = {"colored": images, "grey": images[..., :1], "one color": np.zeros_like(images)}[kind]
    described = describe(of_images(images, mnist))
    assert described["shape"] == [12, 10, images.shape[-1]]
    assert [described[key] for key in ("background", "ink", "ink_size", "stroke", "center")] == [None] * 5


def test_images_in_the_order_of_their_classes_are_looked_at_throughout(mnist: Dataset) -> None:
    images = np.concatenate([np.zeros((4_000, 28, 28, 1), np.uint8), mnist.train.images])
    assert describe(of_images(images, mnist))["ink_size"] == 20


@pytest.mark.parametrize(
    ("how", "most"), [(Image.Resampling.NEAREST, 2), (Image.Resampling.BICUBIC, 9), (Image.Resampling.LANCZOS, 9)]
)
def test_a_real_digit_enlarged_and_inverted_comes_back_nearly_as_it_was(
    how: Image.Resampling, most: float, mnist: Dataset, seen: dict[str, Any], tmp_path: Path
) -> None:
    differences = []
    for image in mnist.test.images[:20]:
        enlarged = Image.fromarray(255 - image[..., 0]).resize((280, 280), how)
        enlarged.save(tmp_path / "digit.png")
        prepared = prepare(tmp_path / "digit.png", seen)
        assert prepared.steps[0] == "inverted: dark on light"
        differences.append(difference(prepared.pixels, image))
    assert np.mean(differences) < most, "of 255"


def test_a_picture_that_is_one_of_them_already_is_taken_as_it_is(
    mnist: Dataset, seen: dict[str, Any], tmp_path: Path
) -> None:
    image = mnist.test.images[0]
    for mode in ("L", "RGB"):
        Image.fromarray(image[..., 0]).convert(mode).save(tmp_path / "digit.png")
        prepared = prepare(tmp_path / "digit.png", seen)
        assert prepared.steps == ("as it is",)
        np.testing.assert_array_equal(prepared.pixels, image)
    Image.fromarray(255 - image[..., 0]).save(tmp_path / "digit.png")
    prepared = prepare(tmp_path / "digit.png", seen)
    assert prepared.steps[0] == "inverted: dark on light"
    assert difference(prepared.pixels, image) < 2


def plain(seen: dict[str, Any], folder: Path, **drawn: Any) -> np.ndarray:
    """The 3 in black on white, prepared."""
    return prepare(save(on_paper(three(**drawn)), folder / "plain.png"), seen).pixels


def test_ink_is_scaled_and_centered_as_in_mnist(seen: dict[str, Any], tmp_path: Path) -> None:
    elsewhere = np.roll(three((640, 480)), (90, -140), axis=(0, 1))
    prepared = prepare(save(on_paper(elsewhere), tmp_path / "three.png"), seen)
    height, width = np.ptp(np.argwhere(elsewhere > 0.25), axis=0) + 1
    assert prepared.steps == (
        "inverted: dark on light",
        f"cropped to the ink, {width}x{height}",
        "scaled to 20 of 28 pixels",
        "centered by mass",
    )
    pixels = prepared.pixels
    assert (pixels.shape, pixels.dtype) == ((28, 28, 1), np.uint8)
    assert pixels.any(axis=(1, 2)).sum() == 20
    assert ndimage.center_of_mass(pixels[..., 0]) == pytest.approx((14, 14), abs=0.6)
    assert pixels.max() == 255
    np.testing.assert_array_equal(prepared.original, np.asarray(Image.open(tmp_path / "three.png").resize((400, 300))))


MEDIA: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "light on dark": lambda ink: on_paper(ink, 0, 255),
    "chalk": lambda ink: on_paper(ink, (45, 75, 60), (225, 230, 225)),
    "red on yellow": lambda ink: on_paper(ink, (250, 240, 150), (200, 30, 60)),
    "as light as its paper": lambda ink: on_paper(ink, (120, 160, 90), (190, 110, 110)),
    "faint": lambda ink: on_paper(ink, 245, 205),
    "rough paper": lambda ink: on_paper(ink, 225, 60) + np.random.default_rng(0).normal(0, 8, (*ink.shape, 1)),
}


@pytest.mark.parametrize("medium", MEDIA)
def test_pens_and_papers_make_no_difference(medium: str, seen: dict[str, Any], tmp_path: Path) -> None:
    prepared = prepare(save(MEDIA[medium](three()), tmp_path / "three.png"), seen)
    assert difference(prepared.pixels, plain(seen, tmp_path)) < 3
    if medium != "as light as its paper":
        assert ("inverted: dark on light" in prepared.steps) == (medium not in ("light on dark", "chalk"))
    assert "uneven light evened out" not in prepared.steps
    assert ("faint ink strengthened" in prepared.steps) == (medium == "faint")


PHOTOS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "light from one side": lambda ink: lit(on_paper(ink, (230, 226, 215), (40, 45, 80))),
    "shadow": lambda ink: lit(on_paper(ink, (230, 226, 215), (40, 45, 80)), shadow=True),
    "board": lambda ink: lit(on_paper(ink, (50, 75, 60), (225, 228, 225))),
    "ruled": lambda ink: lit(ruled(on_paper(ink, (230, 226, 215), (40, 45, 80)))),
}


@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize("pen", [24, 5], ids=["marker", "fine pen"])
def test_photographs_of_paper_are_like_the_drawing_itself(
    photo: str, pen: int, seen: dict[str, Any], tmp_path: Path
) -> None:
    ink = three((600, 450), pen)
    prepared = prepare(save(PHOTOS[photo](ink), tmp_path / "three.jpg", quality=90), seen)
    assert prepared.steps[0] == "uneven light evened out"
    assert difference(prepared.pixels, plain(seen, tmp_path, size=(600, 450), pen=pen)) < 8


def test_lines_thinner_than_any_of_mnist_are_thickened(seen: dict[str, Any], tmp_path: Path) -> None:
    prepared = prepare(save(on_paper(three((1200, 900), 5, 2.0)), tmp_path / "three.png"), seen)
    assert "strokes thickened" in prepared.steps
    assert difference(prepared.pixels, plain(seen, tmp_path, size=(1200, 900), pen=50, scale=2.0)) < 12
    assert "strokes thickened" not in prepare(tmp_path / "plain.png", seen).steps


def test_pencil_on_paper_half_in_shadow(seen: dict[str, Any], tmp_path: Path) -> None:
    light = np.where(np.arange(400) < 180, 0.6, 1.0)
    drawing = on_paper(three(), 250, 190) * ndimage.gaussian_filter1d(light, 2)[:, np.newaxis]
    prepared = prepare(save(drawing, tmp_path / "three.png"), seen)
    assert difference(prepared.pixels, plain(seen, tmp_path)) < 3


def test_a_drawing_cropped_to_its_very_edges(seen: dict[str, Any], tmp_path: Path) -> None:
    ink = three(pen=40)
    (top, left), (bottom, right) = (f(np.argwhere(ink > 0.5), axis=0) for f in (np.min, np.max))
    prepared = prepare(save(on_paper(ink[top : bottom + 1, left : right + 1]), tmp_path / "three.png"), seen)
    assert difference(prepared.pixels, plain(seen, tmp_path, pen=40)) < 3


def test_what_reaches_in_from_outside_and_specks_are_left_out(seen: dict[str, Any], tmp_path: Path) -> None:
    ink = three()
    ink[:, :40] = 1  # the table beside the paper
    ink[370:373, 300:303] = 1
    prepared = prepare(save(on_paper(ink), tmp_path / "three.png"), seen)
    assert difference(prepared.pixels, plain(seen, tmp_path)) < 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_picture_is_read(mode: str, seen: dict[str, Any], tmp_path: Path) -> None:
    grey = Image.fromarray((255 - 255 * three()).astype(np.uint8))
    if mode == "I;16":
        Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(tmp_path / "three.png")
    else:
        grey.convert(mode).save(tmp_path / "three.png", "TIFF" if mode == "CMYK" else "PNG")
    assert difference(prepare(tmp_path / "three.png", seen).pixels, plain(seen, tmp_path)) < 3


@pytest.mark.parametrize(("pen", "paper"), [((20, 30, 120), "white"), ((255, 255, 255), "black")])
def test_transparency_falls_on_white_unless_the_ink_is_white(
    pen: tuple[int, int, int], paper: str, seen: dict[str, Any], tmp_path: Path
) -> None:
    layers = np.concatenate([np.broadcast_to(np.array(pen), (400, 400, 3)), 255 * three()[..., np.newaxis]], axis=-1)
    prepared = prepare(save(layers, tmp_path / "three.png"), seen)
    assert prepared.steps[0] == f"transparency on {paper}"
    assert difference(prepared.pixels, plain(seen, tmp_path)) < 2


def test_a_turned_photograph_is_turned_back(seen: dict[str, Any], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: to be shown turned by 90 degrees clockwise
    save(np.rot90(on_paper(three((300, 400)))), tmp_path / "three.png", exif=exif)
    prepared = prepare(tmp_path / "three.png", seen)
    assert prepared.steps[0] == "turned upright"
    assert prepared.original.shape == (400, 300, 3)
    assert difference(prepared.pixels, plain(seen, tmp_path, size=(300, 400))) < 1


@pytest.mark.parametrize(
    ("kind", "background", "full"), [("uint8", 255, 0), ("zero to one", 1.0, 0.0), ("minus one to one", 1.0, -1.0)]
)
def test_models_of_dark_on_light_get_dark_on_light_in_their_own_range(
    kind: str, background: float, full: float, mnist: Dataset, tmp_path: Path
) -> None:
    images = 255 - mnist.train.images
    if kind != "uint8":
        images = (images / 255 * (background - full) + full).astype(np.float32)
    images = images.repeat(3, axis=-1)
    described = describe(of_images(images, mnist))
    assert (described["background"], described["ink"], described["ink_size"]) == (background, "darker", 20)
    prepared = prepare(save(on_paper(three(), 0, 255), tmp_path / "three.png"), described)
    assert prepared.steps[0] == "inverted: light on dark"
    assert (prepared.pixels.shape, prepared.pixels.dtype) == ((28, 28, 3), images.dtype)
    assert (prepared.pixels[0, 0, 0], prepared.pixels.min()) == (background, full)


def test_for_models_of_photographs_all_of_the_picture_is_resized(tmp_path: Path) -> None:
    photo = lit(on_paper(three((300, 200)), (200, 220, 180), (90, 30, 200)))
    prepared = prepare(save(photo, tmp_path / "photo.png"), PHOTO)
    assert prepared.steps == ("resized from 300x200 to 48x32",)
    expected = Image.open(tmp_path / "photo.png").resize((48, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(prepared.pixels, np.asarray(expected))
    grey = prepare(
        tmp_path / "photo.png", PHOTO | {"shape": [32, 48, 1], "dtype": "float32", "highest": 0.99, "lowest": 0}
    )
    assert grey.steps == ("colors to grey", "resized from 300x200 to 48x32")
    np.testing.assert_allclose(grey.pixels[..., 0] * 255, expected.convert("L"), atol=2)


BLANK = {
    "white": np.full((300, 300, 3), 255.0),
    "one pixel": np.zeros((1, 1, 3)),
    "noise": np.random.default_rng(0).normal(200, 8, (300, 400, 3)),
    "much noise": np.random.default_rng(0).normal(150, 25, (300, 400, 3)),
    "light from one side": lit(np.full((300, 400, 3), 225.0)),
    "shadow": lit(np.full((300, 400, 3), 225.0), shadow=True),
    "as small as MNIST": np.zeros((28, 28, 3)),
}


@pytest.mark.parametrize("kind", BLANK)
def test_a_blank_picture_is_refused(kind: str, seen: dict[str, Any], tmp_path: Path) -> None:
    save(BLANK[kind], tmp_path / "blank.png")
    with pytest.raises(PipelineError, match=r"blank\.png: is blank; nothing in it stands out from its background"):
        prepare(tmp_path / "blank.png", seen)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"hello", "is not a picture of a known kind; save it as PNG or JPEG"),
        ("half of it", "is not a whole picture"),
        ("folder", "is a folder; name the pictures themselves"),
    ],
)
def test_what_is_no_picture_is_named(content: bytes | str | None, line: str, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    if content == "folder":
        file.mkdir()
    elif content == "half of it":
        whole = save(lit(on_paper(three())), file).read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
    elif content is not None:
        file.write_bytes(content)
    with pytest.raises(PipelineError) as raised:
        check(file)
    assert str(raised.value).startswith(f"{file}: {line}")
    assert "\n" not in str(raised.value)
