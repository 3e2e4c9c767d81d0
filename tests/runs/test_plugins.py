"""A process looks for packages that bring Lightning callbacks once."""

import importlib.metadata

from transfergrid.records.training import Training
from transfergrid.runs.machine import Machine, quiet


def test_a_second_trainer_looks_at_no_installed_package(monkeypatch):
    quiet()
    Machine("cpu").trainer(Training())

    def distributions(**_):
        raise AssertionError("what is installed is looked through again")

    monkeypatch.setattr(importlib.metadata, "distributions", distributions)
    Machine("cpu").trainer(Training())
