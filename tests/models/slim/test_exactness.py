"""The networks compute what TensorFlow computes with slim's."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lit_adv.models import Classifier, Ensemble, load_model, optimize
from lit_adv.models.slim import NETWORKS, read_layers
from lit_adv.models.slim.weights import state_dict
from tests.models.slim.golden import Array, direction, golden, image, npy_layers, variables
from tests.tf_checkpoint.write import write_npy, write_v1, write_v2

#: Relative to the largest value.
TOLERANCE = 1e-9


class Loaded(NamedTuple):
    """A network from its files: the golden values, the state dicts by the kind of the file, one of the classifiers."""

    network: str
    golden: dict[str, Array]
    states: dict[str, dict[str, Tensor]]
    classifier: Classifier


@pytest.fixture(scope="module", params=NETWORKS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    network, folder = request.param, tmp_path_factory.mktemp("checkpoints")
    tensors = variables(network)
    more = {"global_step": np.array(7), "InceptionV3/Conv2d_1a_3x3/weights/ExponentialMovingAverage": np.zeros(3)}
    option = "" if network == "resnet_v2_101" else "?aux=0.4"
    write = {
        "v1.ckpt": lambda path: write_v1(path, tensors | more),
        "v2.ckpt": lambda path: write_v2(path, tensors | more),
        "layers.npy": lambda path: write_npy(path, npy_layers(tensors, scale=network == "inception_v4")),
    }
    states: dict[str, dict[str, Tensor]] = {}
    for name, writing in write.items():
        writing(folder / name)
        if not states:
            classifier = load_model(f"slim:{network}@{folder / name}{option}")
            states[name] = {key: value for key, value in classifier.network.state_dict().items() if value.ndim}
        else:
            states[name] = state_dict(network, classifier.network, read_layers(str(folder / name)))
        for file in folder.iterdir():  # a hundred megabytes or two
            file.unlink()
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm2d) and network == "resnet_v2_101":
            module.eps = 1e-5  # TensorFlow 2 takes it as it is, where TensorFlow 1 took 1.001e-5
    return Loaded(network, golden(network), states, classifier)


def logits_and_gradient(model: nn.Module, heads: bool) -> tuple[Tensor, Tensor | None, Tensor]:
    """Return main and auxiliary logits [1, 1001] and the gradient [1, 3, 299, 299] in units of the network's input."""
    images = torch.from_numpy(image()).requires_grad_()
    main, auxiliary = (*model(images, heads=True), None)[:2] if heads else (model(images), None)
    factors = torch.from_numpy(direction())[-main.shape[1] :]
    (gradient,) = torch.autograd.grad((factors * main).sum(), images)
    return main.detach(), auxiliary, gradient / 2


def assert_close(found: Tensor, expected: Array) -> None:
    difference = np.abs(found.detach().numpy() - expected).max()
    assert difference <= TOLERANCE * np.abs(expected).max()


def assert_golden(loaded: Loaded, model: nn.Module) -> None:
    main, auxiliary, gradient = logits_and_gradient(model, heads=True)
    assert_close(main[0], loaded.golden["logits"].ravel())
    assert_close(gradient[0, :, ::13, ::13].permute(1, 2, 0), loaded.golden["grad_sample"])
    assert_close(gradient.norm(), loaded.golden["grad_norm"])
    assert (auxiliary is None) == (loaded.network == "resnet_v2_101")
    if auxiliary is not None:
        assert_close(auxiliary[0], loaded.golden["aux"].ravel())


def test_the_three_kinds_of_file_give_the_same_weights_bit_for_bit(loaded: Loaded) -> None:
    first, *others = loaded.states.values()
    for other in others:
        assert first.keys() == other.keys()
        assert all(torch.equal(first[name], other[name]) for name in first)


def test_logits_and_gradients_are_tensorflow_s(loaded: Loaded) -> None:
    assert_golden(loaded, loaded.classifier.double().requires_grad_(False))


def test_the_loss_is_over_the_background_and_the_auxiliary_head(loaded: Loaded) -> None:
    loaded.classifier.double()
    images, label = torch.from_numpy(image()), torch.tensor([285])
    expected = torch.tensor(loaded.golden["logits"].ravel()).log_softmax(0)[-1000:][label]
    if loaded.network != "resnet_v2_101":
        expected = expected + 0.4 * torch.tensor(loaded.golden["aux"].ravel()).log_softmax(0)[-1000:][label]
    loaded.classifier.background = True
    with torch.no_grad():
        assert_close(loaded.classifier.attack_loss(images, label), -expected.numpy())
    loaded.classifier.background = False


def test_folded_in_channels_last_and_in_an_ensemble_it_is_the_same(loaded: Loaded) -> None:
    classifier = loaded.classifier.double()
    classifier.class_offset = 0
    ensemble = optimize(Ensemble([classifier]).double())
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in classifier.modules())
    assert norms == (34 if loaded.network == "resnet_v2_101" else 0)  # no convolution comes before its pre-activations
    main, _, gradient = logits_and_gradient(ensemble, heads=False)
    assert_close(main[0], loaded.golden["logits"].ravel())
    assert_close(gradient[0, :, ::13, ::13].permute(1, 2, 0), loaded.golden["grad_sample"])
    if loaded.network != "resnet_v2_101":
        with torch.no_grad():
            assert_close(classifier.head_logits(torch.from_numpy(image()))[1][0], loaded.golden["aux"].ravel())
