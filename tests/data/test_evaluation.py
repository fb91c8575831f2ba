"""What the evaluation reads: every stored image once, in batches that do not depend on who reads them."""

import gzip
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_adv.data.evaluation import EvaluationDataModule, PairBatch, read_pairs
from lit_adv.shards.attacked import DamagedShardsError, open_paired
from tests.mutations import mutations
from tests.tiny_attacks import SIZE, make_attacked, read_stored
from tests.tiny_shards import image_file, tar_bytes


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
    assert sum(map(len, batches)) == data.images
    return batches


def read_shard(path: str, name: str = "tiny-000000.tar") -> list[PairBatch]:
    """Read one shard, whose size is not checked before."""
    return list(read_pairs([name], open_paired({"attack": path}), batch_size=3))


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


def test_a_shard_whose_samples_were_all_skipped_gives_no_batch(tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean/tiny-broken.tar").write_bytes(tar_bytes({"a.jpg": b"no image", "a.cls": b"1"}))
    folder = make_attacked(tmp_path, "attacked", sizes=[2])
    assert (folder / "tiny-broken.tar").exists()
    assert [len(batch) for batch in read({"attack": str(folder)})] == [2]


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


# A shard's content is not trusted, and what is wrong is named with its place and the remedy.


@pytest.fixture
def damaged(attacks: dict[str, str], tmp_path: Path) -> Path:
    """A copy to be damaged of the targeted attack's folder."""
    return Path(shutil.copytree(attacks["strong"], tmp_path / "strong"))


def unpack(shard: Path) -> dict[str, bytes]:
    with tarfile.open(shard) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def refusal(folder: Path, reason: str) -> str:
    """Return the pattern of the message about the folder's first shard."""
    return rf"^{folder}/tiny-000000\.tar: {reason}.*; run lit-adv verify {folder} --repair, and lit-adv gen"


def test_a_compressed_shard_is_refused(damaged: Path) -> None:
    shard = damaged / "tiny-000000.tar"
    shard.write_bytes(gzip.compress(shard.read_bytes()))
    with pytest.raises(DamagedShardsError, match=refusal(damaged, "it is compressed with gzip")):
        read_shard(str(damaged))


def test_a_shard_that_is_cut_off_is_refused_before_its_first_batch(damaged: Path) -> None:
    shard = damaged / "tiny-000000.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: 2 * len(whole) // 3])
    with pytest.raises(DamagedShardsError, match=refusal(damaged, "it is cut off")):
        next(iter(read_pairs(["tiny-000000.tar"], open_paired({"attack": str(damaged)}), batch_size=1)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"../../a.png": b""}, r"the name of its file '\.\./\.\./a\.png' leads out"),
        ({"0009.cls": b"1"}, "it holds 8 samples instead of 7"),
        ({"0001.cls": None}, "sample '0001': no class index: there is no cls file"),
        ({"0001.cls": b"10"}, r"sample '0001': cls 10 is not in \[0, 10\)"),
        ({"0001.json": None}, "sample '0001': no class index: there is no json file"),
        ({"0001.json": b"["}, "sample '0001': its json cannot be parsed"),
        ({"0001.json": b"[]"}, "sample '0001': no class index: its json has no field 'target'"),
        ({"0001.json": b'{"target": 10}'}, r"sample '0001': target 10 is not in \[0, 10\)"),
        ({"0001.json": b"{}"}, "sample '0001': its json and those before it do not agree"),
        ({"0001.png": None}, "sample '0001': there is no png file"),
        ({"0001.clean.png": None}, r"sample '0001': there is no clean\.png file"),
        ({"0001.png": b"no image"}, "sample '0001': cannot decode its png"),
        (
            {"0001.png": image_file(size=(SIZE + 1, SIZE))},
            f"sample '0001': an image of 33x32 is larger than {SIZE**2}",
        ),
        ({"0001.clean.png": image_file(size=(SIZE, 8))}, "sample '0001': an image has 32x8 pixels, not 32x32"),
    ],
)
def test_what_a_shard_must_not_hold_or_lack_is_named(
    change: dict[str, bytes | None], reason: str, damaged: Path
) -> None:
    shard = damaged / "tiny-000000.tar"
    files = unpack(shard) | change
    shard.write_bytes(tar_bytes({name: content for name, content in files.items() if content is not None}))
    with pytest.raises(DamagedShardsError, match=refusal(damaged, reason)):
        read_shard(str(damaged))


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_worker_s_error_names_the_sample_too(damaged: Path) -> None:
    shard = damaged / "tiny-000000.tar"
    files = unpack(shard)
    del files["0001.cls"]
    shard.write_bytes(tar_bytes(files))
    data = EvaluationDataModule({"attack": str(damaged)}, num_workers=1)
    trainer: Any = SimpleNamespace(
        global_rank=0, world_size=1, strategy=SimpleNamespace(root_device=torch.device("cpu"))
    )
    data.trainer = trainer
    data.setup("test")
    with pytest.raises(DamagedShardsError, match=r"tiny-000000\.tar: sample '0001': no class index"):
        list(data.test_dataloader())


def test_remote_shards_are_read_as_local_ones(attacks: dict[str, str]) -> None:
    fsspec.filesystem("memory").put(attacks["strong"], "/evaluation", recursive=True)
    local, remote = read_shard(attacks["strong"]), read_shard("memory://evaluation")
    assert [identity(batch) for batch in remote] == [identity(batch) for batch in local]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of one shard of two samples, by the images' format."""
    folder = tmp_path_factory.mktemp("small")
    return {
        "webp": make_attacked(
            folder, "webp", "--output.format=webp", "--model.attack_options.target=random", sizes=[2]
        ),
        "png": make_attacked(folder, "png", "--output.format=png", sizes=[2]),
    }


@settings(max_examples=150, deadline=None)
@given(data=st.data(), image_format=st.sampled_from(["webp", "png"]))
def test_a_mutated_shard_gives_its_samples_or_a_clear_error(
    data: st.DataObject, image_format: str, small: dict[str, Path]
) -> None:
    shard = small[image_format] / "tiny-000000.tar"
    original = shard.read_bytes()
    shard.write_bytes(data.draw(mutations(original)))
    try:
        [batch] = read_shard(str(shard.parent))
    except DamagedShardsError as refused:
        message = str(refused)
    else:
        assert batch.keys == ["0000", "0001"]
        assert batch.adversarial.shape == batch.clean.shape == (2, 3, SIZE, SIZE)
        assert len(batch.labels) == 2
        assert (None if batch.targets is None else len(batch.targets)) == (2 if image_format == "webp" else None)
        return
    finally:
        shard.write_bytes(original)
    assert message.startswith(f"{shard}: ")
    assert "--repair" in message
