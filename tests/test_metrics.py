"""The transfer metric against a recount, alone and in two processes."""

import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lit_adv.defenses import ABSTAIN
from lit_adv.metrics import Rate, TransferMetric, TransferResult

BUDGET = 16


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95 % Wilson interval, by its formula."""
    z = 1.959963984540054
    share = hits / total
    center = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return center - half, center + half


def random_samples(count: int, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def classes(lowest: int = 0) -> Tensor:
        return torch.randint(lowest, 4, (count,), generator=generator)

    return {
        "predictions": classes(ABSTAIN),
        "labels": classes(),
        "clean_predictions": classes(ABSTAIN),
        "targets": classes(),
        "linf": torch.randint(0, 19, (count,), generator=generator),
        "l2": torch.rand(count, generator=generator, dtype=torch.float64) * 20,
    }


def part(samples: dict[str, Tensor], start: int, stop: int) -> dict[str, Tensor]:
    return {name: values[start:stop] for name, values in samples.items()}


def measure(samples: dict[str, Tensor], batch: int) -> TransferResult:
    metric = TransferMetric(budget=BUDGET)
    for start in range(0, len(samples["labels"]), batch):
        metric.update(**part(samples, start, start + batch))
    result: TransferResult = metric.compute()
    return result


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 40), batch=st.integers(1, 12), seed=st.integers(0, 2**31))
def test_it_equals_a_plain_recount(count: int, batch: int, seed: int) -> None:
    samples = random_samples(count, seed)
    result = measure(samples, batch)

    rows = list(zip(*(values.tolist() for values in samples.values()), strict=True))
    fooled = clean = fooled_clean = abstained = hits = breaches = 0
    for prediction, label, clean_prediction, target, linf, _ in rows:
        fooled += prediction != label
        abstained += prediction == -1
        hits += prediction == target
        breaches += linf > BUDGET
        if clean_prediction == label:
            clean += 1
            fooled_clean += prediction != label
    for rate, expected in (
        (result.success, (fooled, count)),
        (result.success_on_correct, (fooled_clean, clean)),
        (result.targeted_success, (hits, count)),
        (result.abstention, (abstained, count)),
        (result.clean_accuracy, (clean, count)),
    ):
        assert (rate.hits, rate.total) == expected
    assert result.breaches == breaches
    assert result.mean_linf == pytest.approx(sum(row[4] for row in rows) / count)
    assert result.mean_l2 == pytest.approx(sum(row[5] for row in rows) / count, abs=1e-7)


@given(count=st.integers(2, 40), seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_the_result_is_the_same_to_the_last_bit_for_any_batches(count: int, seed: int) -> None:
    samples = random_samples(count, seed)
    # repr, since NaN (a rate of no images) differs from itself.
    assert repr(measure(samples, 1)) == repr(measure(samples, 7)) == repr(measure(samples, count))


@given(total=st.integers(1, 2000), data=st.data())
def test_a_rate_has_the_wilson_interval(total: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, total))
    rate = Rate.of(hits, total)
    low, high = wilson(hits, total)
    assert rate.value == hits / total
    assert rate.low == pytest.approx(low, abs=1e-9)
    assert rate.high == pytest.approx(high, abs=1e-9)


def test_an_abstention_is_a_success_that_is_counted_apart() -> None:
    metric = TransferMetric()
    metric.update(torch.tensor([ABSTAIN, 1, 1]), torch.tensor([1, 1, 0]))
    result = metric.compute()
    assert result.success.hits == 2
    assert result.abstention.hits == 1


def test_what_was_never_given_is_nan_and_not_zero() -> None:
    metric = TransferMetric(budget=BUDGET)
    metric.update(torch.tensor([0]), torch.tensor([1]))
    result = metric.compute()
    for rate in (result.success_on_correct, result.targeted_success, result.clean_accuracy):
        assert rate.total == 0
        assert all(map(math.isnan, (rate.value, rate.low, rate.high)))
    assert math.isnan(result.mean_linf)
    assert math.isnan(result.mean_l2)


def test_no_images_at_all_give_no_rate() -> None:
    metric = TransferMetric()
    metric.update(torch.tensor([], dtype=torch.int64), torch.tensor([], dtype=torch.int64))
    assert math.isnan(metric.compute().success.value)


def test_a_pixel_at_the_budget_is_no_breach() -> None:
    metric = TransferMetric(budget=16)
    linf, l2 = torch.tensor([16, 17, 15]), torch.ones(3)
    metric.update(torch.zeros(3), torch.zeros(3), linf=linf, l2=l2)
    assert metric.compute().breaches == 1


def test_a_row_is_flat() -> None:
    row = measure(random_samples(9, seed=1), batch=4).row()
    names = ("success", "success_on_correct", "targeted_success", "abstention", "clean_accuracy")
    suffixes = ("", "_hits", "_total", "_low", "_high")
    assert list(row) == [name + suffix for name in names for suffix in suffixes] + [
        "breaches",
        "mean_linf",
        "mean_l2",
    ]
    assert all(isinstance(value, int | float) for value in row.values())


def test_reset_starts_over() -> None:
    metric = TransferMetric()
    metric.update(torch.tensor([0]), torch.tensor([1]))
    metric.reset()
    metric.update(torch.tensor([1, 1]), torch.tensor([1, 1]))
    result = metric.compute()
    assert (result.success.hits, result.success.total) == (0, 2)


def test_tensors_that_do_not_match_are_refused() -> None:
    metric = TransferMetric()
    with pytest.raises(ValueError, match="same shape"):
        metric.update(torch.tensor([0, 1]), torch.tensor([1]))
    with pytest.raises(ValueError, match="same shape"):
        metric.update(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="together"):
        metric.update(torch.tensor([0]), torch.tensor([1]), linf=torch.tensor([3]))


def _share_of_rank(rank: int, folder: str) -> None:
    """Measure 13 samples on rank 0 and 24 on rank 1, and save what both then agree on."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    samples = random_samples(37, seed=5)
    share = part(samples, 0, 13) if rank == 0 else part(samples, 13, 37)
    result = measure(share, batch=5 if rank == 0 else 3)
    (Path(folder) / f"rank-{rank}").write_text(repr(result))
    dist.destroy_process_group()


def test_two_processes_with_uneven_shares_equal_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1])  # where the new processes find this module
    mp.spawn(_share_of_rank, args=(str(tmp_path),), nprocs=2)
    expected = repr(measure(random_samples(37, seed=5), batch=37))
    assert [(tmp_path / f"rank-{rank}").read_text() for rank in (0, 1)] == [expected, expected]
