"""What is drawn after seeding is what torch itself would draw."""

import traceback

import pytest
import torch

from transfergrid.data import torch_seed
from transfergrid.data.torch_seed import seed_torch

SEEDS = [0, 1, 2**63 - 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_it_draws_what_torch_draws_under_that_seed(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wanted = torch.rand(3), torch.nn.Linear(2, 2).weight, torch.randperm(9)
        torch.rand(1)
        seed_torch(seed)
        found = torch.rand(3), torch.nn.Linear(2, 2).weight, torch.randperm(9)
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))


@pytest.mark.parametrize("there", [True, False])
def test_accelerators_are_seeded_where_there_are_any(there, monkeypatch):
    told, stacks = [], []
    monkeypatch.setattr(torch_seed, "_accelerated", lambda: there)
    monkeypatch.setattr(torch, "manual_seed", told.append)
    monkeypatch.setattr(traceback, "format_stack", lambda *_: stacks.append(1) or [])
    with torch.random.fork_rng(devices=[]):
        seed_torch(5)
    assert told == ([5] if there else [])
    assert not stacks
