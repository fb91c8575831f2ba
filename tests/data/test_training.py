"""What training reads: every image once an epoch, with one adversarial version, whoever reads it."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonargparse
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image
from torch import Tensor

from lit_adv.data.augment import Augmentation
from lit_adv.data.training import TrainingDataModule
from lit_adv.data.training_batches import TrainBatch
from lit_adv.shards import decode
from lit_adv.shards.attacked import DamagedShardsError
from tests.tiny_attacks import SHARD_SIZES, SIZE, Stored, make_attacked, read_stored
from tests.tiny_fit import Recorder, describe, fit
from tests.tiny_shards import encode, image_file, sample_files, tar_bytes

ROOT = Path(__file__).parents[2]
UNCHANGED = Augmentation(shift=0, flip=0)
IMAGES = sum(SHARD_SIZES)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sets of 13 images in 3 shards, made from the same images, and 5 other clean images in 2 shards."""
    folder = tmp_path_factory.mktemp("training")
    make_attacked(folder, "weak", "--model.attack_options.eps=2/255", "--output.format=png")
    make_attacked(folder, "strong", "--model.attack_options.eps=8/255")
    (folder / "more").mkdir()
    for number, size in enumerate((3, 2)):
        content = tar_bytes(sample_files(size, first=500 + 10 * number))
        (folder / f"more/more-{number}.tar").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def sets(folders: Path) -> dict[str, str]:
    return {name: str(folders / name) for name in ("weak", "strong")}


