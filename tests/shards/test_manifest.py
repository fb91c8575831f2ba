"""The manifest and timm's index."""

import json
import tarfile
from pathlib import Path

import pytest
from timm.data.readers.reader_wds import ReaderWds

from lit_adv.shards.job import ConfigMismatchError
from lit_adv.shards.listing import list_shards
from lit_adv.shards.manifest import finalize, summarize
from lit_adv.shards.storage import sha256
from lit_adv.shards.verify import verify
from tests import tiny_job

pytestmark = pytest.mark.filterwarnings("ignore:Couldn't infer the batch indices")


@pytest.fixture
def out(two_shards: str, tmp_path: Path) -> Path:
    """A finished output folder."""
    tiny_job.generate(two_shards, str(tmp_path / "out"))
    return tmp_path / "out"


def test_totals_and_shards_are_those_of_the_sidecars(out: Path) -> None:
    manifest = json.loads((out / "manifest.json").read_text())
    sidecars = [json.loads((out / f"shard-00000{number}.json").read_text()) for number in (0, 1)]
    totals = manifest["totals"]
    assert manifest["config"] == json.loads((out / "job.json").read_text())
    assert totals["images"] == 11
    assert totals["fooled"] == sum(sidecar["fooled"] for sidecar in sidecars)
    assert totals["success_rate"] == pytest.approx(totals["fooled"] / 11, abs=1e-6)
    for name in ("linf_mean", "l2_mean"):
        expected = (7 * sidecars[0][name] + 4 * sidecars[1][name]) / 11
        assert totals[name] == pytest.approx(expected, abs=1e-6)
    for shard in manifest["shards"]:
        with (out / shard["shard"]).open("rb") as file:
            assert shard["sha256"] == sha256(file)


def test_it_is_written_only_when_nothing_is_missing_and_again_to_the_same_bytes(out: Path, two_shards: str) -> None:
    plan = list_shards(two_shards)
    before = {name: (out / name).read_bytes() for name in ("manifest.json", "_info.json")}
    for name in before:
        (out / name).unlink()
    assert finalize(str(out), [*plan, "/in/missing.tar"]) is None
    assert not (out / "manifest.json").exists()
    assert finalize(str(out), plan) == finalize(str(out), plan[::-1]) == summarize(str(out))
    assert {name: (out / name).read_bytes() for name in before} == before


def test_a_shard_without_its_tar_is_missing(out: Path, two_shards: str) -> None:
    (out / "shard-000001.tar").unlink()
    assert finalize(str(out), list_shards(two_shards)) is None
    assert summarize(str(out)).images == 7


def test_nothing_finished_sums_to_nothing(tmp_path: Path) -> None:
    summary = summarize(str(tmp_path / "none"))
    assert (summary.shards, summary.images, summary.success_rate, summary.linf_mean) == (0, 0, 0, 0)


def test_a_shard_of_other_settings_is_refused(out: Path, two_shards: str) -> None:
    sidecar = json.loads((out / "shard-000001.json").read_text())
    (out / "shard-000001.json").write_text(json.dumps({**sidecar, "fingerprint": "other"}))
    with pytest.raises(ConfigMismatchError, match=r"shard-000001\.tar in .* was made with other settings than job"):
        finalize(str(out), list_shards(two_shards))


def test_timm_reads_the_output(out: Path) -> None:
    reader = ReaderWds(str(out), split="adversarial", is_training=False)
    samples = list(reader)
    assert len(samples) == len(reader) == 11
    assert [target for _, target in samples] == [*range(7), *(number % 10 for number in range(100, 104))]
    assert samples[0][0].size == (16, 16)


LATER = ("clean_correct", "clean_correct_fooled", "unchanged", "not_finite")


def test_totals_tell_how_many_images_were_right_when_clean_and_how_many_of_these_fool(out: Path) -> None:
    totals = json.loads((out / "manifest.json").read_text())["totals"]
    records = []
    for shard in sorted(out.glob("*.tar")):
        with tarfile.open(shard) as tar:
            records += [json.load(tar.extractfile(m)) for m in tar if m.name.endswith(".json")]  # type: ignore[arg-type]
    right = [record for record in records if record["prediction_clean"] == record["label"]]
    assert totals["clean_correct"] == len(right) == 11
    assert totals["clean_accuracy"] == 1
    assert totals["clean_correct_fooled"] == sum(record["fooled"] for record in right)
    assert totals["success_on_correct"] == pytest.approx(totals["clean_correct_fooled"] / len(right), abs=1e-6)
    assert (totals["unchanged"], totals["not_finite"]) == (0, 0)


def test_a_folder_of_an_earlier_release_is_read_and_stays_as_it_is(out: Path, two_shards: str) -> None:
    for path in out.glob("shard-*.json"):
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k not in LATER}))
    manifest = json.loads((out / "manifest.json").read_text())
    for name in (*LATER, "clean_accuracy", "success_on_correct"):
        del manifest["totals"][name]
    (out / "manifest.json").write_text(json.dumps(manifest))
    assert verify(str(out)).complete
    summary = finalize(str(out), list_shards(two_shards))
    assert (summary.images, summary.clean_correct, summary.unchanged) == (11, None, None)
    assert json.loads((out / "manifest.json").read_text()) == manifest
