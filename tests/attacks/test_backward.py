"""Ways back through a surrogate, against a network whose values and gradients are put together by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_adv.attacks import count_passes, create_attack, describe_attack
from lit_adv.attacks.backward import Leaky
from lit_adv.models import Ensemble, optimize
from tests.attacks.reference import plain_attack

KEYS = ["first", "second", "third"]
#: An activation, and the value from which it is flat.
ACTIVATIONS: dict[str, tuple[Callable[[], nn.Module], float]] = {
    "relu": (nn.ReLU, float("inf")),
    "relu_in_place": (lambda: nn.ReLU(inplace=True), float("inf")),
    "relu6": (nn.ReLU6, 6.0),
    "relu6_in_place": (lambda: nn.ReLU6(inplace=True), 6.0),
}


class ByHand(nn.Module):
    """Has the values of a ReLU, but the gradients of a line with a bend or two."""

    def __init__(self, top: float, slope: float) -> None:
        super().__init__()
        self.top, self.slope = top, slope

    def forward(self, x: Tensor) -> Tensor:
        within = torch.minimum(torch.maximum(x, torch.zeros(())), torch.tensor(self.top))
        bent = (1 - self.slope) * within + self.slope * x
        return bent + (within - bent).detach()


def network(act: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Make a small network in float64 whose activations are cut off at both ends for some of these images."""
    torch.manual_seed(seed)
    layers = (nn.Conv2d(3, 6, 3), act(), nn.Conv2d(6, 6, 3), act(), nn.Flatten(), nn.Linear(6 * 16 * 16, 5))
    made = nn.Sequential(*layers).double().eval().requires_grad_(False)
    for layer in (0, 2):
        made.get_parameter(f"{layer}.weight").mul_(20)
    return made