@pytest.fixture
def copy(folders: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copy a folder, to damage it."""
    return lambda name: Path(shutil.copytree(folders / name, tmp_path / name))


def open_data(rank: int = 0, world_size: int = 1, stage: str = "fit", **settings: Any) -> TrainingDataModule:
    """Set up a data module as a Trainer does."""
    defaults = {"batch_size": 3, "image_size": SIZE, "num_classes": 10, "shuffle_buffer": 4}
    data = TrainingDataModule(**(defaults | settings))
    strategy = SimpleNamespace(root_device=torch.device("cpu"), broadcast=lambda value: value)
    progress = SimpleNamespace(current=SimpleNamespace(ready=0))
    trainer: Any = SimpleNamespace(
        global_rank=rank,
        world_size=world_size,
        is_global_zero=True,
        strategy=strategy,
        fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress)),
    )
    data.trainer = trainer
    data.prepare_data()
    data.setup(stage)
    return data


def read(epoch: int = 0, **settings: Any) -> list[TrainBatch]:
    loader: Any = open_data(**settings).train_dataloader()
    loader.sampler.set_epoch(epoch)
    batches = list(loader)
    assert len(batches) == len(loader)
    return batches


def samples(batches: list[TrainBatch]) -> Iterator[tuple[str, str, int, Tensor, Tensor | None]]:
    """Yield source, key, label, clean and adversarial image of each sample that counts."""
    for batch in batches:
        for i in batch.weights.nonzero().flatten().tolist():
            adversarial = None if batch.adversarial is None else batch.adversarial[i]
            yield batch.source, batch.keys[i], int(batch.labels[i]), batch.clean[i], adversarial


def stored(folders: Path, name: str) -> dict[str, Stored]:
    return {sample.key: sample for sample in read_stored(folders / name)}


MORE = [f"{number:04d}" for number in (500, 501, 502, 510, 511)]


@pytest.mark.parametrize(("world_size", "workers"), [(1, 0), (1, 2), (2, 0), (2, 2), (3, 0), (11, 0)])
def test_every_image_comes_once_an_epoch_over_processes_and_workers(
    sets: dict[str, str], folders: Path, world_size: int, workers: int
) -> None:
    settings: dict[str, Any] = {"adversarial": sets, "clean": str(folders / "more"), "num_workers": workers}
    shares = [read(rank=rank, world_size=world_size, **settings) for rank in range(world_size)]
    seen = [key for share in shares for _, key, *_ in samples(share)]
    assert sorted(seen) == sorted([*stored(folders, "weak"), *MORE])
    assert len({len(share) for share in shares}) == 1
    assert all(len(batch) == 3 for share in shares for batch in share)


def test_what_a_batch_holds_depends_neither_on_processes_nor_on_workers(sets: dict[str, str], folders: Path) -> None:
    settings: dict[str, Any] = {"adversarial": sets, "clean": str(folders / "more"), "epoch": 1}
    alone = [describe(batch, 1) for batch in read(**settings)]
    for world_size, workers in ((1, 3), (2, 1), (3, 0)):
        shares = [read(rank=r, world_size=world_size, num_workers=workers, **settings) for r in range(world_size)]
        counting = [describe(batch, 1) for share in shares for batch in share if batch.weights.any()]
        assert sorted(counting) == sorted(alone)


def test_images_and_labels_are_those_of_the_source(sets: dict[str, str], folders: Path) -> None:
    expected = {name: stored(folders, name) for name in sets}
    sources = set()
    for source, key, label, clean, adversarial in samples(read(adversarial=sets, augmentation=UNCHANGED)):
        sample = expected[source][key]
        assert label == sample.label
        assert torch.equal(clean, sample.clean)
        assert adversarial is not None
        assert torch.equal(adversarial, sample.adversarial)
        sources.add(source)
    assert sources == {"weak", "strong"}


def test_the_other_clean_images_have_no_adversarial_version(sets: dict[str, str], folders: Path) -> None:
    batches = read(adversarial=sets, clean=[str(folders / "more")])
    clean = [batch for batch in batches if batch.source == "self"]
    assert sorted(key for _, key, *_ in samples(clean)) == MORE
    assert all(batch.adversarial is None for batch in clean)
    assert {key: label for _, key, label, *_ in samples(clean)} == {key: int(key) % 10 for key in MORE}


def test_clean_shards_alone_are_enough(folders: Path) -> None:
    assert sorted(key for _, key, *_ in samples(read(clean=str(folders / "more")))) == MORE


def test_batches_are_uint8_in_channels_last_layout(sets: dict[str, str]) -> None:
    for batch in read(adversarial=sets):
        for images in (batch.clean, batch.adversarial):
            assert images is not None
            assert images.shape == (3, 3, SIZE, SIZE)
            assert images.dtype == torch.uint8
            assert images.is_contiguous(memory_format=torch.channels_last)
        assert batch.labels.dtype == torch.int64
        assert batch.weights.dtype == torch.float32


def test_pairs_stay_within_the_budget_when_they_are_augmented(sets: dict[str, str], folders: Path) -> None:
    budgets = {"weak": 2, "strong": 8}
    originals = stored(folders, "weak")
    largest, moved = Counter[str](), 0
    for epoch in range(4):
        for source, key, _, clean, adversarial in samples(read(adversarial=sets, epoch=epoch)):
            assert adversarial is not None
            largest[source] = max(largest[source], int((clean.int() - adversarial.int()).abs().max()))
            moved += not torch.equal(clean, originals[key].clean)
    assert largest == budgets
    assert moved > 2 * IMAGES


def test_epochs_differ_and_can_be_read_again(sets: dict[str, str]) -> None:
    epochs = [[describe(batch, 0) for batch in read(adversarial=sets, epoch=epoch)] for epoch in range(3)]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert [describe(batch, 0) for batch in read(adversarial=sets, epoch=1)] == epochs[1]
    assert [describe(batch, 0) for batch in read(adversarial=sets, epoch=1, seed=1)] != epochs[1]


def test_each_source_gets_its_share_of_the_batches(sets: dict[str, str]) -> None:
    data = open_data(adversarial=sets, shares={"weak": 2, "strong": 5, "self": 3}, batch_size=1)
    loader: Any = data.train_dataloader()
    drawn = Counter[str]()
    for epoch in range(40):
        loader.sampler.set_epoch(epoch)
        drawn.update(batch.source for batch in loader)
    count = 40 * IMAGES
    for source, share in {"weak": 0.2, "strong": 0.5, "self": 0.3}.items():
        assert abs(drawn[source] - share * count) < 4 * (count * share * (1 - share)) ** 0.5


def test_by_default_the_sets_have_equal_shares(sets: dict[str, str]) -> None:
    assert open_data(adversarial=sets).shares == {"weak": 0.5, "strong": 0.5, "self": 0}


def test_sets_that_shares_leave_out_have_1_and_self_0(sets: dict[str, str]) -> None:
    assert open_data(adversarial=sets, shares={"self": 2}).shares == {"weak": 0.25, "strong": 0.25, "self": 0.5}
    assert open_data(adversarial=sets, shares={"weak": 3}).shares == {"weak": 0.75, "strong": 0.25, "self": 0}


def test_clean_images_have_their_share_and_go_round_from_epoch_to_epoch(sets: dict[str, str], folders: Path) -> None:
    settings: dict[str, Any] = {"adversarial": sets, "clean": str(folders / "more"), "batch_size": 2}
    settings["shares"] = {"weak": 5, "strong": 7, "self": 1, "clean": 3}
    seen = Counter[str](dict.fromkeys(MORE, 0))
    for epoch in range(5):
        shares = [read(epoch, rank=rank, world_size=2, num_workers=epoch % 2, **settings) for rank in range(2)]
        keys = Counter(key for share in shares for _, key, *_ in samples(share))
        assert keys.total() == IMAGES + 3
        assert max(keys.values()) == 1
        assert keys.keys() - {*MORE} == {*stored(folders, "weak")}
        seen.update(keys & Counter(MORE))
        assert max(seen.values()) - min(seen.values()) <= 1
    assert set(seen.values()) == {3}


def test_clean_images_come_again_where_their_share_asks_for_more(sets: dict[str, str], folders: Path) -> None:
    batches = read(adversarial=sets, clean=str(folders / "more"), shares={"weak": 1, "strong": 0, "clean": 1})
    keys = Counter(key for _, key, *_ in samples(batches))
    assert [sum(keys[key] for key in part) for part in (stored(folders, "weak"), MORE)] == [IMAGES, IMAGES]
    assert {keys[key] for key in MORE} == {2, 3}


def test_clean_images_without_a_share_are_left_out_if_it_is_0_and_come_once_if_it_is_not_named(
    sets: dict[str, str], folders: Path
) -> None:
    for shares, count in (({"clean": 0}, 0), ({"weak": 2}, len(MORE))):
        batches = read(adversarial=sets, clean=str(folders / "more"), shares=shares)
        assert len({key for _, key, *_ in samples(batches)} & {*MORE}) == count


def test_only_the_chosen_source_is_decoded(sets: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = Counter[str]()
    decode_image = decode.decode_image

    def note(files: dict[str, bytes], **limits: int) -> Any:
        decoded.update(files.keys())
        return decode_image(files, **limits)

    monkeypatch.setattr(decode, "decode_image", note)
    own = {"weak": 0, "strong": 0, "self": 1}
    assert {batch.source for batch in read(adversarial=sets, shares=own)} == {"self"}
    assert decoded == {"png": IMAGES}  # the clean images of the first set
    decoded.clear()
    assert {batch.source for batch in read(adversarial=sets, shares={"weak": 0})} == {"strong"}
    assert decoded == {"png": 2 * IMAGES}


def test_a_set_without_a_share_is_not_read(copy: Callable[[str], Path], sets: dict[str, str]) -> None:
    shares = {"weak": 1, "strong": 1, "unused": 0, "self": 1}
    data = open_data(adversarial=sets | {"unused": str(copy("strong"))}, shares=shares)
    for path in Path(data.sets["unused"].path).glob("*.tar"):
        path.unlink()
    assert len(list(samples(list(data.train_dataloader())))) == IMAGES


def test_validation_has_every_stored_pair_once_over_all_processes(sets: dict[str, str], folders: Path) -> None:
    shares = [open_data(rank, 2, stage="validate", validation=sets).val_dataloader() for rank in range(2)]
    batches = [batch for share in shares for batch in share]
    for name in sets:
        expected = stored(folders, name)
        mine = [batch for batch in batches if batch.attack == name]
        assert sorted(key for batch in mine for key in batch.keys) == sorted(expected)
        for batch in mine:
            assert torch.equal(batch.adversarial, torch.stack([expected[key].adversarial for key in batch.keys]))


def test_the_trainer_knows_the_steps_and_each_of_its_epochs_is_another(sets: dict[str, str], folders: Path) -> None:
    settings: dict[str, Any] = {"adversarial": sets, "clean": str(folders / "more")}
    data = open_data(**settings, num_workers=2, validation=sets)
    module = fit(data, epochs=3)
    assert module.trainer.estimated_stepping_batches == 3 * (5 + 2)
    expected = [describe(b, epoch) for epoch in range(3) for b in read(**settings, num_workers=2, epoch=epoch)]
    assert module.seen == expected
    assert sorted(module.validated) == sorted(3 * [f"{name} {key}" for name in sets for key in stored(folders, name)])


@pytest.mark.parametrize("after_validation", [True, False])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_resumed_at_an_epoch_s_end_sees_what_an_uninterrupted_one_sees(
    sets: dict[str, str], folders: Path, tmp_path: Path, workers: int, after_validation: bool
) -> None:
    def data() -> TrainingDataModule:
        clean, shares = str(folders / "more"), {"clean": 0.5}
        return open_data(adversarial=sets, clean=clean, shares=shares, validation=sets, num_workers=workers)

    def run(epochs: int, resume: str | None = None) -> tuple[Recorder, ModelCheckpoint]:
        keep = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1, save_on_train_epoch_end=not after_validation)
        return fit(data(), epochs, [keep], resume), keep

    whole, _ = run(4)
    resumed, _ = run(4, resume=str(tmp_path / "epoch=1.ckpt"))
    assert resumed.seen == [seen for seen in whole.seen if seen[0] >= 2]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_run_stopped_twice_within_an_epoch_sees_each_batch_once_whatever_workers_there_are(
    sets: dict[str, str], tmp_path: Path
) -> None:
    def run(workers: int, resume: Path | None = None) -> tuple[Recorder, Path]:
        """Run to the end, keeping each step in a folder of its own."""
        kept = tmp_path / str(len(list(tmp_path.iterdir())))
        keep = ModelCheckpoint(kept, "{step}", every_n_train_steps=1, save_top_k=-1)
        return fit(open_data(adversarial=sets, num_workers=workers), 2, [keep], resume and str(resume)), kept

    whole, kept = run(2)
    once, kept = run(0, kept / "step=2.ckpt")
    twice, _ = run(3, kept / "step=3.ckpt")
    began, ended = ([seen for seen in module.seen if seen[0] == 0] for module in (whole, twice))
    assert [*whole.seen[:2], *once.seen[:1], *ended] == began
    # The next epoch is dealt to those workers that there are now.
    assert twice.seen[len(ended) :] == run(3)[0].seen[len(began) :]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adversarial": "other"}, r"\(the shards of strong \w{10} there, \w{10} now\)"),
        ({"adversarial": "renamed"}, r"the shards of strongest None there, \w{10} now"),
        ({"adversarial": "fewer"}, r"the shards of strong \w{10} there, None now"),
        (
            {"shares": {"weak": 3, "strong": 1}},
            r"\(data.shares {'weak': 0.5, 'strong': 0.5, 'self': 0.0} there, {'weak': 0.75",
        ),
        ({"clean": "more/more-0.tar"}, r"the shards of data.clean \w{10} there, \w{10} now"),
        ({"batch_size": 4}, r"data.batch_size 3 there, 4 now; batches an epoch 7 there, 6 now"),
    ],
)
def test_an_epoch_goes_on_with_what_it_began_with_or_not_at_all(
    sets: dict[str, str], folders: Path, settings: dict[str, Any], message: str
) -> None:
    chosen = {
        "other": {**sets, "strong": sets["weak"]},
        "renamed": {"weak": sets["weak"], "strongest": sets["strong"]},
        "fewer": {"weak": sets["weak"]},
    }
    begun: dict[str, Any] = {"adversarial": sets, "clean": str(folders / "more")}
    changed = {name: chosen.get(value, value) if name == "adversarial" else value for name, value in settings.items()}
    if "clean" in changed:
        changed["clean"] = str(folders / changed["clean"])
    data = open_data(**begun | changed)
    data.load_state_dict(open_data(**begun).state_dict())
    data.trainer.fit_loop.epoch_loop.batch_progress.current.ready = 2
    with pytest.raises(ValueError, match=message):
        next(iter(data.train_dataloader()))


@pytest.fixture(scope="module")
def fits_of_two(sets: dict[str, str], folders: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The notes of fits in two processes, by batch size."""
    made = {batch_size: tmp_path_factory.mktemp(f"batches_of_{batch_size}") for batch_size in (2, 3)}
    options = {
        str(folder): {
            "adversarial": sets, "clean": str(folders / "more"), "validation": sets, "batch_size": batch_size,
            "image_size": SIZE, "num_classes": 10, "shuffle_buffer": 4, "num_workers": batch_size - 2,
        }
        for batch_size, folder in made.items()
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.tiny_fit", json.dumps(options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return made


@pytest.mark.parametrize("batch_size", [2, 3])
def test_two_processes_see_every_image_once_an_epoch_and_end(
    sets: dict[str, str], folders: Path, fits_of_two: dict[int, Path], batch_size: int
) -> None:
    ranks = [json.loads((fits_of_two[batch_size] / f"rank{rank}.json").read_text()) for rank in range(2)]
    for epoch in range(2):
        seen = [
            key
            for rank in ranks
            for at, _, keys, weights, _ in rank["seen"]
            for key, weight in zip(keys, weights, strict=True)
            if at == epoch and weight
        ]
        assert sorted(seen) == sorted([*stored(folders, "weak"), *MORE])
    assert len(ranks[0]["seen"]) == len(ranks[1]["seen"])
    validated = sorted(ranks[0]["validated"] + ranks[1]["validated"])
    assert validated == sorted(2 * [f"{name} {key}" for name in sets for key in stored(folders, name)])


def test_the_command_line_takes_every_argument() -> None:
    parser = jsonargparse.ArgumentParser()
    parser.add_class_arguments(TrainingDataModule, "data")
    arguments = [
        "--data.adversarial={a: /a, b: /b}", "--data.clean=/x/{0..9}.tar",
        "--data.shares={a: 1, b: 0, self: 2, clean: 1}", "--data.validation={v: /v}", "--data.augmentation.flip=0",
        "--data.shuffle_buffer=10",
    ]  # fmt: skip
    data = parser.instantiate_classes(parser.parse_args(arguments)).data
    assert data.shares == {"a": 0.25, "b": 0, "self": 0.5, "clean": 0.25}


# Bad input is named before training starts.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size 0"),
        ({"shuffle_buffer": 0}, "shuffle_buffer 0"),
        ({"num_workers": -1}, "num_workers -1"),
        ({"adversarial": {"self": "/x"}}, "no set may be named 'self'"),
        ({"adversarial": {"clean": "/x"}}, "no set may be named 'clean'"),
        ({"validation": {"a": "/x", "b": "/x"}}, "each folder once"),
        ({"shares": {"strnog": 1}}, r"names \['strnog'\], but the sources are \['strong', 'self'\]"),
        ({"shares": {"clean": 1}}, r"\('clean' needs data\.adversarial and data\.clean\)"),
        ({"shares": {"clean": 1}, "clean": "/c", "adversarial": None}, r"names \['clean'\], but the sources are"),
        ({"shares": {"strong": -1, "self": 3}}, "at least one besides 'clean' above 0"),
        ({"shares": {"strong": 0, "self": 0}}, "at least one besides 'clean' above 0"),
        ({"shares": {"strong": 0, "clean": 1}, "clean": "/c"}, "at least one besides 'clean' above 0"),
        ({"shares": {"strong": float("nan")}}, "at least one besides 'clean' above 0"),
    ],
)
def test_a_wrong_argument_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingDataModule(**({"adversarial": {"strong": "/x"}} | settings))


