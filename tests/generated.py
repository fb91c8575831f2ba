"""A small image problem that can be solved in two ways, one of which an attack destroys.

Each of four classes has a checkered texture, faint but on every image, and a bright quarter, plain to see but wrong
on every eighth image. Standard training learns the texture, which a perturbation of :data:`EPS` replaces with another
class's; the quarter is far brighter than that.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lit_adv.attacks import LiveAttack
from lit_adv.data.decoder import Decoder
from lit_adv.data.evaluation import PairBatch
from lit_adv.data.training_batches import TrainBatch
from lit_adv.models import Classifier, load_model, to_float
from lit_adv.randomness import keyed_generator

SIDE, CLASSES = 16, 4
EPS = "8/255"
NETWORK = "import:tests.generated:network"


def network() -> Classifier:
    """A small convolutional network with batch normalization and dropout, the same on every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = SmallNetwork()
    return Classifier(layers, mean=[0.5] * 3, std=[0.25] * 3, input_size=SIDE)


class SmallNetwork(nn.Module):
    """Features and a head, as networks of timm have them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.1), nn.Linear(256, CLASSES))

    def forward_features(self, x: Tensor) -> Tensor:
        features: Tensor = self.body(x)
        return features

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Say how timm is to group the layers."""
        return {"stem": r"^body\.[01]\.", "blocks": [(r"^body\.", None), (r"^head\.", (99999,))]}

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.forward_features(x))
        return logits


def draw(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw images, uint8 [count, 3, SIDE, SIDE], and their labels, int64 [count]."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    wrong = torch.rand(count, generator=generator) < 1 / 8
    quarters = torch.where(wrong, torch.randint(CLASSES, (count,), generator=generator), labels)
    images = 110 + 4 * torch.randn(count, 3, SIDE, SIDE, generator=generator)
    half = SIDE // 2
    for image, label, quarter in zip(images, labels.tolist(), quarters.tolist(), strict=True):
        row, column = half * (quarter // 2), half * (quarter % 2)
        image[:, row : row + half, column : column + half] += 40
        image += 6 * _TEXTURES[label]
    return images.round().clamp(0, 255).to(torch.uint8).contiguous(memory_format=torch.channels_last), labels


def _textures() -> Tensor:
    """Return one pattern of -1 and 1 for each class, [CLASSES, 1, SIDE, SIDE]: no two have anything in common."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    signs = [rows, columns, rows + columns, rows // 2 + columns]
    return torch.stack([1.0 - 2 * (sign % 2) for sign in signs])[:, None]


_TEXTURES = _textures()


def attack(model: nn.Module, images: Tensor, labels: Tensor, name: str = "fgsm") -> Tensor:
    """Attack images with :data:`EPS`; return them rounded, as shards hold them."""
    keys = [str(number) for number in range(len(images))]
    adversarial = LiveAttack(name, {"eps": EPS})(model.eval(), to_float(images), labels, keys, seed=0)
    return (adversarial * 255).round().to(torch.uint8)


class GeneratedData(LightningDataModule):
    """The problem as training reads it from shards, with batches of one source each.

    Args:
        sources: Networks whose FGSM makes the adversarial sets, by the set's name; ``self`` stands for the model in
            training. Each batch draws one.
        surrogate: The network whose FGSM makes the adversarial set of validation, ``transferred``.
        count: How many images to train on; another half of that is for validation.
        batch_size: Images a batch.
    """

    def __init__(
        self,
        sources: Mapping[str, nn.Module | None],
        surrogate: str = NETWORK,
        count: int = 512,
        batch_size: int = 64,
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.images, self.labels = draw(count, seed=0)
        self.versions = {
            name: None if model is None else attack(model, self.images, self.labels) for name, model in sources.items()
        }
        held_out, labels = draw(count // 2, seed=1)
        transferred = attack(load_model(surrogate), held_out, labels)
        self.validation = [
            pair_batch("transferred", transferred[part], held_out[part], labels[part])
            for part in torch.arange(len(labels)).split(batch_size)
        ]
        # What the data module of shards offers.
        self.attacks = {"transferred": None}
        self.sets = dict.fromkeys(sources)
        self.decoder = Decoder(image_size=SIDE, resize=SIDE, num_classes=CLASSES)

    def train_dataloader(self) -> DataLoader[Any]:
        epoch = self.trainer.current_epoch  # type: ignore[union-attr]
        order = torch.from_numpy(keyed_generator(0, "order", str(epoch)).permutation(len(self.labels)))
        batches = [
            self._batch(part, keyed_generator(0, "source", f"{epoch} {number}").choice(list(self.versions)))
            for number, part in enumerate(order.split(self.batch_size))
        ]
        return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.validation, batch_size=None)  # type: ignore[arg-type]

    def _batch(self, part: Tensor, source: str) -> TrainBatch:
        version = self.versions[source]
        return train_batch(self.images[part], self.labels[part], None if version is None else version[part], source)


def train_batch(
    images: Tensor,
    labels: Tensor,
    adversarial: Tensor | None = None,
    source: str = "self",
    weights: Tensor | None = None,
) -> TrainBatch:
    """Make a batch whose keys are the images' digests."""
    return TrainBatch(
        clean=images,
        adversarial=adversarial,
        source=source,
        labels=labels,
        keys=[hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in images.contiguous()],
        weights=torch.ones(len(labels)) if weights is None else weights,
    )


def pair_batch(name: str, adversarial: Tensor, clean: Tensor, labels: Tensor) -> PairBatch:
    """Make a batch to validate on."""
    batch = train_batch(clean, labels)
    return PairBatch(
        attack=name,
        adversarial=adversarial,
        clean=clean,
        clean_digests=batch.keys,
        labels=labels,
        targets=None,
        keys=batch.keys,
        linf=(adversarial.int() - clean.int()).abs().flatten(1).amax(1),
        l2=torch.zeros(len(labels), dtype=torch.float64),
        shard="generated.tar",
        last=True,
    )


def fit(task: LightningModule, data: GeneratedData, epochs: int = 6, **settings: Any) -> dict[str, float]:
    """Train; return what was logged last."""
    settings = {"logger": False, "enable_checkpointing": False, "num_sanity_val_steps": 0} | settings
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        inference_mode=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        reload_dataloaders_every_n_epochs=1,
        **settings,
    )
    trainer.fit(task, datamodule=data)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}
