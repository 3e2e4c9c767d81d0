"""The run that the agent of a W&B sweep created for this process; the sweep needs its score."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

RUN, SWEEP, PARAMETERS = "WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH"
"""Environment variables of an agent: ids of run and sweep, and the file with the chosen values."""
OWN = (RUN, SWEEP, PARAMETERS)
PROJECT, ENTITY = "WANDB_PROJECT", "WANDB_ENTITY"


@dataclass(frozen=True)
class AgentRun:
    """A run that an agent created.

    Args:
        id: id of the run.
        sweep: id of the sweep.
        project: project of the sweep; None for the tracker's project.
        entity: entity that owns the project; None for the tracker's entity.
        parameters: file with the values that the agent chose.
    """

    id: str
    sweep: str
    project: str | None = None
    entity: str | None = None
    parameters: str | None = None

    @property
    def chosen(self) -> dict[str, Any]:
        """The values that the agent chose, by the sweep's keys; empty if they cannot be read."""
        try:
            told = yaml.safe_load(Path(self.parameters or "").read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            return {}
        pairs = told.items() if isinstance(told, dict) else ()
        return {str(k): v["value"] for k, v in pairs if isinstance(v, dict) and "value" in v}


def taken() -> AgentRun | None:
    """Return the agent's run, and remove it from the environment so that no other run uses its id.

    None if this process was not started by an agent.
    """
    run, sweep, parameters = map(os.environ.get, OWN)
    if not run or not sweep:
        return None
    for key in OWN:
        os.environ.pop(key, None)
    return AgentRun(run, sweep, os.environ.get(PROJECT), os.environ.get(ENTITY), parameters)
