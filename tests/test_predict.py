"""`python -m pipeline.predict`."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, FinishedRun, command, configuration
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from pipeline import datasets, device, models, pictures
from pipeline.errors import PipelineError
from pipeline.figures.pictures import MOST_PICTURES, predicted
from pipeline.predict import predict, show
from pipeline.tracking.stored import open_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A CNN on the 3,000 digits of mnist5k."""
    folder = tmp_path_factory.mktemp("trained")
    done = command("model=cnn", "epochs=5", "figures=none", cwd=folder)
    assert done.returncode == 0, done.stderr
    return FinishedRun(folder, done)


def run_id(run: FinishedRun) -> str:
    return run.done.stdout.split()[-1]


def draw(file: Path, digit: int) -> Path:
    """A 0, 1, 4 or 7, each on another paper."""
    picture, color, width = {
        0: (Image.new("RGBA", (300, 420)), (20, 40, 150, 255), 18),
        1: (Image.new("L", (200, 200), 255), 0, 14),
        4: (Image.new("RGB", (900, 700), (45, 75, 60)), (225, 230, 225), 30),
        7: (Image.new("RGB", (1600, 1200), (250, 240, 150)), (200, 30, 60), 9),
    }[digit]
    pen = ImageDraw.Draw(picture)
    if digit == 0:
        pen.ellipse((70, 80, 220, 330), outline=color, width=width)
    if digit == 1:
        pen.line((104, 40, 96, 160), color, width)
    if digit == 4:
        pen.line([(400, 150), (300, 400), (520, 400)], color, width, "curve")
        pen.line((480, 260, 450, 580), color, width)
    if digit == 7:
        pen.line([(500, 300), (900, 290), (650, 950)], color, width, "curve")
    picture.save(file)
    return file


def test_pictures_get_a_table_and_a_figure(
    trained: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    digits = (0, 1, 4, 7)
    names = [draw(tmp_path / f"drawn {digit}.png", digit).name for digit in digits]
    (tmp_path / "predictions.png").write_text("somebody's own")
    store = str(trained.folder / "mlruns")
    done = command(run_id(trained), *names, "--store", store, cwd=tmp_path, module="pipeline.predict")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    for digit, name in zip(digits, names, strict=True):
        [row] = [line for line in lines if line.startswith(f"│ {name} ")]
        cells = [cell.split() for cell in row.strip("│").split("│")]
        assert cells[1][0] == str(digit)
        assert len(cells) == 3 + 10
        assert cells[3 + digit] == [f"{float(cells[1][1]):.2f}"]
    steps = "transparency on white; inverted: dark on light; cropped to the ink, 151x251; "
    assert f"drawn 0.png: {steps}scaled to 20 of 28 pixels; centered by mass" in lines
    assert lines[-1] == "look at it:    predictions-2.png"
    assert (tmp_path / "predictions.png").read_text() == "somebody's own"
    with Image.open(tmp_path / "predictions-2.png") as figure:
        assert figure.width > 600
    assert {path.name for path in tmp_path.iterdir()} == {*names, "predictions.png", "predictions-2.png"}


def test_real_digits_enlarged_and_inverted_are_recognized_like_the_originals(
    trained: FinishedRun, tmp_path: Path
) -> None:
    test = datasets.load(configuration("dataset=mnist5k").dataset).test
    originals, labels = test.images[:50], test.labels[:50]
    device.prepare("auto", "float32", seed=0)
    with open_run(run_id(trained), str(trained.folder / "mlruns")) as stored:
        seen, model = stored.json("input.json"), stored.model()
    back = []
    for image in originals:
        enlarged = Image.fromarray(255 - image[..., 0]).resize((300, 300), Image.Resampling.BICUBIC)
        sheet = Image.new("L", (640, 480), 255)
        sheet.paste(enlarged, (200, 30))
        sheet.save(tmp_path / "digit.png")
        back.append(pictures.prepare(tmp_path / "digit.png", seen).pixels)
    family = models.family("network")
    as_they_were, as_they_came_back = (family.predict(model, np.stack(part)).argmax(1) for part in (originals, back))
    assert (as_they_came_back == as_they_were).mean() >= 0.9
    assert (as_they_came_back == labels).mean() >= 0.9


def test_estimators_predict_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    done = command("model=sgd_classifier", *TINY[:3], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    draw(tmp_path / "one.png", 1)
    monkeypatch.chdir(tmp_path)
    predict(
        done.stdout.split()[-1], ["one.png"], "nowhere", Path("one.pdf"), uri=f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    )
    printed = capsys.readouterr().out
    assert re.search(r"│ one\.png │ 1  [01]\.\d{3}", printed)
    assert printed.endswith("look at it:    one.pdf\n")
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF")


def test_a_wrong_picture_is_named_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    draw(tmp_path / "right.png", 1)
    (tmp_path / "wrong.png").write_text("no picture")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipeline.predict", "any", "right.png", "wrong.png"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[-1] == "error: wrong.png: is not a picture of a known kind; save it as PNG or JPEG"
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time")}
    assert "PIL" in imported
    assert imported.isdisjoint({"keras", "tensorflow", "mlflow", "matplotlib", "sklearn"})


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"run_id": "0123"}, "0123: no such run in mlruns"),
        ({"store": "nowhere"}, "nowhere/mlflow.db: no such file"),
        ({"output": Path("figure.doc")}, "--output figure.doc: must end in one of .png, .pdf, .svg, .jpg"),
        ({"output": Path("nowhere/figure.png")}, "--output nowhere/figure.png: there is no folder nowhere"),
        ({"paths": ["one.png", "blank.png"]}, "blank.png: is blank; nothing in it stands out from its background"),
    ],
)
def test_what_is_wrong_is_named(
    arguments: dict, line: str, trained: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.folder)
    draw(trained.folder / "one.png", 1)
    Image.new("L", (300, 300), 255).save(trained.folder / "blank.png")
    right = {"run_id": run_id(trained), "paths": ["one.png"], "store": "mlruns", "output": tmp_path / "figure.png"}
    with pytest.raises(PipelineError, match=f"^{re.escape(line)}"):
        predict(**right | arguments)
    assert not list(tmp_path.iterdir())


