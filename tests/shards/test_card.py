"""The data set card: what it says, and that other tools open the folder as it says."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lit_adv.shards.card import CARD_FILE
from tests.tiny_attacks import LINEAR, make_attacked, read_stored


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished folder of 13 images, whose name and shards' names lead no tool astray."""
    return make_attacked(tmp_path_factory.mktemp("card"), "mine", "--model.attack=mi_fgsm")


def run_blocks(folder: Path, *imports: str) -> dict[str, Any]:
    """Run those Python blocks of the card that import something, as a user would copy them."""
    namespace: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", (folder / CARD_FILE).read_text(), re.DOTALL | re.MULTILINE):
        if any(f"import {name}" in block for name in imports):
            exec(compile(block.replace("FOLDER", str(folder)), CARD_FILE, "exec"), namespace)  # noqa: S102
    return namespace


def test_it_says_in_words_what_the_folder_holds(folder: Path) -> None:
    text = (folder / CARD_FILE).read_text()
    totals = json.loads((folder / "manifest.json").read_text())["totals"]
    assert f"# Adversarial images: mi_fgsm on {LINEAR}" in text
    assert "| attack | `mi_fgsm`: eps 16/255, steps 10" in text
    assert "| perturbation budget | 16 grey levels in L-infinity |" in text
    assert "| images | 13 in 3 shards; 0 samples were skipped |" in text
    assert f"| clean accuracy | {totals['clean_accuracy']:.1%}: " in text
    assert f"| success rate | {totals['success_rate']:.1%} fool the surrogate" in text
    assert "lit-adv generate --config FOLDER/config.yaml" in text


def test_hugging_face_datasets_opens_the_folder_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    dataset = run_blocks(folder, "load_dataset")["dataset"]
    expected = {stored.key: stored for stored in read_stored(folder)}
    assert len(dataset) == len(expected) == 13
    for row in dataset:
        stored = expected[row["__key__"]]
        assert row["cls"] == stored.label
        np.testing.assert_array_equal(np.asarray(row["png"]).transpose(2, 0, 1), stored.adversarial)
        np.testing.assert_array_equal(np.asarray(row["clean.png"]).transpose(2, 0, 1), stored.clean)


def test_images_that_a_tool_has_looked_at_are_still_the_same_to_the_pixel(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    dataset = run_blocks(folder, "load_dataset")["dataset"].map(lambda row: {"width": row["png"].width})
    assert set(dataset["width"]) == {32}
    expected = {stored.key: stored for stored in read_stored(folder)}
    for row in dataset:
        pixels = np.asarray(row["png"]).transpose(2, 0, 1)
        np.testing.assert_array_equal(pixels, expected[row["__key__"]].adversarial)


def test_webdataset_reads_a_shard(folder: Path) -> None:
    samples = list(run_blocks(folder, "webdataset as wds")["dataset"])
    assert len(samples) == 7
    assert {"png", "clean.png", "cls", "json"} <= set(samples[0])


def test_timm_reads_the_adversarial_and_the_clean_images(folder: Path) -> None:
    made = run_blocks(folder, "create_dataset")
    stored = list(read_stored(folder))
    for name, images in (("adversarial", [s.adversarial for s in stored]), ("clean", [s.clean for s in stored])):
        read = [(np.asarray(image), label) for image, label in made[name]]
        assert [label for _, label in read] == [s.label for s in stored]
        for (pixels, _), expected in zip(read, images, strict=True):
            np.testing.assert_array_equal(pixels.transpose(2, 0, 1), expected)


def test_without_clean_images_nothing_is_said_of_them(tmp_path: Path) -> None:
    folder = make_attacked(tmp_path, "bare", "--output.clean_images=false", "--output.format=webp", sizes=[2])
    text = (folder / CARD_FILE).read_text()
    assert "clean.webp" not in text
    assert "encode a decoded WebP image again, lossily" in text
