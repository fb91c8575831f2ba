"""Pictures of examples."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lit_adv.pictures import draw_examples, draw_shards
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


def test_shards_without_clean_images_are_refused_with_the_remedy(tmp_path: Path) -> None:
    shards = run_tiny(tmp_path, "--output.clean_images=false")
    with pytest.raises(ValueError, match=r"--output\.clean_images true"):
        draw_shards(str(shards), str(tmp_path / "examples.png"))
