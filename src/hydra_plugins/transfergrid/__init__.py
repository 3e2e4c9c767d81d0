"""Hydra's side of transfergrid: the sweeper decides which cells there are, the launcher how.

Both only hand over to `transfergrid.verbs.asking`, so that every other Hydra app of this
environment pays nothing for finding them.
"""

import sys
from typing import Any, Dict, List, Optional, Sequence  # noqa: UP035 (Hydra reads annotations)

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OwnConfigs(SearchPathPlugin):
    """Puts the user's own config folders in front of the shipped configs."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Prepend the folders; do nothing in other Hydra apps, which do not import our module."""
        own = sys.modules.get("transfergrid.verbs.configs.own_configs")
        for folder in own.folders() if own else ():
            search_path.prepend("own", f"file://{folder}", anchor="main")


class GridSweeper(Sweeper):
    """Plans and runs the grid of cells that the command line and the study's `params` ask for."""

    def __init__(self, params: Optional[Dict[str, Any]] = None) -> None:  # noqa: UP006, UP045
        self.params = dict(params or {})

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what Hydra composed."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: List[str]) -> Any:  # noqa: UP006
        """Plan, run, print the table, and exit with the exit code."""
        from transfergrid.verbs.asking import sweep

        assert self.config is not None
        assert self.hydra_context is not None
        loader = self.hydra_context.config_loader
        raise SystemExit(sweep(arguments, self.params, self.config, loader))


class OptunaSweeper(GridSweeper):
    """Lets Optuna propose cells, and reports their validation scores to it."""

    def __init__(
        self,
        params: Optional[Dict[str, Any]] = None,  # noqa: UP006, UP045
        trials: Any = 20,
        sampler: Any = "tpe",
        seed: Any = 0,
    ) -> None:
        super().__init__(params)
        self.how = {"trials": trials, "sampler": sampler, "seed": seed}

    def sweep(self, arguments: List[str]) -> Any:  # noqa: UP006
        """Search, print the best setting, and exit with the exit code."""
        from transfergrid.verbs.searching import search

        assert self.config is not None
        assert self.hydra_context is not None
        loader = self.hydra_context.config_loader
        raise SystemExit(search(arguments, self.params, self.config, loader, self.how))


class GridLauncher(Launcher):
    """A stub for `transfergrid.runs.launching.launchers`: Hydra itself starts nothing."""

    def __init__(self, kind: str, **options: Any) -> None:
        self.kind, self.options = kind, options

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Do nothing: it needs nothing from Hydra."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Raise `BadInputError`: cells come from a sweeper of ours, not as lists of overrides."""
        from transfergrid.records.errors import BadInputError

        raise BadInputError(
            f"the {self.kind} launcher runs what hydra/sweeper=grid or optuna plans"
        )
