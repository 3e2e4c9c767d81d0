"""Full fine-tuning as Lightning's documentation teaches it: a module, data loaders, a Trainer.

Files are read and prepared by a dataset, example by example; the best checkpoint is kept on disk
and tested. The learning rates, the number of steps and of looks are those of the cell beside it.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torchmetrics
from bare import Network, Plan, rate
from PIL import Image
from pytorch_lightning.callbacks import ModelCheckpoint
from side_by_side import Watched
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms
from typing_extensions import override


class Photographs(Dataset[tuple[Tensor, int]]):
    """Folders of images, one for each class."""

    def __init__(self, root: Path, size: int) -> None:
        names = sorted(folder.name for folder in root.iterdir() if folder.is_dir())
        self.files = [
            (file, label)
            for label, name in enumerate(names)
            for file in sorted((root / name).iterdir())
        ]
        self.transform = transforms.Compose(
            [
                transforms.Resize(size, transforms.InterpolationMode.BICUBIC),
                transforms.CenterCrop(size),
                transforms.ToTensor(),
                transforms.Normalize([0.5] * 3, [0.5] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    @override
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        file, label = self.files[index]
        with Image.open(file) as image:
            return self.transform(image.convert("RGB")), label


class Sentences(Dataset[tuple[str, int]]):
    """Lines of JSON with a text and a label."""

    def __init__(self, file: Path) -> None:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        names = sorted({str(row["label"]) for row in rows})
        self.rows = [(row["text"], names.index(str(row["label"]))) for row in rows]

    def __len__(self) -> int:
        return len(self.rows)

    @override
    def __getitem__(self, index: int) -> tuple[str, int]:
        return self.rows[index]


def tokenised(tokenizer: Any) -> Callable[[Sequence[tuple[str, int]]], tuple[Any, Tensor]]:
    """Return what makes a batch of sentences, as long as the longest of them."""

    def collate(batch: Sequence[tuple[str, int]]) -> tuple[Any, Tensor]:
        texts, labels = zip(*batch, strict=True)
        inputs = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        return dict(inputs), torch.tensor(labels)

    return collate


class FineTuning(pl.LightningModule):
    """A pretrained network and a new head."""

    def __init__(
        self, network: nn.Module, width: int, classes: int, plan: Plan, steps: int
    ) -> None:
        super().__init__()
        self.network, self.head = network, nn.Linear(width, classes)
        self.plan, self.steps = plan, steps
        self.accuracy = torchmetrics.Accuracy(task="multiclass", num_classes=classes)

    @override
    def forward(self, inputs: Any) -> Tensor:
        logits: Tensor = self.head(self.network(inputs))
        return logits

    @override
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        inputs, labels = batch
        loss = nn.functional.cross_entropy(self(inputs), labels)
        self.log("train_loss", loss)
        return loss

    def _scored(self, batch: Any, name: str) -> None:
        inputs, labels = batch
        self.accuracy(self(inputs), labels)
        self.log(name, self.accuracy, on_step=False, on_epoch=True)

    @override
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._scored(batch, "val_acc")

    @override
    def test_step(self, batch: Any, batch_idx: int) -> None:
        self._scored(batch, "test_acc")

    @override
    def configure_optimizers(self) -> Any:
        plan = self.plan
        optimiser = torch.optim.AdamW(self.parameters(), plan.lr, weight_decay=plan.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: rate(s / self.steps))
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


class Data:
    """The loaders of one cell.

    Args:
        pool: the dataset of which `train` and `validation` are rows.
        test: the other one.
        train: row numbers.
        validation: row numbers; there may be none.
        batch_size: of a step.
        collate: makes a batch; None: as the loader does by itself.
        workers: processes that prepare batches.
    """

    def __init__(
        self,
        pool: Dataset[Any],
        test: Dataset[Any],
        train: Sequence[int],
        validation: Sequence[int],
        batch_size: int,
        collate: Any = None,
        workers: int = 0,
    ) -> None:
        told: dict[str, Any] = {"batch_size": batch_size, "collate_fn": collate}
        told |= {"num_workers": workers, "persistent_workers": bool(workers)}
        self.train = DataLoader(Subset(pool, train), shuffle=True, drop_last=True, **told)
        self.validation = DataLoader(Subset(pool, validation), **told) if len(validation) else None
        self.test = DataLoader(test, **told)


def run(
    network: Network,
    sizes: tuple[int, int],
    data: Data,
    plan: Plan,
    steps: int,
    accelerator: str,
    fit: Watched,
) -> float:
    """Train, choose the best look, test; return the test score.

    Args:
        network: makes it, with its pretrained weights.
        sizes: width of its embedding, and number of classes.
        data: the loaders.
        plan: how it is trained.
        steps: how many.
        accelerator: Lightning's name of the device.
        fit: counts the training, its looks among it.
    """
    module = FineTuning(network(), *sizes, plan, steps)
    with tempfile.TemporaryDirectory() as folder:
        best = ModelCheckpoint(folder, monitor="val_acc", mode="max")
        trainer = pl.Trainer(
            accelerator=accelerator,
            devices=1,
            max_steps=steps,
            gradient_clip_val=plan.clip,
            callbacks=[best] if data.validation is not None else [],
            val_check_interval=math.ceil(steps / plan.looks),
            check_val_every_n_epoch=None,
            default_root_dir=folder,
            enable_progress_bar=False,
        )
        with fit:
            trainer.fit(module, data.train, data.validation)
        chosen = "best" if data.validation is not None else None
        (said,) = trainer.test(module, data.test, ckpt_path=chosen, verbose=False)
    return float(said["test_acc"])
