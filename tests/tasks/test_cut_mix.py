"""CutMix of clean and adversarial images: what is taken from where, and what it counts for."""

import pytest
import torch

from lit_adv.models import load_model, to_float
from lit_adv.recipes import AdversarialTraining, Standard
from lit_adv.tasks.cut_mix import CutMix, draw_cut_mix
from tests.generated import EPS, NETWORK, draw, train_batch
from tests.tasks.test_training import make_task


@pytest.mark.parametrize("seed", range(20))
def test_every_pixel_is_the_image_s_or_its_partner_s_and_the_box_is_a_rectangle(seed: int) -> None:
    torch.manual_seed(seed)
    images = torch.rand(6, 3, 10, 14)
    mix = draw_cut_mix(images, 0.5)
    mixed = mix.images(images)
    assert sorted(mix.partners.tolist()) == list(range(6))
    for number, partner in enumerate(mix.partners.tolist()):
        inside = mix.box[number, 0]
        assert torch.equal(mixed[number][:, inside], images[partner][:, inside])
        assert torch.equal(mixed[number][:, ~inside], images[number][:, ~inside])
        rows, columns = inside.any(1), inside.any(0)
        assert torch.equal(inside, rows[:, None] & columns[None, :])
        for covered in (rows, columns):
            assert covered.int().diff().abs().sum() <= 2  # in one piece


def test_as_many_images_are_mixed_as_asked_and_areas_are_spread_evenly() -> None:
    torch.manual_seed(0)
    like = torch.empty(50, 1, 32, 32)
    boxes = [draw_cut_mix(like, 0.3).box.flatten(1).float().mean(1) for _ in range(200)]
    assert abs(torch.cat(boxes).gt(0).float().mean() - 0.3) < 0.03
    areas = torch.stack([shares.max() for shares in boxes])  # of what lies within the image
    assert areas.min() < 0.02
    assert areas.max() > 0.8
    assert not draw_cut_mix(like, 0.0).box.any()


def test_a_perturbation_moves_with_the_box() -> None:
    torch.manual_seed(1)
    clean = torch.rand(4, 3, 8, 8)
    adversarial = clean + 0.01
    mix = draw_cut_mix(clean, 1.0)
    assert torch.allclose(mix.images(adversarial) - mix.images(clean), torch.full_like(clean, 0.01))


def test_terms_are_weighted_by_area() -> None:
    box = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    box[0, :, :2, :2] = True  # a quarter
    terms = CutMix(torch.tensor([1, 0]), box).terms({"a": torch.tensor([1.0, 2.0])}, {"a": torch.tensor([5.0, 7.0])})
    assert terms["a"].tolist() == [2.0, 2.0]


def test_a_step_of_training_is_what_its_parts_come_to() -> None:
    images, labels = draw(8, seed=0)
    task = make_task(AdversarialTraining("fgsm", {"eps": EPS}), cut_mix=1.0, distillation_weight=2.0)
    task.model.eval()
    with torch.no_grad():
        for parameter in task.model.parameters():
            parameter.add_(0.05)
    torch.manual_seed(1)
    total, terms, shown = task.losses(train_batch(images, labels, images.flip(0), "other"))
    torch.manual_seed(1)
    mix = draw_cut_mix(to_float(images), 1.0)
    clean, adversarial = mix.images(to_float(images)), mix.images(to_float(images.flip(0)))
    share = mix.box.flatten(1).double().mean(1)
    assert 0 < share[0] < 1
    assert torch.equal(shown, to_float(images.flip(0)))  # beside the clean images, that is, which are whole as well
    with torch.no_grad():
        taught, asked, attacked = (
            model(view).double().log_softmax(1)
            for model, view in ((load_model(NETWORK), clean), (task.model, clean), (task.model, adversarial))
        )
    rows = torch.arange(8)
    expected = 2 * (taught.exp() * (taught - asked)).sum(1)
    for answers in (asked, attacked):
        expected -= 0.5 * ((1 - share) * answers[rows, labels] + share * answers[rows, labels[mix.partners]])
    torch.testing.assert_close(total.detach().double(), expected, rtol=1e-4, atol=1e-5)
    assert set(terms) == {"other/clean", "other/adversarial", "other/distillation_clean"}


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_a_probability_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="cut_mix"):
        make_task(Standard(), cut_mix=value)