def test_a_run_that_does_not_say_what_it_has_seen_is_to_be_trained_again(
    trained: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.folder)
    draw(trained.folder / "one.png", 1)
    [file] = (trained.folder / "mlruns" / "artifacts").rglob("input.json")
    renamed = file.rename(file.with_name("other.json"))
    try:
        with pytest.raises(PipelineError, match=r"is of an older version .* train it again$"):
            predict(run_id(trained), ["one.png"], "mlruns", Path("figure.png"))
    finally:
        renamed.rename(file)


@pytest.mark.parametrize(("columns", "classes"), [(150, 10), (80, 10), (150, 13), (80, 2)])
def test_the_table_has_all_classes_where_there_is_room(
    columns: int, classes: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    probabilities = np.full((2, classes), 0.1 / (classes - 1))
    probabilities[0, 1], probabilities[1, :2] = 0.9, (0.45, 0.49)
    show(["[bold].png", ":smile:.png"], probabilities, [f"c{number}" for number in range(classes)])
    printed = capsys.readouterr().out
    rows = [line.strip("│").split("│") for line in printed.splitlines() if line.startswith("│")]
    everything = (columns, classes) == (150, 10) or classes == 2
    assert {len(row) for row in rows} == {3 + classes if everything else 4}
    assert [row[0].strip() for row in rows] == ["[bold].png", ":smile:.png"]
    assert [row[1].strip() for row in rows] == ["c1  0.900", "c1  0.490  unsure"]
    assert rows[1][2].strip() == "c0  0.450"
    assert ("third" in printed) is not everything


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in (*axes.texts, *axes.get_yticklabels())]


def test_the_figure_says_what_each_picture_is_taken_for() -> None:
    originals = [np.zeros((40, 30, 3), np.uint8), np.zeros((30, 90, 3), np.uint8)]
    probabilities = np.array([[0.02, 0.9, 0.08], [0.45, 0.3, 0.25]])
    for channels in (1, 3):
        pixels = np.random.default_rng(0).random((2, 8, 6, channels)).astype(np.float32)
        figure = predicted(originals, pixels, probabilities, ["a.png", "$b$.png"], ["cat", "dog", "$x$"])
        figure.draw_without_rendering()
        assert [axes.get_xlabel() for axes in figure.axes[:2]] == ["a.png", "8x6"]
        assert texts(figure)[:2] == ["dog", "90.0 %"]
        assert "45.0 %, unsure" in texts(figure)
        assert figure.axes[4].get_xlabel() == r"\$b\$.png"


def test_of_many_pictures_the_first_are_shown_and_it_is_said() -> None:
    count = MOST_PICTURES + 5
    pixels = np.zeros((count, 8, 8, 1), np.uint8)
    figure = predicted([pixels[0].repeat(3, -1)] * count, pixels, np.full((count, 7), 1 / 7), ["a"] * count, "abcdefg")
    assert len(figure.axes) == 4 * MOST_PICTURES
    said = "the first 20 of 25 as it came and as the model sees it, the class it is taken for, and the probabilities"
    assert any(text.get_text() == f"{said} of the 5 likeliest of 7 classes." for text in figure.texts)