def test_nothing_to_train_on_is_named(sets: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"name shards as data\.adversarial, data\.clean or both"):
        open_data(validation=sets)


@pytest.mark.parametrize("use", ["adversarial", "validation"])
def test_labels_of_another_class_count_name_the_folder(sets: dict[str, str], use: str) -> None:
    with pytest.raises(ValueError, match=r"'weak' in .*/weak lie in \[0, 10\), but data\.num_classes is 1000"):
        open_data(**{"clean": "/x", use: sets}, num_classes=1000)


@pytest.mark.parametrize("use", ["adversarial", "validation"])
def test_a_set_made_at_another_image_size_names_the_folder(sets: dict[str, str], use: str) -> None:
    with pytest.raises(ValueError, match=r"'weak' in .* side of 32 pixels, but data\.image_size is 224"):
        open_data(**{"clean": "/x", use: sets}, image_size=224)


@pytest.mark.parametrize("use", ["adversarial", "validation"])
def test_a_set_without_its_clean_images_names_the_remedy(tmp_path: Path, use: str) -> None:
    bare = make_attacked(tmp_path, "bare", "--output.clean_images=false", sizes=[2])
    with pytest.raises(ValueError, match=r"'bare' in .* --output\.clean_images true"):
        open_data(**{"clean": "/x", use: {"bare": str(bare)}})


