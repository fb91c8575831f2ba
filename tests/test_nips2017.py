"""The field's own data set, from its CSV file to targeted success: pack, attack towards the targets, evaluate."""

import csv
import json
from pathlib import Path

import pytest

from lit_adv.cli.main import run
from tests.models_of_tests import linear
from tests.tiny_attacks import LINEAR, OTHER, SIZE, read_stored
from tests.tiny_shards import image_file

HEADER = [
    "ImageId", "URL", "x1", "y1", "x2", "y2", "TrueLabel", "TargetClass", "OriginalLandingURL", "License", "Author",
    "AuthorProfileURL",
]  # fmt: skip


@pytest.fixture
def competition(tmp_path: Path) -> Path:
    """A folder of 20 images, and the competition's table of them: names without extension, classes from 1."""
    (tmp_path / "images").mkdir()
    rows = []
    for number in range(20):
        name = f"{number:016x}"
        (tmp_path / f"images/{name}.png").write_bytes(image_file(number, (SIZE, SIZE), "PNG"))
        label, target = number % 10 + 1, (number + 3) % 10 + 1
        rows.append([name, "https://example.org/a", "0", "0", "1", "1", label, target, "", "CC0", "A, B", ""])
    with (tmp_path / "dev_dataset.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return tmp_path


def test_targeted_success_is_that_against_the_targets_of_the_table(
    competition: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(competition)
    quiet = ("--trainer.logger=false", "--trainer.accelerator=cpu")
    run(["pack", "images", "shards", "--labels", "dev_dataset.csv", "--classes", "nips2017"])
    run(
        [
            *(
                "generate",
                f"--model.surrogate={LINEAR}",
                "--model.attack=mi_fgsm",
                "--model.attack_options.target=given",
            ),
            *("--model.attack_options.eps=64/255", "--data.target_field=target_label", "--data.shards=shards"),
            *(f"--data.image_size={SIZE}", "--data.num_classes=10", "--output.path=adversarial", *quiet),
        ]
    )
    targets = f"--model.targets=[{LINEAR}, {OTHER}]"
    run(["test", "--data.attacks={mi: adversarial}", targets, "--report.path=report", *quiet])

    stored = list(read_stored(Path("adversarial")))
    numbers = [int(one.key, 16) for one in stored]
    assert [one.label for one in stored] == [number % 10 for number in numbers]
    aims = [(number + 3) % 10 for number in numbers]
    model = linear()
    for one, number in zip(stored, numbers, strict=True):  # of the model's size already: not a pixel is changed
        assert one.clean.shape == (3, SIZE, SIZE)
        assert one.key == f"{number:016x}"
    reached = sum(
        int(model(one.adversarial[None] / 255).argmax()) == aim for one, aim in zip(stored, aims, strict=True)
    )
    white_box, _ = json.loads(Path("report/results.json").read_text())
    assert (white_box["targeted_success_hits"], white_box["targeted_success_total"]) == (reached, 20)
    assert reached > 0
    assert "class aimed at" in capsys.readouterr().out
