"""Writing shards in the background."""

import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lit_adv.callbacks import output as output_module
from lit_adv.callbacks.output import BudgetError, ShardOutput
from lit_adv.data.batch import AdversarialBatch, ImageBatch
from lit_adv.shards.sidecar import Skipped, finished, read_sidecars

Make = Callable[..., ShardOutput]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make an output into ``tmp_path`` that is closed after the test."""
    made: list[ShardOutput] = []

    def make(**settings: int | bool | None) -> ShardOutput:
        made.append(ShardOutput(str(tmp_path), fingerprint="f", **{"budget": 2, **settings}))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for output in made:
        output.close()


def batch(
    shard: str = "s", keys: str = "ab", total: int = 2, last: bool = True, change: int = 2, error: str | None = None
) -> AdversarialBatch:
    """Make a batch of random images, each changed by ``change`` in one pixel."""
    generator = torch.Generator().manual_seed(len(keys))
    clean = torch.randint(0, 200, (len(keys), 3, 8, 8), generator=generator, dtype=torch.uint8)
    adversarial = clean.clone()
    adversarial[:, 0, 0, 0] += change
    labels = torch.arange(len(keys))
    source = ImageBatch(clean, labels, list(keys), f"/in/{shard}.tar", total, last, [], error=error)
    return AdversarialBatch(source, adversarial, labels, labels + 1, labels == 0, None, 0.5)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_shard_holds_images_labels_and_records(make: Make, tmp_path: Path) -> None:
    made = batch()
    output = make()
    output.put(made)
    output.drain()
    with tarfile.open(tmp_path / "s.tar") as tar:
        members = tar.getmembers()
        files = {member.name: tar.extractfile(member).read() for member in members}  # type: ignore[union-attr]
    assert list(files) == [f"{key}.{ext}" for key in "ab" for ext in ("clean.png", "cls", "json", "png")]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {
        (0, 0, 0, "lit_adv", "lit_adv", 0o444)
    }
    for index, key in enumerate("ab"):
        for name, images in (("png", made.images), ("clean.png", made.source.images)):
            stored = np.asarray(Image.open(BytesIO(files[f"{key}.{name}"])))
            np.testing.assert_array_equal(stored, images[index].permute(1, 2, 0).numpy())
        assert files[f"{key}.cls"] == str(index).encode()
        assert json.loads(files[f"{key}.json"]) == {
            "key": key, "label": index, "prediction_clean": index, "prediction": index + 1, "fooled": index == 0,
            "linf": 2, "l2": round(2 / 255, 6), "source_shard": "s.tar",
        }  # fmt: skip


def test_distances_are_those_of_a_plain_computation(make: Make) -> None:
    made = batch()
    noise = torch.randint(-2, 3, made.images.shape, generator=torch.Generator().manual_seed(5))
    made.images.copy_((made.source.images.int() + noise).clamp(0, 255))
    for record, clean, adversarial in zip(
        output_module.describe(made), made.source.images.numpy(), made.images.numpy(), strict=True
    ):
        change = adversarial.astype(np.float64) - clean.astype(np.float64)
        assert record.linf == np.abs(change).max()
        assert record.l2 == pytest.approx(np.linalg.norm(change / 255), abs=1e-6)


def test_the_sidecar_accounts_for_every_sample(make: Make, tmp_path: Path) -> None:
    made = batch(keys="abc", total=5)
    made.source.skipped.extend([Skipped("x", "corrupt"), Skipped("y", "no label")])
    output = make()
    output.put(made)
    output.drain()
    [sidecar] = read_sidecars(str(tmp_path), ["s"])
    assert (sidecar.samples_expected, sidecar.samples_written) == (5, 3)
    assert sidecar.skipped == [("x", "corrupt"), ("y", "no label")]
    assert (sidecar.fooled, sidecar.linf_mean, sidecar.seconds_attack) == (1, 2, 0.5)
    assert sidecar.tar_bytes == (tmp_path / "s.tar").stat().st_size


def test_a_targeted_batch_records_its_targets(make: Make, tmp_path: Path) -> None:
    made = batch()
    output = make(clean_images=False)
    output.put(AdversarialBatch(**{**vars(made), "targets": torch.tensor([7, 8])}))
    output.drain()
    with tarfile.open(tmp_path / "s.tar") as tar:
        assert tar.getnames() == [f"{key}.{ext}" for key in "ab" for ext in ("cls", "json", "png")]
        targets = [json.load(tar.extractfile(f"{key}.json"))["target"] for key in "ab"]  # type: ignore[arg-type]
    assert targets == [7, 8]


def test_batches_of_several_shards_may_alternate(make: Make, tmp_path: Path) -> None:
    output = make()
    for shard, keys, last in (("s", "ab", False), ("t", "cd", False), ("s", "ef", True), ("t", "gh", True)):
        output.put(batch(shard, keys, total=4, last=last))
    output.drain()
    alone = make()
    for keys, last in (("ab", False), ("ef", True)):
        alone.put(batch("u", keys, total=4, last=last))
    alone.drain()
    s, t, u = read_sidecars(str(tmp_path), ["s", "t", "u"])
    assert s.pixels_sha256 == u.pixels_sha256 == t.pixels_sha256
    assert s.samples_written == t.samples_written == 4


def test_a_long_key_is_kept_whole(make: Make, tmp_path: Path) -> None:
    made = batch(keys="a", total=1)
    made.source.keys[0] = "folder/" + "ü" * 200
    output = make()
    output.put(made)
    output.drain()
    with tarfile.open(tmp_path / "s.tar") as tar:
        assert f"{made.source.keys[0]}.png" in tar.getnames()


def test_a_breach_of_the_budget_publishes_nothing_and_names_the_image(make: Make, tmp_path: Path) -> None:
    output = make(queue_batches=1)
    output.put(batch("good"))
    output.put(batch("bad", change=3, last=False, total=4))
    with pytest.raises(BudgetError, match=r"/in/bad\.tar: image 'a' is changed by 3 grey levels, but the budget is 2"):
        output.put(batch("bad", keys="cd", total=4))
    output.close()
    assert names(tmp_path) == ["good.json", "good.tar"]


def test_without_a_budget_any_change_is_written(make: Make, tmp_path: Path) -> None:
    output = make(budget=None)
    output.put(batch(change=50))
    output.drain()
    assert names(tmp_path) == ["s.json", "s.tar"]


def test_a_shard_that_lacks_samples_is_not_published(make: Make, tmp_path: Path) -> None:
    output = make()
    output.put(batch(total=3))
    with pytest.raises(RuntimeError, match=r"s\.tar \(2 of 3 samples\) is incomplete"):
        output.drain()
    output.close()
    assert names(tmp_path) == []


def test_a_shard_that_fails_midway_is_discarded_and_the_others_go_on(make: Make, tmp_path: Path) -> None:
    output = make()
    output.put(batch("bad", last=False, total=4))
    output.put(batch("bad", keys="", error="cut off"))
    output.put(batch("good"))
    output.drain()
    assert output.tally.failed == {"/in/bad.tar": "cut off"}
    assert names(tmp_path) == ["_failed-bad.json", "good.json", "good.tar"]


def test_the_tally_counts_images_shards_and_failures(make: Make) -> None:
    output = make()
    output.put(batch("bad", last=False, total=4))
    output.put(batch("bad", keys="", error="cut off"))
    output.put(batch("good", keys="abc", total=3))
    output.put(batch("open", last=False, total=5, change=1))
    output.drain()
    tally = output.tally
    assert (tally.images, tally.fooled, tally.linf_sum) == (7, 3, 2 * 5 + 1 * 2)
    assert tally.l2_sum == pytest.approx((2 * 5 + 1 * 2) / 255, abs=1e-5)
    assert (tally.shards_done, tally.failed) == (1, {"/in/bad.tar": "cut off"})
    assert (tally.samples_done, tally.samples_known, tally.shards_known) == (3 + 2, 3 + 5, 2)


def test_closing_discards_what_is_unfinished(make: Make, tmp_path: Path) -> None:
    output = make()
    output.put(batch(last=False, total=4))
    output.drain()
    assert output.unfinished == ["s.tar (2 of 4 samples)"]
    output.close()
    assert names(tmp_path) == []


def test_the_queue_is_bounded_and_a_failure_in_the_thread_frees_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def encode(*arguments: object, **settings: object) -> bytes:
        release.wait()
        raise OSError("No space left on device")

    monkeypatch.setattr(output_module, "encode_image", encode)
    output = make(queue_batches=2)
    output.put(batch())
    output.put(batch("t"))
    errors: list[BaseException] = []

    def put_third() -> None:
        try:
            output.put(batch("u"))
        except OSError as error:
            errors.append(error)

    third = threading.Thread(target=put_third)
    third.start()
    third.join(0.2)
    assert third.is_alive()  # it waits for room, which the failure makes
    release.set()
    third.join()
    assert [str(error) for error in errors] == ["No space left on device"]
    assert output.tally.seconds_blocked >= 0.05


def test_a_twin_that_made_the_same_shard_is_no_error(make: Make, tmp_path: Path) -> None:
    for _ in range(2):
        output = make()
        output.put(batch())
        output.drain()
    assert names(tmp_path) == ["s.json", "s.tar"]


def test_a_crash_between_tar_and_sidecar_is_mended(make: Make, tmp_path: Path) -> None:
    first = make()
    first.put(batch())
    first.drain()
    (tmp_path / "s.json").unlink()
    second = make()
    second.put(batch())
    second.drain()
    assert names(tmp_path) == ["s.json", "s.tar"]


def test_other_bytes_under_the_same_name_are_an_alarm(make: Make, tmp_path: Path) -> None:
    first = make()
    first.put(batch(change=1))
    first.drain()
    second = make()
    second.put(batch(change=2))
    second.drain()
    [reason] = second.tally.failed.values()
    assert "s.json tells of other bytes" in reason
    (tmp_path / "s.json").rename(tmp_path / "kept.json")
    unproven = make()
    unproven.put(batch(change=2))
    unproven.drain()
    [reason] = unproven.tally.failed.values()
    assert "s.tar exists with other bytes" in reason
    (tmp_path / "kept.json").rename(tmp_path / "s.json")
    third = make()
    (tmp_path / "s.tar").unlink()
    third.put(batch(change=2))
    third.drain()
    [reason] = third.tally.failed.values()
    assert "s.json tells of other bytes than those of s.tar as it is made now" in reason
    assert "move this sidecar, and the tar if it is there, to another folder and run again" in reason
    assert not finished(str(tmp_path))


def test_a_sidecar_of_other_settings_is_never_completed_by_a_tar(make: Make, tmp_path: Path) -> None:
    first = make()
    first.put(batch())
    first.drain()
    (tmp_path / "s.tar").unlink()
    (tmp_path / "s.json").write_text((tmp_path / "s.json").read_text().replace('"f"', '"other"'))
    second = make()
    second.put(batch())
    second.drain()
    [reason] = second.tally.failed.values()
    assert "s.json tells of other settings than those of s.tar" in reason
    assert not finished(str(tmp_path))


def test_a_lost_tar_is_made_again_beside_its_sidecar(make: Make, tmp_path: Path) -> None:
    for _ in range(2):
        (tmp_path / "s.tar").unlink(missing_ok=True)
        output = make()
        output.put(batch())
        output.drain()
    assert (finished(str(tmp_path)), output.tally.failed) == ({"s"}, {})


def test_what_an_attack_failed_on_is_counted_named_and_recorded(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = "abcdefg"
    kept = replace(batch(keys=keys, total=9, last=False, change=0), not_finite=list(keys[:6]))
    output = make()
    output.put(kept)
    output.put(batch(keys="hi", total=9))
    output.drain()
    assert (output.tally.images, output.tally.unchanged, output.tally.not_finite) == (9, 7, 6)
    [sidecar] = read_sidecars(str(tmp_path), ["s"])
    assert (sidecar.unchanged, sidecar.not_finite) == (7, list("abcdef"))
    assert "no finite numbers for 6 images, which are stored unchanged: a, b, c, d, e and 1 more" in caplog.text


def test_images_are_counted_that_were_right_when_clean_and_how_many_of_these_fool(make: Make, tmp_path: Path) -> None:
    made = batch(keys="abcd", total=4)
    clean, fooled = torch.tensor([0, 1, 0, 0]), torch.tensor([True, False, True, False])  # the labels are 0 to 3
    output = make()
    output.put(replace(made, predictions_clean=clean, fooled=fooled))
    output.drain()
    tally, [sidecar] = output.tally, read_sidecars(str(tmp_path), ["s"])
    for counts in (tally, sidecar):
        assert (counts.fooled, counts.clean_correct, counts.clean_correct_fooled) == (2, 2, 1)