def test_a_set_that_is_not_finished_names_the_remedy(copy: Callable[[str], Path]) -> None:
    folder = copy("weak")
    (folder / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"is not finished.*run the same generate command again"):
        open_data(adversarial={"weak": str(folder)})


def test_a_shard_that_is_not_its_manifest_s_is_named(copy: Callable[[str], Path]) -> None:
    folder = copy("weak")
    (folder / "tiny-000001.tar").write_bytes(b"")
    with pytest.raises(DamagedShardsError, match=r"tiny-000001\.tar: 0 bytes instead of"):
        open_data(adversarial={"weak": str(folder)})


def test_sets_of_other_shards_are_refused(sets: dict[str, str], tmp_path: Path) -> None:
    small = make_attacked(tmp_path, "small", sizes=SHARD_SIZES[:2])
    with pytest.raises(ValueError, match=r"not made from the same images \(tiny-000002\.tar: 2 and 0 samples\)"):
        open_data(adversarial=sets | {"small": str(small)})


def test_sets_that_skipped_other_images_are_refused(tmp_path: Path) -> None:
    files = sample_files(3)
    for name, broken in (("a", "0001"), ("b", "0002")):
        (tmp_path / name / "clean").mkdir(parents=True)
        (tmp_path / name / "clean/tiny-000000.tar").write_bytes(tar_bytes(files | {f"{broken}.jpg": b"no image"}))
        make_attacked(tmp_path / name, name, sizes=[])
    with pytest.raises(ValueError, match=r"tiny-000000\.tar: one has '0001' and the other has not"):
        open_data(adversarial={name: str(tmp_path / name / name) for name in "ab"})


