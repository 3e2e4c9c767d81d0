"""Check that all tensors of a strategy move with it to another device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from pytorch_lightning.utilities import move_data_to_device

from transfergrid.data.batches import ViewBatches
from transfergrid.testing.bench import Bench, on_the_eve
from transfergrid.testing.found import Broken

MEND = (
    "Keep what is computed once in a buffer made in build, not in a dict, a class, a module or the "
    "function that phases() returns; make new tensors by like.new_zeros(...) or with a device"
)


def goes_where_it_is_put(bench: Bench) -> None:
    """On another device no tensor is left behind, neither in losses nor in predictions.

    The device is torch's "meta", where tensors have shapes but no values. Other errors there, from
    code that needs values, are ignored.
    """
    for labels in bench.budgets():
        setup = bench.set_up(labels)
        driver, strategy = bench.driver(setup), setup.strategy
        for number, phase in enumerate(driver.phases):
            if phase.before is not None:
                on_the_eve(driver, number)
        with _moved_in_place():
            strategy.to("meta")
        test = _moved(ViewBatches(setup.target.whole("test", setup.preprocess), 8)[0].inputs)
        _expect_together(partial(strategy.predict, test), "predict")
        for phase in driver.phases:
            data = setup.data.of_steps(phase.counts)
            batch = _moved(bench.batch(data, 0, phase.reads, phase.episode))
            for objective in phase.objectives:
                loss = partial(objective.loss, batch, 0.5)
                _expect_together(loss, f"a loss of phase {phase.name!r}")


def _moved(part: Any) -> Any:
    return move_data_to_device(part, torch.device("meta"))


@contextmanager
def _moved_in_place() -> Iterator[None]:
    """Keep parameters the same objects when they move to the device, as on a GPU."""
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        yield
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)


def _expect_together(compute: Callable[[], object], where: str) -> None:
    try:
        compute()
    except Exception as error:
        if isinstance(error, RuntimeError) and "expected device" in str(error):
            raise Broken(
                f"{where} takes a tensor that stays behind where the strategy is put on a device "
                f"({str(error).rstrip('!')}). {MEND}."
            ) from error
