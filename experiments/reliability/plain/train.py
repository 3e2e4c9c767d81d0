"""A plain Hydra app with Lightning, as lightning-hydra-template has it: train, test, write metrics.

Hydra's own launcher runs its jobs one after the other. `job.log` beside it counts who began and
ended; nothing reads that but `others.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

import hydra
import pytorch_lightning as lightning
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class Classifier(lightning.LightningModule):
    """A small network on made-up vectors."""

    def __init__(self, lr: float) -> None:
        super().__init__()
        self.lr = lr
        self.net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        """Return the loss of a batch."""
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def test_step(self, batch: tuple[Tensor, Tensor], number: int) -> None:
        """Log the accuracy."""
        self.log("test/acc", (self.net(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimiser."""
        return torch.optim.SGD(self.parameters(), lr=self.lr)


def loader(seed: int) -> DataLoader[tuple[Tensor, ...]]:
    """Return made-up vectors whose classes are the quadrants of two of their numbers."""
    inputs = torch.randn(640, 16, generator=torch.Generator().manual_seed(seed))
    return DataLoader(TensorDataset(inputs, (inputs[:, 0] > 0) * 2 + (inputs[:, 1] > 0).long()), 32)


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(config: DictConfig) -> None:
    """Train and test one model."""
    place = Path(HydraConfig.get().runtime.output_dir)
    log = Path(HydraConfig.get().runtime.cwd) / "job.log"
    name = f"lr={config.model.lr} seed={config.seed}"
    with log.open("a") as file:
        print(f"began {name}", file=file)
    lightning.seed_everything(config.seed, verbose=False)
    model = hydra.utils.instantiate(config.model)
    trainer = hydra.utils.instantiate(
        config.trainer,
        default_root_dir=place,
        callbacks=[ModelCheckpoint(place / "checkpoints", save_last=True)],
        logger=CSVLogger(place, name="csv"),
    )
    trainer.fit(model, loader(config.seed), ckpt_path=config.ckpt_path)
    (tested,) = trainer.test(model, loader(config.seed + 1), verbose=False)
    (place / "metrics.json").write_text(json.dumps(tested))
    with log.open("a") as file:
        print(f"ended {name}", file=file)


if __name__ == "__main__":
    main()
