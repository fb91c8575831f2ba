"""Pictures of examples."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import ImageNetInfo

from lit_adv.pictures import draw_examples, draw_shards, read_pairs
from tests.test_generate import run_tiny


def test_the_rows_show_clean_adversarial_and_amplified_change() -> None:
    clean = torch.full((2, 3, 40, 40), 100, dtype=torch.uint8)
    adversarial = clean.clone()
    adversarial[0] += 4
    adversarial[1] -= 2
    picture = np.asarray(draw_examples(clean, adversarial, ["a", "b"]))
    columns, rows = (24, 68), np.flatnonzero((picture[:, 24] == 100).all(1))
    assert len(rows) == 40
    top, strip = int(rows[0]), 40 + 2 * 4 + 22  # image, margins, title
    assert [int(picture[top, x, 0]) for x in columns] == [100, 100]
    assert [int(picture[top + strip, x, 0]) for x in columns] == [104, 98]
    assert [int(picture[top + 2 * strip, x, 0]) for x in columns] == [254, 64]


def test_shards_are_drawn_as_a_png(tmp_path: Path) -> None:
    shards = run_tiny(tmp_path)
    draw_shards(str(shards), str(tmp_path / "examples.png"), count=3)
    with Image.open(tmp_path / "examples.png") as picture:
        assert picture.format == "PNG"
        assert picture.width == 3 * (32 + 4) + 4


@pytest.mark.parametrize(("num_classes", "named"), [(10, False), (1000, True), (21841, False), (None, False)])
def test_classes_have_imagenet_s_names_where_the_record_says_that_there_are_as_many(
    num_classes: int | None, named: bool, tmp_path: Path
) -> None:
    shards, output = run_tiny(tmp_path), tmp_path / "examples.png"
    record = json.loads((shards / "job.json").read_text())
    record["data"]["num_classes"] = num_classes
    (shards / "job.json").write_text(json.dumps(record))
    if num_classes is None:  # shards that were copied without it
        (shards / "job.json").unlink()
    draw_shards(f"{shards}/*.tar", str(output), count=2)
    clean, adversarial, records = zip(*read_pairs(str(shards), 2), strict=True)
    names = (
        [str(ImageNetInfo().index_to_description(label)).split(",")[0] for label in range(10)] if named else range(10)
    )
    captions = [f"{names[record['label']]} -> {names[record['prediction']]}" for record in records]
    expected = draw_examples(torch.stack(clean), torch.stack(adversarial), captions)
    with Image.open(output) as picture:
        assert np.array_equal(np.asarray(picture), np.asarray(expected))


def test_shards_without_clean_images_are_refused_with_the_remedy(tmp_path: Path) -> None:
    shards = run_tiny(tmp_path, "--output.clean_images=false")
    with pytest.raises(ValueError, match=r"--output\.clean_images true"):
        draw_shards(str(shards), str(tmp_path / "examples.png"))
