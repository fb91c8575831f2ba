"""C&W against foolbox's implementation and against its own promises."""

import pytest
import torch
from torch import Tensor, nn

from lit_adv.attacks import create_attack


@pytest.fixture
def problem(network: nn.Module, images: Tensor) -> tuple[nn.Module, Tensor, Tensor]:
    model, images = network.float(), images.float()
    return model, images, model(images).argmax(1)


def distances(made: Tensor, images: Tensor) -> Tensor:
    return (made - images).flatten(1).norm(dim=1)


def test_it_finds_perturbations_as_small_as_foolbox(problem: tuple[nn.Module, Tensor, Tensor]) -> None:
    foolbox = pytest.importorskip("foolbox")
    model, images, labels = problem
    made = create_attack("cw", model, steps=150, search_steps=6, learning_rate=0.01)(images, labels)
    theirs = foolbox.attacks.L2CarliniWagnerAttack(steps=150, binary_search_steps=6, stepsize=0.01, abort_early=False)
    expected = theirs.run(foolbox.PyTorchModel(model, bounds=(0, 1)), images, labels)
    assert (model(made).argmax(1) != labels).all()
    torch.testing.assert_close(distances(made, images), distances(expected, images), rtol=0.1, atol=0.01)


def test_more_confidence_costs_distance(problem: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, labels = problem
    settings = {"steps": 100, "search_steps": 6}
    near = create_attack("cw", model, **settings)(images, labels)
    far = create_attack("cw", model, confidence=0.05, **settings)(images, labels)
    assert (distances(far, images) > distances(near, images)).all()
    top = model(far).topk(2).values
    assert (top[:, 0] - top[:, 1] >= 0.05).all()


def test_a_targeted_search_ends_in_the_target(problem: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, labels = problem
    wanted = (labels + 2) % 5
    made = create_attack("cw", model, target="given", steps=150, search_steps=6)(images, wanted)
    assert (model(made).argmax(1) == wanted).all()


def test_an_image_without_success_comes_back_unchanged(problem: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, labels = problem
    made = create_attack("cw", model, steps=1, search_steps=1)(images, labels)
    assert torch.equal(made, images)


def test_an_image_ignores_its_neighbors(problem: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, labels = problem
    attack = create_attack("cw", model, steps=40, search_steps=5)
    together, alone = attack(images, labels), attack(images[:1], labels[:1])
    torch.testing.assert_close(together[:1], alone, rtol=0, atol=1e-4)
