"""Each source of images, right and wrong."""

import gzip
import hashlib
import json
import struct
from collections.abc import Callable
from email.message import Message
from io import BytesIO
from pathlib import Path
from urllib.request import Request
from urllib.response import addinfourl

import numpy as np
import pytest
from conftest import command, configuration
from PIL import Image

from pipeline import datasets, pictures
from pipeline.contracts import Dataset
from pipeline.datasets.download import openml
from pipeline.datasets.image_folder import image_folder
from pipeline.datasets.source import verify
from pipeline.errors import PipelineError


def load(*overrides: str) -> Dataset:
    return datasets.load(configuration(*overrides).dataset)


def test_mnist5k_is_5000_real_digits_in_stratified_splits() -> None:
    data = load()
    assert [len(split) for split in (data.train, data.val, data.test)] == [3000, 1000, 1000]
    assert data.image_shape == (28, 28, 1)
    assert data.train.images.dtype == np.uint8
    for split, each in ((data.train, 300), (data.val, 100), (data.test, 100)):
        assert np.bincount(split.labels).tolist() == [each] * 10
    assert data.class_names == tuple("0123456789")
    whole = np.concatenate([split.images.reshape(len(split), -1) for split in (data.train, data.val, data.test)])
    assert whole.max() == 255
    assert len(np.unique(whole, axis=0)) == 5000, "no image stands in two splits"


def test_digits_are_8x8_and_scaled_by_16() -> None:
    data = load("dataset=digits")
    assert data.image_shape == (8, 8, 1)
    assert data.scale == 1 / 16


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_a_local_file_stands_in_for_the_download(name: str, write_npz: Callable[..., Path]) -> None:
    own_classes = "dataset.class_names=[a,b,c]"
    data = load(f"dataset={name}", f"dataset.path={write_npz()}", "dataset.split.val=15", own_classes)
    assert [len(split) for split in (data.train, data.val, data.test)] == [45, 15, 15]
    assert data.class_names == ("a", "b", "c")


@pytest.mark.parametrize("name", ["mnist", "openml"])
def test_a_download_that_fails_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nobody listens there
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "sklearn"))
    done = command(f"dataset={name}", cwd=tmp_path, fresh=name == "mnist")  # Keras is imported with its home
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {name}")
    assert "the download failed" in done.stderr
    assert "Connection refused" in done.stderr
    assert done.stderr.count("\n") == 1


