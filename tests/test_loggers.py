"""A run that is tracked offline is whole: all that it logs lies in its own folder."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb

from lit_adv.loggers import OfflineWandbLogger, manifest_artifact


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where W&B keeps artifacts unless it is told otherwise."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", "")  # so that it is restored
    monkeypatch.delenv("WANDB_DATA_DIR")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    wandb.finish()


def log(folder: Path, content: str) -> Path:
    """Log an artifact of one file and a table in a run of its own; return the run's folder."""
    logger = OfflineWandbLogger(save_dir=str(folder / "logs"))
    run = logger.experiment
    artifact = wandb.Artifact("weights", type="model")
    (folder / "weights.txt").write_text(content)
    artifact.add_file(str(folder / "weights.txt"))
    run.log_artifact(artifact)
    logger.log_table("numbers", columns=["a"], data=[[1]])
    own = Path(run.dir).parent
    run.finish()
    return own


def files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


def test_an_offline_runs_artifacts_lie_in_its_own_folder(home: Path, tmp_path: Path) -> None:
    first, second = log(tmp_path, "the first"), log(tmp_path, "the second")
    assert first != second
    assert b"the first" in files(first)
    assert b"the second" in files(second)
    assert b"the first" not in files(second)
    assert files(home) == []


def test_the_users_own_place_for_them_is_kept(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "chosen"))
    own = log(tmp_path, "mine")
    assert b"mine" in files(tmp_path / "chosen")
    assert b"mine" not in files(own)


def test_a_manifest_goes_with_the_run_wherever_its_shards_lie(home: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    [entry] = manifest_artifact(str(tmp_path)).manifest.entries.values()
    assert (entry.path, entry.ref) == ("manifest.json", None)


def test_folders_of_one_name_have_artifacts_of_their_own_wherever_they_lie(home: Path, tmp_path: Path) -> None:
    names = {}
    for path, manifest in {
        "Lite0/tim": {"fingerprint": "aaaabbbbcc"},
        "Lite1/tim": {"fingerprint": "ddddeeeeff"},
        "moved/Lite0/tim": {"fingerprint": "aaaabbbbcc"},
        "old/Lite0/tim": {},
        "old/Lite1/tim": {},
    }.items():
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "manifest.json").write_text(json.dumps(manifest))
        names[path] = manifest_artifact(str(tmp_path / path)).name
    assert names["Lite0/tim"] == names["moved/Lite0/tim"] == "adversarial-tim-aaaabbbb"
    assert names["Lite1/tim"] == "adversarial-tim-ddddeeee"
    assert len(set(names.values())) == 4


def test_a_folder_of_a_long_name_has_an_artifact(home: Path, tmp_path: Path) -> None:
    (tmp_path / ("x" * 200)).mkdir()
    (tmp_path / ("x" * 200) / "manifest.json").write_text("{}")
    assert len(manifest_artifact(str(tmp_path / ("x" * 200))).name) <= 128
