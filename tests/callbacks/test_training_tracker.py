"""What training tells W&B about the shards and the weights when it is online, and what it keeps to itself."""

import json
from collections.abc import Iterator
from hashlib import sha256
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from lightning.pytorch.loggers import WandbLogger

from lit_adv.callbacks.run_folder import RunFolder
from lit_adv.callbacks.training_tracker import TrainingTracker
from lit_adv.shards import publish
from lit_adv.shards.attacked import AttackedFolder

SETS = ("weak", "strong", "held_out")


class OnlineLogger(WandbLogger):
    """A logger whose run is online."""

    def __init__(self) -> None:
        self.run = Mock(offline=False, id="run-id")

    @property
    def experiment(self) -> Any:
        """The run."""
        return self.run


@pytest.fixture
def store() -> Iterator[str]:
    """URL, with a password, of a remote folder: three sets, and the weights of a run in ``run``."""
    url = "memory://me:secret@store"
    for name in SETS:
        publish.prepare_folder(f"{url}/{name}")
        publish.replace(f"{url}/{name}/manifest.json", json.dumps(name).encode())
    publish.prepare_folder(f"{url}/run")
    publish.replace(f"{url}/run/last.safetensors", b"weights")
    yield url
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def test_an_online_run_has_input_artifacts_and_shows_no_credentials(store: str) -> None:
    weak, strong, held_out = (AttackedFolder(f"{store}/{name}", {}, {}) for name in SETS)
    data = SimpleNamespace(sets={"a": weak, "b": strong}, attacks={"v": held_out, "w": strong})
    logger = OnlineLogger()
    trainer: Any = SimpleNamespace(loggers=[logger], datamodule=data, callbacks=[RunFolder(f"{store}/run")])
    tracker = TrainingTracker()
    tracker.on_fit_start(trainer, Mock())
    tracker.on_fit_end(trainer, Mock())

    described = {
        name: {
            "path": f"memory://***@store/{name}",
            "manifest_sha256": sha256(json.dumps(name).encode()).hexdigest(),
        }
        for name in SETS
    }
    used = [call.args[0] for call in logger.run.use_artifact.call_args_list]
    assert {artifact.name: artifact.metadata for artifact in used} == {
        f"adversarial-{name}-{sha256(described[name]['path'].encode()).hexdigest()[:8]}": described[name]
        for name in SETS
    }
    assert all({*artifact.manifest.entries} == {"manifest.json"} for artifact in used)
    assert len(used) == 3  # each once
    inputs = {
        "adversarial": {"a": described["weak"], "b": described["strong"]},
        "validation": {"v": described["held_out"], "w": described["strong"]},
    }
    assert logger.run.config.update.call_args.args == ({"inputs": inputs},)
    [call] = logger.run.log_artifact.call_args_list
    [weights] = call.args
    assert weights.metadata == {"path": "memory://***@store/run", "inputs": inputs}
    assert {name: entry.ref for name, entry in weights.manifest.entries.items()} == {
        "last.safetensors": "memory://***@store/run/last.safetensors"
    }
    assert "secret" not in str([artifact.manifest.to_manifest_json() for artifact in [*used, weights]])
