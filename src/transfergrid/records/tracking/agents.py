"""The run that a W&B sweep's agent has made for this process, which is to hear of its score."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

RUN, SWEEP, PARAMETERS = "WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH"
"""What an agent tells a process, and the file that holds what it chose."""
OWN = (RUN, SWEEP, PARAMETERS)
PROJECT, ENTITY = "WANDB_PROJECT", "WANDB_ENTITY"


@dataclass(frozen=True)
class AgentRun:
    """A run that was made by an agent.

    Args:
        id: of the run.
        sweep: id of the sweep.
        project: that the sweep is in; None: the tracker's.
        entity: that the project is of; None: the tracker's.
        parameters: file with what the agent chose.
    """

    id: str
    sweep: str
    project: str | None = None
    entity: str | None = None
    parameters: str | None = None

    @property
    def chosen(self) -> dict[str, Any]:
        """What the agent chose, by the sweep's keys; nothing if that cannot be read."""
        try:
            told = yaml.safe_load(Path(self.parameters or "").read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            return {}
        pairs = told.items() if isinstance(told, dict) else ()
        return {str(k): v["value"] for k, v in pairs if isinstance(v, dict) and "value" in v}


def taken() -> AgentRun | None:
    """Take the agent's run out of the environment, so that no other run is taken for it.

    None where this process was started by no agent.
    """
    run, sweep, parameters = map(os.environ.get, OWN)
    if not run or not sweep:
        return None
    for key in OWN:
        os.environ.pop(key, None)
    return AgentRun(run, sweep, os.environ.get(PROJECT), os.environ.get(ENTITY), parameters)
