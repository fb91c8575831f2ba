"""What the evaluation reads: every stored image once, in batches that do not depend on who reads them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lit_adv.data.evaluation import EvaluationDataModule, PairBatch
from tests.tiny_attacks import make_attacked, read_stored


@pytest.fixture(scope="module")
def attacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("evaluation")
    return {
        "weak": str(make_attacked(folder, "weak", "--model.attack_options.eps=2/255", "--output.format=png")),
        "strong": str(make_attacked(folder, "strong", "--model.attack_options.target=random")),
    }


def read(attacks: dict[str, str], rank: int = 0, world_size: int = 1, **settings: Any) -> list[PairBatch]:
    data = EvaluationDataModule(attacks, **({"batch_size": 3} | settings))
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    trainer: Any = SimpleNamespace(global_rank=rank, world_size=world_size, strategy=strategy)
    data.trainer = trainer
    data.prepare_data()
    data.setup("test")
    batches = list(data.test_dataloader())
    assert len(batches) == data.batches
    return batches


def identity(batch: PairBatch) -> tuple[str, tuple[str, ...], str]:
    return batch.attack, tuple(batch.keys), batch.clean_digest


def test_every_stored_image_comes_once_with_its_label_and_its_distance(attacks: dict[str, str]) -> None:
    batches = read(attacks)
    for attack, folder in attacks.items():
        mine = [batch for batch in batches if batch.attack == attack]
        stored = list(read_stored(Path(folder)))
        assert [key for batch in mine for key in batch.keys] == [sample.key for sample in stored]
        assert torch.cat([batch.labels for batch in mine]).tolist() == [sample.label for sample in stored]
        assert torch.equal(torch.cat([b.adversarial for b in mine]), torch.stack([s.adversarial for s in stored]))
        assert torch.equal(torch.cat([batch.clean for batch in mine]), torch.stack([s.clean for s in stored]))
        changes = [(s.adversarial.double() - s.clean.double()).flatten() for s in stored]
        assert torch.cat([b.linf for b in mine]).tolist() == [change.abs().max().item() for change in changes]
        expected = torch.stack([change.square().sum().sqrt() / 255 for change in changes])
        torch.testing.assert_close(torch.cat([batch.l2 for batch in mine]), expected, rtol=1e-12, atol=0)


def test_only_a_targeted_attack_has_targets(attacks: dict[str, str]) -> None:
    for batch in read(attacks):
        if batch.attack == "weak":
            assert batch.targets is None
        else:
            assert batch.targets is not None
            assert (batch.targets != batch.labels).all()


def test_attacks_on_the_same_images_have_the_same_clean_digest(attacks: dict[str, str]) -> None:
    digests = {name: [b.clean_digest for b in read(attacks) if b.attack == name] for name in attacks}
    assert digests["weak"] == digests["strong"]
    assert len(set(digests["weak"])) == len(digests["weak"])


def test_the_versions_of_a_shard_are_read_one_after_the_other(attacks: dict[str, str]) -> None:
    order = [(batch.attack, batch.keys[0]) for batch in read(attacks, batch_size=10)]
    assert order == [(a, key) for key in ("0000", "0100", "0200") for a in ("weak", "strong")]


@pytest.mark.parametrize(("world_size", "workers"), [(2, 0), (3, 0), (5, 0), (1, 2), (2, 1)])
def test_ranks_and_workers_divide_the_same_batches(attacks: dict[str, str], world_size: int, workers: int) -> None:
    together = sorted(map(identity, read(attacks)))
    shares = [read(attacks, rank, world_size, num_workers=workers) for rank in range(world_size)]
    assert sorted(identity(batch) for share in shares for batch in share) == together


def test_a_folder_may_lack_shards_that_another_has(attacks: dict[str, str], tmp_path: Path) -> None:
    small = str(make_attacked(tmp_path, "small", sizes=[2]))
    batches = read({"small": small, "strong": attacks["strong"]})
    assert sum(len(batch) for batch in batches if batch.attack == "small") == 2
    assert sum(len(batch) for batch in batches if batch.attack == "strong") == 13


def test_shards_without_clean_images_name_the_remedy(tmp_path: Path) -> None:
    folder = make_attacked(tmp_path, "bare", "--output.clean_images=false", sizes=[2])
    with pytest.raises(ValueError, match=r"'bare' in .* --output\.clean_images true"):
        read({"bare": str(folder)})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size 0"),
        ({"attacks": {}}, "one or more folders"),
        ({"attacks": {"a": "/x", "b": "/x"}}, "each once"),
        ({"attacks": {"a/b": "/x"}}, "slash"),
    ],
)
def test_a_wrong_argument_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluationDataModule(**({"attacks": {"a": "/x"}} | settings))