class TestOpenml:
    def publish(
        self, pixels: int, classes: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> np.ndarray:
        """60 images on an OpenML of our own."""
        images = np.random.default_rng(0).integers(0, 256, (60, pixels))
        kinds = {f"pixel{n}": "numeric" for n in range(pixels)} | {"class": "nominal"}
        header = [f"@ATTRIBUTE {name} {kind}" for name, kind in kinds.items()]
        rows = [",".join(map(str, [*row, classes[n % len(classes)]])) for n, row in enumerate(images)]
        data = "\n".join([*header, "@DATA", *rows]).encode()
        flags = dict.fromkeys(("is_target", "is_ignore", "is_row_identifier"), "false")
        features = [
            {"name": name, "data_type": kind, "number_of_missing_values": "0", **flags} for name, kind in kinds.items()
        ]
        features[-1]["is_target"] = "true"
        description = {"status": "active", "format": "ARFF", "url": "https://www.openml.org/data/v1/download/1"}
        answers = {
            "data/1": {"data_set_description": description | {"md5_checksum": hashlib.md5(data).hexdigest()}},
            "features/1": {"data_features": {"feature": features}},
            "qualities/1": {"data_qualities": {"quality": [{"name": "NumberOfInstances", "value": "60"}]}},
        }

        def answer(request: Request) -> addinfourl:
            end = "/".join(request.full_url.split("/")[-2:])
            content = json.dumps(answers[end]).encode() if end in answers else data
            return addinfourl(BytesIO(content), Message(), request.full_url)

        monkeypatch.setattr("sklearn.datasets._openml.urlopen", answer)
        monkeypatch.setenv("SCIKIT_LEARN_DATA", str(folder))
        return images

    @pytest.mark.parametrize("classes", [("0", "1", "2"), ("'0'", "'1'", "'2'")], ids=["bare", "quoted"])
    def test_square_images(self, classes: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        images = self.publish(9, classes, tmp_path, monkeypatch)
        found = verify(openml(1), None)
        np.testing.assert_array_equal(found.images, images.reshape(60, 3, 3, 1))
        np.testing.assert_array_equal(found.labels, np.arange(60) % 3)
        assert found.images.dtype == np.uint8

    @pytest.mark.parametrize(
        ("pixels", "classes", "reason"), [(5, ("0", "1"), "cannot reshape"), (4, ("iris", "rose"), "iris")]
    )
    def test_other_data_is_refused(
        self, pixels: int, classes: tuple[str, ...], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.publish(pixels, classes, tmp_path, monkeypatch)
        with pytest.raises(PipelineError, match=rf"^openml 1: must hold square grey images .*{reason}"):
            openml(1)


class TestNpz:
    def test_grey_and_color_of_any_size(self, write_npz: Callable[..., Path]) -> None:
        color = np.zeros((60, 12, 20, 3), np.uint8)
        data = load("dataset=npz", f"dataset.path={write_npz(x_train=color, x_test=color[:15])}")
        assert data.image_shape == (12, 20, 3)
        assert len(data.class_names) == 3

    @pytest.mark.parametrize(
        ("images", "dtype", "scale"),
        [
            (np.arange(3840) % 256, np.uint8, 1 / 255),
            (np.arange(3840), np.uint16, 1 / 65535),
            (np.arange(3840) % 2, np.uint8, 1.0),
            (np.arange(3840) % 2 == 0, np.float32, 1.0),
            (np.linspace(0, 1, 3840), np.float32, 1.0),
        ],
    )
    def test_pixels_of_any_type_come_in_the_narrowest(
        self, images: np.ndarray, dtype: type, scale: float, write_npz: Callable[..., Path]
    ) -> None:
        images = images.reshape(60, 8, 8)
        data = load("dataset=npz", f"dataset.path={write_npz(x_train=images, x_test=images[-15:])}")
        assert (data.train.images.dtype, data.scale) == (dtype, scale)

    def test_a_test_split_of_lower_values_has_the_training_splits_type(self, write_npz: Callable[..., Path]) -> None:
        bright = np.arange(3840).reshape(60, 8, 8)
        data = load("dataset=npz", f"dataset.path={write_npz(x_train=bright, x_test=bright[:3], y_test=np.arange(3))}")
        assert data.test.images.dtype == data.train.images.dtype == np.uint16

    def test_an_empty_test_split_is_refused(self, write_npz: Callable[..., Path]) -> None:
        path = write_npz(x_test=np.zeros((0, 8, 8), np.uint8), y_test=np.zeros(0, int))
        with pytest.raises(PipelineError, match="test split: holds no images"):
            load("dataset=npz", f"dataset.path={path}")

    def test_a_training_split_without_a_class_is_refused(self, write_npz: Callable[..., Path]) -> None:
        path = write_npz(y_train=np.sort(np.arange(60) % 3))
        with pytest.raises(PipelineError, match="no training image has the label 2"):
            load("dataset=npz", f"dataset.path={path}", "dataset.split.seed=null", "dataset.split.val=20")

    def test_it_is_read_again_when_it_has_changed(self, write_npz: Callable[..., Path]) -> None:
        cfg = configuration("dataset=npz", f"dataset.path={write_npz()}").dataset
        first = datasets.load(cfg)
        assert datasets.load(cfg) is first
        write_npz(x_test=np.zeros((15, 8, 8), np.uint8))
        assert datasets.load(cfg).sha256 != first.sha256

    def test_a_test_split_is_cut_where_there_is_none(self, write_npz: Callable[..., Path]) -> None:
        path = write_npz(x_test=None, y_test=None)
        with pytest.raises(PipelineError, match=r"dataset.split.test=null: .*data.npz has no test split of its own"):
            load("dataset=npz", f"dataset.path={path}")
        assert len(load("dataset=npz", f"dataset.path={path}", "dataset.split.test=12").test) == 12

    @pytest.mark.parametrize(
        ("replaced", "line"),
        [
            ({"y_train": None}, "has no array y_train; found x_test, x_train, y_test"),
            ({"y_train": np.arange(60) % 3 * 2}, "no image has the label 1; labels must be 0 to 4 without a gap"),
            ({"y_train": np.arange(60) % 3 - 1}, "label -1 of image 0; must be a whole number from 0"),
            ({"y_train": np.arange(60) % 3 + 0.5}, "label 0.5 of image 0; must be a whole number from 0"),
            ({"y_train": np.array(["cat", "dog", "eel"] * 20)}, "labels have the type <U3; must be whole numbers"),
            ({"y_train": np.zeros(60, int)}, "has one class; a classifier needs at least 2"),
            ({"y_train": np.arange(59) % 3}, "60 images but 59 labels"),
            ({"y_test": np.arange(15) % 4}, "test label 3 exceeds the 3 classes"),
            ({"x_train": np.full((60, 8, 8), np.nan)}, "3840 pixels are NaN or infinite, the first in image 0"),
            ({"x_train": np.zeros((60, 64), np.uint8)}, r"images have the shape (60, 64); must be"),
            ({"x_train": np.zeros((60, 8, 8, 2), np.uint8)}, r"images have the shape (60, 8, 8, 2); must be"),
            (
                {"x_train": np.zeros((60, 9, 9), np.uint8)},
                "test images are uint8 (8, 8, 1), training images uint8 (9, 9, 1)",
            ),
            (
                {"x_train": np.zeros((60, 8, 8), np.float64)},
                "test images are uint8 (8, 8, 1), training images float32 (8, 8, 1)",
            ),
            ({"x_train": np.zeros((60, 0, 8), np.uint8)}, "holds no images: the shape is (60, 0, 8, 1)"),
            ({"y_train": np.where(np.arange(60) == 7, 2_000_000_000, np.arange(60) % 3)}, "no image has the label 3"),
            ({"x_train": np.full((60, 8, 8), -1)}, "whole-number pixels from -1 to -1; must be 0 to 255, or to 65535"),
            ({"x_train": np.full((60, 8, 8), "x")}, "pixels have the type <U1; must be numbers"),
        ],
    )
    def test_wrong_arrays_are_refused(self, replaced: dict, line: str, write_npz: Callable[..., Path]) -> None:
        path = write_npz(**replaced)
        with pytest.raises(PipelineError) as refusal:
            load("dataset=npz", f"dataset.path={path}")
        assert str(refusal.value).startswith(f"{path}: {line}")

    @pytest.mark.parametrize("size", [0, 10, 200, 2000])
    def test_a_truncated_file_is_refused(self, size: int, write_npz: Callable[..., Path]) -> None:
        path = write_npz()
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(PipelineError, match=r"data.npz: is not a whole .npz file"):
            load("dataset=npz", f"dataset.path={path}")

    def test_a_lone_npy_file_is_refused(self, tmp_path: Path) -> None:
        np.save(tmp_path / "array.npy", np.zeros(3))
        with pytest.raises(PipelineError, match="is not a whole .npz file"):
            load("dataset=npz", f"dataset.path={tmp_path / 'array.npy'}")

    def test_two_classes_of_one_name_are_refused(self, write_npz: Callable[..., Path]) -> None:
        with pytest.raises(PipelineError, match=r"two classes have one name in a, a, b"):
            load("dataset=npz", f"dataset.path={write_npz()}", "dataset.class_names=[a,a,b]")

    def test_labels_beyond_the_given_class_names_are_refused(self, write_npz: Callable[..., Path]) -> None:
        with pytest.raises(PipelineError, match="label 2 exceeds the 2 classes; labels must be 0 to 1"):
            load("dataset=npz", f"dataset.path={write_npz()}", "dataset.class_names=[a,b]")


class TestCsv:
    HEADER = "label," + ",".join(f"pixel{n}" for n in range(4))

    def write(self, folder: Path, *lines: str) -> str:
        (folder / "data.csv").write_text("\n".join(lines) + "\n")
        return f"dataset.path={folder / 'data.csv'}"

    @pytest.mark.parametrize("header", [(), (HEADER,)], ids=["bare", "header"])
    def test_kaggles_layout(self, header: tuple[str, ...], tmp_path: Path) -> None:
        rows = [f"{n % 2},{n},0,128,255" for n in range(20)]
        data = load("dataset=csv", self.write(tmp_path, *header, *rows), "dataset.split.seed=null")
        assert data.image_shape == (2, 2, 1)
        assert data.train.images.dtype == np.uint8
        assert data.train.images[1].ravel().tolist() == [1, 0, 128, 255]
        assert data.train.labels.tolist()[:4] == [0, 1, 0, 1]

    def test_a_byte_order_mark_or_compression_loses_no_row(self, tmp_path: Path) -> None:
        text = "".join(f"{n % 2},{n},0,128,255\n" for n in range(20))
        (tmp_path / "marked.csv").write_text(text, encoding="utf-8-sig")
        (tmp_path / "data.csv.gz").write_bytes(gzip.compress(text.encode()))
        for name in ("marked.csv", "data.csv.gz"):
            data = load("dataset=csv", f"dataset.path={tmp_path / name}")
            assert sum(len(split) for split in (data.train, data.val, data.test)) == 20

    def test_a_shape_and_a_second_file(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, *(f"{n % 2},1,2,3" for n in range(20)))
        (tmp_path / "test.csv").write_text("0,1,2,3\n1,4,5,6\n")
        second = f"dataset.test_path={tmp_path / 'test.csv'}"
        data = load("dataset=csv", path, second, "dataset.shape=[1,3,1]", "dataset.split.test=null")
        assert data.image_shape == (1, 3, 1)
        assert data.test.images[1].ravel().tolist() == [4, 5, 6]

    @pytest.mark.parametrize(
        ("rows", "line"),
        [
            (["0,1,2,3,4", "1,1,x,3,4"], "could not convert string 'x' to float32 at row 1, column 3"),
            (["0,1,2,3,4", "1,1,2,3"], "the number of columns changed from 5 to 4 at row 2"),
            (["0,1,2,3", "1,1,2,3"], "3 pixels a row do not make an image of 1x1x1; give dataset.shape"),
            (["0,1,2,3,nan", "1,1,2,3,4"], "1 pixels are NaN or infinite, the first in image 0"),
            (["0", "1"], "0 pixels a row do not make an image"),
            (["x0,1,2,3,4", "1,1,2,3,4"], "could not convert string 'x0' to float32 at row 0, column 1"),
            (["0;1;2;3;4", "1;1;2;3;4"], "could not convert string '0;1;2;3;4' to float32 at row 0, column 1"),
            (["label,a,b,c,d"], "has no rows"),
            ([], "has no rows"),
        ],
    )
    def test_wrong_rows_are_refused(self, rows: list[str], line: str, tmp_path: Path) -> None:
        path = self.write(tmp_path, *rows)
        with pytest.raises(PipelineError) as refusal:
            load("dataset=csv", path)
        assert line in str(refusal.value)
        assert str(tmp_path / "data.csv") in str(refusal.value)


class TestIdx:
    NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

    def write(self, folder: Path, compress: bool) -> None:
        for name, count in zip(self.NAMES, (40, 40, 10, 10), strict=True):
            array = (
                np.arange(count * 9, dtype=np.uint8).reshape(count, 3, 3) if "images" in name else np.arange(count) % 2
            )
            sizes = struct.pack(f">{array.ndim}I", *array.shape)
            content = bytes((0, 0, 8, array.ndim)) + sizes + array.astype(np.uint8).tobytes()
            file = folder / (f"{name}.gz" if compress else name)
            file.write_bytes(gzip.compress(content) if compress else content)

    @pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzipped"])
    def test_the_four_files(self, compress: bool, tmp_path: Path) -> None:
        self.write(tmp_path, compress)
        data = load("dataset=idx", f"dataset.path={tmp_path}", "dataset.split.seed=null")
        assert data.image_shape == (3, 3, 1)
        assert [len(split) for split in (data.train, data.val, data.test)] == [36, 4, 10]
        assert data.train.images[1].ravel().tolist() == list(range(9, 18))

    @pytest.mark.parametrize(
        ("change", "line"),
        [
            (lambda content: b"\x00\x00\x0d\x03" + content[4:], "magic number 00000d03; must be 00000803"),
            (lambda content: content[:-1], "holds 359 bytes of data; its header promises 360"),
            (lambda content: content[:9], "ends after 9 bytes, inside the header"),
            (lambda content: b"", "magic number missing; must be 00000803"),
        ],
    )
    def test_a_wrong_file_is_refused(self, change: Callable, line: str, tmp_path: Path) -> None:
        self.write(tmp_path, compress=False)
        wrong = tmp_path / self.NAMES[0]
        wrong.write_bytes(change(wrong.read_bytes()))
        with pytest.raises(PipelineError) as refusal:
            load("dataset=idx", f"dataset.path={tmp_path}")
        assert str(refusal.value) == f"{wrong}: {line}"

    def test_missing_and_broken_archives_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(PipelineError, match="has no file train-images-idx3-ubyte or train-images-idx3-ubyte.gz"):
            load("dataset=idx", f"dataset.path={tmp_path}")
        self.write(tmp_path, compress=True)
        broken = tmp_path / f"{self.NAMES[1]}.gz"
        broken.write_bytes(broken.read_bytes()[:-9])
        with pytest.raises(PipelineError, match="is not a whole gzip file"):
            load("dataset=idx", f"dataset.path={tmp_path}")


class TestImageFolder:
    def write(self, folder: Path, mode: str = "L", size: tuple[int, int] = (10, 6), suffix: str = "png") -> str:
        for number, name in enumerate(("cat", "dog")):
            (folder / name).mkdir(exist_ok=True)
            for index in range(10):
                color = (40 * number, 10 * index, 200)[: len(mode)]
                Image.new(mode, size, color if len(mode) > 1 else 10 * index).save(folder / name / f"{index}.{suffix}")
        return f"dataset.path={folder}"

    def test_grey_pictures(self, tmp_path: Path) -> None:
        data = load("dataset=image_folder", self.write(tmp_path))
        assert data.image_shape == (6, 10, 1)
        assert data.class_names == ("cat", "dog")

    def test_color_jpegs_resized(self, tmp_path: Path) -> None:
        data = load("dataset=image_folder", self.write(tmp_path, "RGB", suffix="jpg"), "dataset.size=[8,5]")
        assert data.image_shape == (8, 5, 3)

    def test_one_colored_picture_makes_all_colored_unless_told(self, tmp_path: Path) -> None:
        path = self.write(tmp_path)
        Image.new("RGB", (10, 6), (255, 0, 0)).save(tmp_path / "cat" / "red.png")
        assert load("dataset=image_folder", path).image_shape == (6, 10, 3)
        assert load("dataset=image_folder", path, "dataset.channels=1").image_shape == (6, 10, 1)

    def test_wrong_folders_are_refused(self, tmp_path: Path) -> None:
        path = self.write(tmp_path)
        broken = tmp_path / "dog" / "3.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 100), dtype=np.uint8)).save(broken)
        broken.write_bytes(broken.read_bytes()[:3000])
        with pytest.raises(PipelineError, match=r"dog/3.png: is not a whole picture"):
            load("dataset=image_folder", path)
        broken.write_text("not a picture")
        with pytest.raises(PipelineError, match=r"dog/3.png: is not a picture of a known kind"):
            load("dataset=image_folder", path)
        Image.fromarray(np.full((6, 10), 3000, np.uint16)).save(broken)
        with pytest.raises(PipelineError, match=r"dog/3.png: has more than 8 bits a channel"):
            load("dataset=image_folder", path)
        Image.new("L", (7, 7)).save(broken)
        with pytest.raises(PipelineError, match=r"pictures have 2 sizes.*give dataset.size=\[height,width\]"):
            load("dataset=image_folder", path)
        with pytest.raises(PipelineError, match="dataset.channels=4: must be 1, 3 or null"):
            load("dataset=image_folder", path, "dataset.channels=4")
        with pytest.raises(PipelineError, match=r"cat: has 0 sub-folders; needs one per class, at least 2"):
            load("dataset=image_folder", f"dataset.path={tmp_path / 'cat'}")
        (tmp_path / "empty").mkdir()
        with pytest.raises(PipelineError, match=r"empty: holds no picture"):
            load("dataset=image_folder", path)
        (tmp_path / "empty" / "inner").mkdir()
        with pytest.raises(PipelineError, match=r"empty/inner: is a folder; a class's pictures lie in its folder"):
            load("dataset=image_folder", path)

    def test_no_file_is_left_out_unsaid(self, tmp_path: Path) -> None:
        path = self.write(tmp_path)
        for suffix in ("bmp", "webp", "gif", "TIFF"):
            Image.new("L", (10, 6)).save(tmp_path / "dog" / f"other.{suffix}")
        for name in (".DS_Store", "Thumbs.db"):
            (tmp_path / "dog" / name).write_text("of the system's")
        data = load("dataset=image_folder", path, "dataset.channels=1")
        assert sum(len(split) for split in (data.train, data.val, data.test)) == 24
        (tmp_path / "dog" / "photo.heic").write_bytes(b"ftypheic")
        with pytest.raises(PipelineError, match=r"photo.heic: is not a picture of a known kind; save it as PNG"):
            load("dataset=image_folder", path)

    @pytest.mark.parametrize("drawn", ["turned", "black on nothing", "white on nothing"])
    def test_a_picture_is_what_predict_makes_of_it(self, drawn: str, tmp_path: Path) -> None:
        path = self.write(tmp_path, "RGB", size=(6, 10))
        pixels = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)
        exif = Image.Exif()
        if drawn == "turned":
            exif[0x0112] = 6
        else:
            ink = np.full((10, 6, 3), 0 if drawn.startswith("black") else 255, np.uint8)
            pixels = np.concatenate([ink, 255 * (np.arange(60) % 7 == 0).astype(np.uint8).reshape(10, 6, 1)], axis=2)
        first = tmp_path / "cat" / "0.png"
        Image.fromarray(pixels).save(first, exif=exif)
        source = image_folder(path.partition("=")[2])
        seen = {"shape": [10, 6, 3], "dtype": "uint8", "lowest": 0, "highest": 255, "background": None}
        np.testing.assert_array_equal(source.images[0], pictures.prepare(first, seen).pixels)
        assert source.images[0].std() > 50

    def test_names_that_other_folders_have_are_refused(self, tmp_path: Path) -> None:
        path = self.write(tmp_path)
        assert load("dataset=image_folder", path, "dataset.class_names=[Katze,Hund]").class_names == ("Katze", "Hund")
        for names in ("dog,cat", "dog,wolf"):
            with pytest.raises(PipelineError, match=r"dataset.class_names: cat can't be named dog, .* are cat, dog"):
                load("dataset=image_folder", path, f"dataset.class_names=[{names}]")
