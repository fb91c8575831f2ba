"""Clean images: what models make of them, whole and scaled."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lit_adv.cli.main import run
from lit_adv.data.decoder import Decoder
from lit_adv.models import load_model
from lit_adv.shards.tar import ShardError, index_samples, read_sample
from tests.tiny_attacks import LINEAR, OTHER, SIZE
from tests.tiny_shards import MakeShard, sample_files, tar_bytes

MODELS = [{"name": "one", "model": LINEAR}, {"name": "two", "model": OTHER}]
SCALES = [0.5, 1.0]


def clean(
    shards: str, report: Path, *options: str, scales: list[float] = SCALES, models: list[Any] = MODELS
) -> dict[str, Any]:
    """Run ``lit-adv clean``; return what it found."""
    settings = [f"--model.models={json.dumps(models)}", f"--model.scales={scales}", f"--report.path={report}"]
    data = [f"--data.shards={shards}", f"--data.image_size={SIZE}", "--data.num_classes=10", "--data.batch_size=3"]
    quiet = ["--trainer.logger=false", "--trainer.accelerator=cpu", "--trainer.precision=32-true"]
    run(["clean", *settings, *data, *quiet, *options])
    found: dict[str, Any] = json.loads((report / "clean.json").read_text())
    return found


def test_predictions_and_losses_are_the_models_own(two_shards: str, tmp_path: Path) -> None:
    found = clean(two_shards, tmp_path / "report")
    keys, images, labels = [], [], []
    decode = Decoder(image_size=SIZE, resize=int(SIZE / 0.875), num_classes=10)
    for shard in sorted((tmp_path / "in").glob("*.tar")):
        with shard.open("rb") as file:
            for sample in index_samples(file, str(shard)):
                decoded = decode(read_sample(file, sample))
                keys.append((shard.stem, sample.key))
                images.append(decoded.image.float() / 255)
                labels.append(decoded.label)
    x, y = torch.stack(images), torch.tensor(labels)
    with torch.no_grad():
        networks = [load_model(spec) for spec in (LINEAR, OTHER)]
        predictions = torch.stack([network(x).argmax(1) for network in networks], 1)
        # s * x in the space of [-1, 1].
        scaled = [((2 * x - 1) * scale + 1) / 2 for scale in SCALES]
        losses = [[float(F.cross_entropy(network(part), y)) for part in scaled] for network in networks]
    expected = zip(keys, labels, predictions.tolist(), strict=True)
    assert found["samples"] == [[shard, key, label, said] for (shard, key), label, said in expected]
    assert found["correct"] == [int((predictions[:, number] == y).sum()) for number in (0, 1)]
    assert [found["models"], found["scales"], found["images"], found["skipped"]] == [["one", "two"], SCALES, 11, 0]
    for ours, theirs in zip(found["losses"], losses, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_the_number_of_workers_changes_nothing(two_shards: str, tmp_path: Path) -> None:
    alone = clean(two_shards, tmp_path / "alone")
    assert clean(two_shards, tmp_path / "workers", "--data.num_workers=2") == alone


def test_what_cannot_be_decoded_is_counted_and_has_no_say(make_shard: MakeShard, tmp_path: Path) -> None:
    files = sample_files(2) | {"0002.jpg": b"no image", "0002.cls": b"1"}
    make_shard("in/shard-000000.tar", files)
    found = clean(str(tmp_path / "in"), tmp_path / "report", scales=[])
    assert [found["images"], found["skipped"], found["losses"]] == [2, 1, [[], []]]


def test_a_defended_model_is_shown_clean_images_but_none_that_are_scaled(two_shards: str, tmp_path: Path) -> None:
    models = [f"rs({LINEAR}, n=11)", LINEAR]
    found = clean(two_shards, tmp_path / "report", scales=[], models=models)
    assert [found["models"], found["images"]] == [models, 11]
    with pytest.raises(ValueError, match=r"without a defense, but model\.models has 'rs\(.*leave the scales out"):
        clean(two_shards, tmp_path / "other", models=models)
    assert not (tmp_path / "other").exists()


def test_a_damaged_shard_ends_it(make_shard: MakeShard, tmp_path: Path) -> None:
    shard = make_shard("in/shard-000000.tar", 3)
    shard.write_bytes(tar_bytes(sample_files(3))[: -1024 * 9])
    with pytest.raises(ShardError, match="shard-000000"):
        clean(str(tmp_path / "in"), tmp_path / "report")
