"""Hydra's config loader for verbs that take the words of a grid, without Hydra's sweep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from transfergrid.records.errors import BadInputError
from transfergrid.records.shipped import conf_dir
from transfergrid.verbs.configs import own_configs
from transfergrid.verbs.configs.typed_words import told

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader


@contextmanager
def loading(
    words: Sequence[str], config_dir: str | None = None
) -> Iterator[tuple[list[str], ConfigLoader]]:
    """Yield the words without those naming the user's config folders, and the config loader.

    Raises:
        BadInputError: an override cannot be parsed, or makes no sense here.
    """
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    GlobalHydra.instance().clear()
    own = ["--config-dir", config_dir] if config_dir else []
    typed = own_configs.use([*own, *words])
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            yield typed, hydra.config_loader
    except (HydraException, OmegaConfBaseException) as error:
        raise BadInputError(told(error)) from error
