"""The denoiser's loss against its formula, and what a trained one is good for."""

from pathlib import Path

import pytest
import torch
from torch import nn

from lit_adv.models import load_model, to_float
from lit_adv.recipes import Standard
from lit_adv.tasks import DenoisingTask, TrainingTask
from lit_adv.tasks.targets import load_targets
from tests.generated import NETWORK, GeneratedData, draw, fit, train_batch


@pytest.fixture(scope="module")
def brittle(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network that attacks deceive, as a spec."""
    task = TrainingTask(NETWORK, Standard(), optimizer={"lr": 0.05})
    fit(task, GeneratedData({"self": None}), limit_val_batches=0)
    file = tmp_path_factory.mktemp("brittle") / "last.safetensors"
    file.write_bytes(task.saved_weights())
    return f"{NETWORK}@{file}"


def test_the_loss_is_the_mean_difference_of_the_last_feature_maps() -> None:
    task = DenoisingTask(NETWORK)
    nn.init.normal_(task.denoiser.final.weight, std=0.1)
    task.eval()
    (images, labels), (adversarial, _) = draw(3, seed=0), draw(3, seed=1)
    total, terms, _ = task.losses(train_batch(images, labels, adversarial, "other"))
    network = load_model(NETWORK).network.double()
    task.denoiser.double()
    with torch.no_grad():
        clean, denoised = images.double() / 255, task.denoiser(adversarial.double() / 255)
        maps = [network.forward_features((x - 0.5) / 0.25) for x in (clean, denoised)]  # type: ignore[operator]
    expected = torch.stack([(a - b).abs().mean() for a, b in zip(*maps, strict=True)])
    torch.testing.assert_close(total.double(), expected, rtol=1e-4, atol=1e-6)
    assert terms.keys() == {"other/features"}


def test_a_trained_denoiser_restores_the_classifier_and_loads_as_the_defense(brittle: str, tmp_path: Path) -> None:
    data = GeneratedData({"brittle": load_model(brittle)}, surrogate=brittle, count=128, batch_size=8)
    optimizer = {"opt": "adam", "lr": 0.001, "weight_decay": 0.0}
    task = DenoisingTask(brittle, optimizer=optimizer, validation_attack="fgsm")
    frozen = {name: value.clone() for name, value in task.classifier.state_dict().items()}
    logged = fit(task, data, epochs=3, check_val_every_n_epoch=3)

    (tmp_path / "best.safetensors").write_bytes(task.saved_weights())
    undefended, defended = load_targets([brittle, f"hgd({brittle}, weights={tmp_path}/best.safetensors)"])
    hits = {"undefended": 0, "defended": 0}
    for batch in data.validation:
        images = to_float(batch.adversarial)
        with torch.no_grad():
            hits["undefended"] += int((undefended.predict(images, batch.keys) == batch.labels).sum())
            hits["defended"] += int((defended.predict(images, batch.keys) == batch.labels).sum())
    count = sum(len(batch) for batch in data.validation)
    assert logged["val/accuracy/transferred"] == pytest.approx(hits["defended"] / count)
    assert hits["defended"] / count > hits["undefended"] / count + 0.2
    assert all(torch.equal(frozen[name], value) for name, value in task.classifier.state_dict().items())


def test_an_untrained_denoiser_changes_nothing() -> None:
    images = to_float(draw(2, seed=0)[0])
    task = DenoisingTask(NETWORK).eval()
    assert torch.equal(task.denoiser(images), images)


def test_images_without_an_adversarial_version_are_refused() -> None:
    with pytest.raises(ValueError, match="trained on pairs"):
        fit(DenoisingTask(NETWORK), GeneratedData({"self": None}, count=8), epochs=1)


def test_a_network_without_feature_maps_is_refused() -> None:
    images, labels = draw(2, seed=0)
    task = DenoisingTask("import:tests.models_of_tests:linear")
    with pytest.raises(ValueError, match="no method forward_features"):
        task.losses(train_batch(images, labels, images, "other"))
