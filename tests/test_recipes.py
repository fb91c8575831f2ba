"""The losses against plain formulas in float64, and the attacks against what they must not touch."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lit_adv.attacks import GradientSignSettings, LiveAttack
from lit_adv.models import load_model, to_float
from lit_adv.randomness import keyed_uniform
from lit_adv.recipes import AdversarialTraining, Recipe, Standard, Trades, distillation, kl_divergence
from tests.generated import EPS, NETWORK, draw

LOGITS = {
    view: torch.randn(5, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for seed, view in enumerate(("clean", "adversarial"))
}
LABELS = torch.tensor([0, 3, 1, 1, 2])


def plain_softmax(logits: Sequence[float]) -> list[float]:
    total = sum(math.exp(value) for value in logits)
    return [math.exp(value) / total for value in logits]


def plain_cross_entropy(logits: Sequence[float], label: int, smoothing: float) -> float:
    targets = [smoothing / len(logits) + (1 - smoothing) * (c == label) for c in range(len(logits))]
    return -sum(t * math.log(p) for t, p in zip(targets, plain_softmax(logits), strict=True))


def plain_kl(p_logits: Sequence[float], q_logits: Sequence[float], temperature: float = 1.0) -> float:
    p, q = (plain_softmax([value / temperature for value in logits]) for logits in (p_logits, q_logits))
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def plain_losses(view: str, smoothing: float = 0.0) -> Tensor:
    rows = zip(LOGITS[view].tolist(), LABELS.tolist(), strict=True)
    return torch.tensor([plain_cross_entropy(row, label, smoothing) for row, label in rows], dtype=torch.float64)


def plain_divergences(temperature: float = 1.0) -> Tensor:
    rows = zip(LOGITS["clean"].tolist(), LOGITS["adversarial"].tolist(), strict=True)
    return torch.tensor([plain_kl(p, q, temperature) for p, q in rows], dtype=torch.float64)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_terms_equal_plain_formulas(smoothing: float) -> None:
    recipes: list[tuple[Recipe, dict[str, tuple[float, Tensor]]]] = [
        (Standard(smoothing), {"clean": (1.0, plain_losses("clean", smoothing))}),
        (
            AdversarialTraining(clean_weight=0.25, label_smoothing=smoothing),
            {view: (w, plain_losses(view, smoothing)) for view, w in (("clean", 0.25), ("adversarial", 0.75))},
        ),
        (
            Trades(beta=6.0, label_smoothing=smoothing),
            {"clean": (1.0, plain_losses("clean", smoothing)), "divergence": (6.0, plain_divergences())},
        ),
    ]
    for recipe, expected in recipes:
        terms = recipe.terms(LOGITS, LABELS)
        assert recipe.weights == {name: weight for name, (weight, _) in expected.items()}
        assert terms.keys() == expected.keys()
        for name, (_, values) in expected.items():
            torch.testing.assert_close(terms[name], values, rtol=1e-12, atol=1e-12)


def test_a_view_of_weight_zero_is_not_looked_at() -> None:
    recipe = AdversarialTraining(clean_weight=0.0)
    assert recipe.views == ("adversarial",)
    assert recipe.terms({"adversarial": LOGITS["adversarial"]}, LABELS).keys() == {"adversarial"}


def test_distillation_is_the_divergence_at_a_temperature_times_its_square() -> None:
    found = distillation(LOGITS["clean"], LOGITS["adversarial"], temperature=3.0)
    torch.testing.assert_close(found, 9 * plain_divergences(3.0), rtol=1e-12, atol=1e-12)


def test_half_precision_logits_are_compared_in_single_precision() -> None:
    logits = LOGITS["clean"].bfloat16()
    assert kl_divergence(logits, logits + 1).dtype == torch.float32


def test_the_attack_of_trades_climbs_the_divergence_from_the_clean_prediction() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4)).double()
    images, labels = torch.rand(3, 3, 2, 2, dtype=torch.float64), torch.tensor([0, 1, 2])
    recipe = Trades("pgd", {"eps": 0.1, "steps": 2, "step_size": 0.05})
    found = recipe.attack(model, images, labels, ["a", "b", "c"], seed=7)

    start = 0.2 * keyed_uniform(7, "random start", ["a", "b", "c"], 3, 2, 2) - 0.1
    x = (images + start).clamp(0, 1)
    p = model(images).softmax(1).detach()
    for _ in range(2):
        x = x.detach().requires_grad_()
        (p * (p.log() - model(x).log_softmax(1))).sum().backward()
        assert x.grad is not None
        x = (images + (x + 0.05 * x.grad.sign() - images).clamp(-0.1, 0.1)).clamp(0, 1)
    torch.testing.assert_close(found, x.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("recipe", [AdversarialTraining("pgd", {"eps": EPS}), Trades("pgd", {"eps": EPS})])
def test_an_attack_leaves_the_model_as_it_is(recipe: Recipe) -> None:
    model = load_model(NETWORK)
    model.train()
    model.network.body[1].eval()  # type: ignore[index, union-attr]
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images, labels = draw(4, seed=0)
    recipe.attack(model, to_float(images), labels, list("abcd"), seed=0)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_attack_depends_on_seed_and_key_alone() -> None:
    model, (images, labels), attack = load_model(NETWORK), draw(4, seed=0), LiveAttack("pgd", {"eps": EPS})
    pixels = to_float(images)
    whole = attack(model, pixels, labels, list("abcd"), seed=1)
    torch.testing.assert_close(attack(model, pixels[2:], labels[2:], list("cd"), seed=1), whole[2:])
    assert not torch.equal(attack(model, pixels, labels, list("abcd"), seed=2), whole)


@pytest.mark.parametrize("options", [{"label_source": "predicted"}, {"target": "least_likely"}])
def test_the_weights_learn_under_autocast_after_an_attack_that_asked_for_predictions(options: dict[str, Any]) -> None:
    model, (images, labels) = load_model(NETWORK), draw(4, seed=0)
    recipe = AdversarialTraining("fgsm", options)
    with torch.autocast("cpu", torch.bfloat16):
        adversarial = recipe.attack(model, to_float(images), labels, list("abcd"), seed=0)
        recipe.terms({view: model(adversarial) for view in recipe.views}, labels)["adversarial"].sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdversarialTraining(clean_weight=1.5), "negative weight"),
        (lambda: Standard(label_smoothing=1.0), "label_smoothing"),
        (lambda: Trades(beta=-1.0), "negative weight"),
        (lambda: Trades("fgsm"), "random start"),
        (lambda: Trades("cw"), "random start"),
        (lambda: Trades("pgd", {"target": "random"}), "without a target"),
        (lambda: AdversarialTraining("pgdd"), "not with 'pgdd'"),
        (lambda: AdversarialTraining("pgd", {"eps": 16}), "16/255"),
        (lambda: AdversarialTraining("pgd", {"seed": 1}), "neither a seed"),
        (lambda: AdversarialTraining("pgd", {"target": "given"}), "given targets"),
        (lambda: AdversarialTraining("pgd", {"step": 1}), "no option 'step'"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_settings_of_an_attack_are_those_of_its_name() -> None:
    assert LiveAttack("pgd", {"steps": 3}).settings["random_start"]
    assert LiveAttack("fgsm").settings["eps"] == GradientSignSettings().eps