def test_sets_made_from_shards_of_other_sizes_are_refused(sets: dict[str, str], copy: Callable[[str], Path]) -> None:
    other = copy("strong")
    sidecar = json.loads((other / "tiny-000001.json").read_text())
    size = sidecar["source_bytes"]
    (other / "tiny-000001.json").write_text(json.dumps(sidecar | {"source_bytes": 99}))
    with pytest.raises(ValueError, match=rf"\(tiny-000001\.tar: made from shards of {size} and 99 bytes\)"):
        open_data(adversarial=sets | {"other": str(other)})


@pytest.fixture
def other_keys(sets: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The sets, and one with as many images from shards as large, whose keys are others."""
    (tmp_path / "clean").mkdir()
    for number, size in enumerate(SHARD_SIZES):
        content = tar_bytes(sample_files(size, first=100 * number + 1))
        (tmp_path / f"clean/tiny-{number:06d}.tar").write_bytes(content)
    return sets | {"other": str(make_attacked(tmp_path, "other", sizes=[]))}


OTHER_KEYS = (
    r"other/tiny-00000\d\.tar: sample 0 is '0\d01', but it is '0\d00' in .*weak.* remove 'other' from data\.adv"
)


def test_sets_whose_keys_differ_are_refused_before_training_starts(other_keys: dict[str, str]) -> None:
    data = TrainingDataModule(adversarial=other_keys, image_size=SIZE, num_classes=10)
    with pytest.raises(DamagedShardsError, match=OTHER_KEYS):
        data.prepare_data()


def test_a_shard_whose_keys_differ_is_refused_when_it_is_opened(
    other_keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingDataModule, "prepare_data", lambda self: None)
    data = open_data(adversarial=other_keys)
    with pytest.raises(DamagedShardsError, match=OTHER_KEYS):
        list(data.train_dataloader())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"0001.cls": b"10"}, "1 x cls 10 is not in [0, 10) ('0001')"),
        ({"0001.cls": b"cat"}, "1 x cls is not an integer: 'cat' ('0001')"),
        ({"0009.jpg": image_file()}, "1 x no class index: there is no cls file ('0009')"),
        ({"0009.cls": b"3"}, "1 x no image (jpg, jpeg, png, webp) ('0009')"),
        ({"0001.jpg": image_file(), "0001.png": image_file()}, "1 x more than one image: jpg, png; choose one"),
    ],
)
def test_a_clean_sample_that_cannot_be_used_is_left_out_and_said(
    change: dict[str, bytes], reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = {name: content for name, content in sample_files(4).items() if name.split(".")[0] not in ("0001", "0003")}
    files["0001.jpg"] = image_file(1)
    files["0001.cls"] = b"1"
    (tmp_path / "c.tar").write_bytes(tar_bytes(dict(sorted((files | change).items()))))
    data = open_data(clean=str(tmp_path / "c.tar"))
    usable = {"0000", "0001", "0002"} - {key.split(".")[0] for key in change if key.startswith("0001")}
    assert {key: label for _, key, label, *_ in samples(list(data.train_dataloader()))} == {k: int(k) for k in usable}
    assert f"samples of data.clean are left out: {reason}" in caplog.text


def test_clean_shards_without_a_usable_sample_are_refused_with_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "c.tar").write_bytes(tar_bytes(sample_files(3, first=1) | {"0001.cls": b"77"}))
    with pytest.raises(ValueError, match=r"correct the shards, data\.label_field, .*\n  3 x cls 77 is not in \[0, 1\)"):
        open_data(clean=str(tmp_path / "c.tar"), num_classes=1)


def test_labels_and_images_of_clean_shards_are_where_the_user_says(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for number in range(3):
        black, white = (encode(Image.new("RGB", (SIZE, SIZE), color)) for color in ("black", "white"))
        files |= {f"{number}.left.png": black, f"{number}.right.png": white}
        files[f"{number}.json"] = json.dumps({"class": 9 - number}).encode()
    (tmp_path / "c.tar").write_bytes(tar_bytes(files))
    for field, level in (("left.png", 0), ("right.png", 255)):
        data = open_data(clean=str(tmp_path / "c.tar"), label_field="class", image_field=field)
        found = list(samples(list(data.train_dataloader())))
        assert {key: label for _, key, label, *_ in found} == {"0": 9, "1": 8, "2": 7}
        assert all((clean == level).all() for _, _, _, clean, _ in found)


def test_a_clean_shard_that_is_cut_off_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.tar").write_bytes(tar_bytes(sample_files(3))[:-2000])
    with pytest.raises(ValueError, match=r"c\.tar: it is cut off"):
        open_data(clean=str(tmp_path / "c.tar"))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_decoded_is_left_out_of_its_batch(tmp_path: Path, workers: int) -> None:
    bad = {"0001.jpg": b"no image", "0004.jpg": image_file()[:300]}
    (tmp_path / "c.tar").write_bytes(tar_bytes(sample_files(6) | bad))
    data = open_data(clean=str(tmp_path / "c.tar"), num_workers=workers, batch_size=1)
    batches = list(data.train_dataloader())
    assert len(batches) == 6
    assert {key for _, key, *_ in samples(batches)} == {"0000", "0002", "0003", "0005"}
    [first, second] = sorted(reason for batch in batches for reason in batch.left_out)
    assert first.startswith(f"{tmp_path}/c.tar: sample '0001': cannot decode its jpg: it is not a JPEG")
    assert second.startswith(f"{tmp_path}/c.tar: sample '0004': cannot decode its jpg")
    assert all(len(batch) == 1 and batch.clean.shape == (1, 3, SIZE, SIZE) for batch in batches)


def test_training_goes_on_without_the_images_that_cannot_be_decoded_and_says_each_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "c.tar").write_bytes(tar_bytes(sample_files(5) | {"0001.jpg": b"no image"}))
    data = TrainingDataModule(clean=str(tmp_path / "c.tar"), image_size=SIZE, num_classes=10, batch_size=2)
    module = fit(data, epochs=2)
    seen = Counter(
        key for _, _, keys, weights, _ in module.seen for key, weight in zip(keys, weights, strict=True) if weight
    )
    assert seen == dict.fromkeys(("0000", "0002", "0003", "0004"), 2)
    assert [record.message for record in caplog.records].count(
        f"sample 1 that is left out: {tmp_path}/c.tar: sample '0001': cannot decode its jpg: it is not a JPEG, PNG or "
        "WebP image"
    ) == 1