@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("slope", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("name", ["si_ni_ti_dim_fast", "vni_fgsm"])
def test_leaky_gradients_equal_those_of_the_plain_loop(
    kind: str, slope: float, name: str, images: Tensor, labels: Tensor
) -> None:
    make, top = ACTIVATIONS[kind]
    options = {"steps": 3, "seed": 2} | ({"direction": {"vni": 2}} if name == "vni_fgsm" else {})
    settings = describe_attack(name, backward={"leaky": slope}, **options)
    made = create_attack(name, network(make), **settings)(images, labels, KEYS)
    plain = plain_attack(network(lambda: ByHand(top, slope)), images, labels, KEYS, settings)
    torch.testing.assert_close(made, plain, rtol=0, atol=1e-9)


def _relu_that_nobody_takes(x: Tensor) -> Tensor:
    y = x + 0
    y.relu_()
    return y


def _functions() -> dict[str, Callable[[Tensor], Tensor]]:
    return {
        "F.relu": F.relu,
        "F.relu with a name": lambda x: F.relu(input=x),
        "torch.relu": torch.relu,
        "Tensor.relu": lambda x: x.relu(),
        "F.relu_": lambda x: F.relu_(x + 0),
        "Tensor.relu_": _relu_that_nobody_takes,
        "F.relu6": F.relu6,
        "F.hardtanh": F.hardtanh,
        "F.hardtanh with limits": lambda x: F.hardtanh(x, -1.5, max_val=4.0),
    }


@pytest.mark.parametrize("call", _functions().values(), ids=_functions())
def test_functions_count_as_layers_do(call: Callable[[Tensor], Tensor]) -> None:
    x = torch.tensor([-2.0, 0.5, 9.0], requires_grad=True)
    with Leaky(0.25).rule():
        y = call(x)
    torch.testing.assert_close(y, call(x))
    exact = torch.autograd.grad(call(x).sum(), x)[0]
    torch.testing.assert_close(torch.autograd.grad(y.sum(), x)[0], exact + 0.25 * (1 - exact))


def test_layers_behind_may_work_in_place() -> None:
    """As in hard swish; and in-place layers before and behind, as torch allows them."""
    for call in (lambda x: F.relu6(x + 3).div_(6), lambda x: F.relu((x * 2).add_(1), inplace=True)):
        x = torch.tensor([-4.0, 0.5, 9.0], requires_grad=True)
        exact = torch.autograd.grad(call(x).sum(), x)[0]
        with Leaky(0.5).rule():
            y = call(x)
        assert torch.equal(y, call(x))
        torch.testing.assert_close(torch.autograd.grad(y.sum(), x)[0], (exact + exact.max()) / 2)


class ReadTwice(nn.Module):
    """Adds what an activation has read, and overwritten if it works in place."""

    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.act, self.first, self.second = act, nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.first(x) * 9
        return (features + self.second(self.act(features))).flatten(1)


_ACTS: list[Callable[[Tensor], Tensor]] = [
    nn.ReLU(inplace=True),
    nn.ReLU6(inplace=True),
    lambda x: F.relu(x, True),
    lambda x: F.relu6(x, inplace=True),
    lambda x: F.hardtanh(x, 0, 6, True),
    nn.ReLU(),
]


@pytest.mark.parametrize(
    ("act", "compiled"), [*((act, False) for act in (*_ACTS, torch.relu_)), (_ACTS[0], True), (_ACTS[1], True)]
)
def test_what_is_overwritten_stays_overwritten(act: Callable[[Tensor], Tensor], compiled: bool) -> None:
    x = torch.rand(2, 3, 8, 8, requires_grad=True)
    model = ReadTwice(act)
    values = model(x)
    exact = torch.autograd.grad(values.square().sum(), x)[0]
    if compiled:
        model.compile(backend="aot_eager")
    for slope in (0.0, 0.5):
        with Leaky(slope).rule():
            seen = model(x)
        torch.testing.assert_close(seen, values)
        gradient = torch.autograd.grad(seen.square().sum(), x)[0]
        assert torch.allclose(gradient, exact, rtol=1e-4, atol=1e-4) == (slope == 0)


def test_a_second_derivative_passes_back_the_same_way() -> None:
    for call in (F.relu, F.relu6):
        x = torch.tensor([-2.0, 0.5, 9.0], requires_grad=True)
        with Leaky(0.5).rule():
            y = call(x * x - 3)
        first = torch.autograd.grad(y.sum(), x, create_graph=True)[0]
        passed = torch.autograd.grad(first.sum(), x)[0] / 2
        torch.testing.assert_close(first.detach(), 2 * x.detach() * passed)
        assert set(passed.tolist()) == {0.5, 1.0}


def test_what_has_no_relu_is_attacked_as_ever(images: Tensor, labels: Tensor) -> None:
    made = [
        create_attack("mi_fgsm", network(nn.Softplus), backward=way)(images, labels, KEYS)
        for way in ("exact", {"leaky": 1.0})
    ]
    torch.testing.assert_close(made[0], made[1], rtol=0, atol=0)


def test_a_surrogate_answers_and_trains_as_ever_after_an_attack(images: Tensor, labels: Tensor) -> None:
    model = network(nn.ReLU)
    x = images.clone().requires_grad_()
    before = torch.autograd.grad(model(x).sum(), x)[0]
    create_attack("mi_fgsm", model, backward={"leaky": 1.0})(images, labels)
    torch.testing.assert_close(torch.autograd.grad(model(x).sum(), x)[0], before, rtol=0, atol=0)


def test_every_member_of_an_ensemble_leaks(images: Tensor, labels: Tensor) -> None:
    ensembles = [
        Ensemble([network(act, seed) for seed in range(3)]) for act in (nn.ReLU, lambda: ByHand(float("inf"), 0.2))
    ]
    for direction in ("plain", {"svre": 2}, "longitudinal", "cwa"):
        made, by_hand = (
            create_attack("mi_fgsm", ensemble, backward=way, direction=direction, steps=3)(images, labels, KEYS)
            for ensemble, way in zip(ensembles, ({"leaky": 0.2}, "exact"), strict=True)
        )
        torch.testing.assert_close(made, by_hand, rtol=0, atol=1e-9)


def test_layers_that_were_joined_for_speed_leak_as_before() -> None:
    """In float32 a frozen network's ReLU6 may be a part of the convolution behind it."""
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def gradient(model: nn.Module, slope: float) -> Tensor:
        x = images.clone().requires_grad_()
        with Leaky(slope).rule():
            loss = model(x).logsumexp(1).sum()
        return torch.autograd.grad(loss, x)[0]

    plain, fast = (nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU6(), nn.Conv2d(8, 8, 3), nn.Flatten()) for _ in range(2))
    fast.load_state_dict(plain.state_dict())
    for model in (plain, fast):
        model.get_parameter("0.weight").data.mul_(40)
    optimize(fast)
    assert not any(isinstance(module, nn.ReLU6) for module in fast)
    for slope in (0.0, 0.3):
        found, expected = gradient(fast, slope), gradient(plain, slope)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert (gradient(fast, 0.3) - gradient(fast, 0.0)).abs().max() > 0.1 * gradient(fast, 0.0).abs().max()


def test_a_compiled_surrogate_leaks(images: Tensor, labels: Tensor) -> None:
    eager, compiled = network(nn.ReLU), network(nn.ReLU)
    compiled.compile(dynamic=False, backend="aot_eager")
    for way in ("exact", {"leaky": 0.5}, "exact"):
        made = [create_attack("mi_fgsm", m, backward=way, steps=2)(images, labels, KEYS) for m in (eager, compiled)]
        torch.testing.assert_close(made[0], made[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_values_and_types_are_those_of_the_layer(dtype: torch.dtype) -> None:
    x = torch.randn(2, 3, 8, 8).mul(5).to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    for call in (F.relu, F.relu6):
        with Leaky(0.1).rule():
            y = call(x)
        assert torch.equal(y, call(x))
        assert y.dtype == dtype
        gradient = torch.autograd.grad(y.sum(), x)[0]
        assert gradient.dtype == dtype
        assert gradient.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("leaki", "unknown backward 'leaki', did you mean 'leaky'\\?; known: exact, leaky"),
        ({"leaky": 1.5}, "backward 'leaky': slope is 1.5, but must be in \\[0, 1\\]"),
        ({"exact": 1}, "backward 'exact' has no options"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(way: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        create_attack("mi_fgsm", network(nn.ReLU), backward=way)


def test_it_takes_no_pass_more_and_is_described_where_it_is_used() -> None:
    assert count_passes("si_ni_ti_dim", backward="leaky") == 50
    assert "backward" not in describe_attack("si_ni_ti_dim", backward="exact")
    assert describe_attack("si_ni_ti_dim", backward="leaky")["backward"] == {"leaky": {"slope": Leaky().slope}}
