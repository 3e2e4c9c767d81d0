"""The network's own first blocks, kept over a cut (Yosinski et al. 2014, BnB)."""

import pytest
import torch
from plain_torch import adamw, cosine, set_rate
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from transfergrid.strategies.baselines.scratch import Scratch
from transfergrid.strategies.fine_tuning.self_transfer import SelfTransfer
from transfergrid.testing.bench import Bench


def test_with_nothing_kept_it_is_scratch():
    plain = Bench(Scratch, {"lr_factor": 1.0}).run(10)
    for kept in ("frozen", "tuned"):
        found = Bench(SelfTransfer, {"cut": 0, "kept": kept, "lr_factor": 1.0}).run(10)
        assert all(torch.equal(found.state[name], value) for name, value in plain.state.items())


def test_it_trains_twice_and_says_so():
    run = Bench(SelfTransfer).run(10)
    assert (run.fitted.steps, run.fitted.taken["teacher"]) == (8, 8)


def test_the_first_training_begins_with_weights_of_its_own():
    strategy, scratch = (Bench(kind).set_up(2).strategy for kind in (SelfTransfer, Scratch))
    own, theirs = strategy.state_dict(), scratch.state_dict()
    drawn = [name for name in theirs if name.endswith("weight") and theirs[name].ndim > 1]
    assert not any(torch.equal(own[name], theirs[name]) for name in drawn)
    again = Bench(SelfTransfer, {"kept": "frozen"}).set_up(2).strategy.state_dict()
    assert all(torch.equal(own[name], again[name]) for name in drawn)


def test_no_weights_of_the_source_join_its_identity():
    assert SelfTransfer.needs.source == "architecture"


@pytest.mark.proves("trajectory_exact", "self_transfer")
@pytest.mark.parametrize(
    ("on", "first"), [("images", ("conv1", "bn1", "conv2", "bn2")), ("texts", ("words", "body"))]
)
def test_in_plain_torch(on, first):
    run = trajectory(SelfTransfer, {"cut": 2, "kept": "frozen", "lr_factor": 0.5}, on)
    net = run.net()
    for training in ("own", "again"):
        if training == "again":
            layers = dict(net.backbone.network.named_children())
            for name in first:
                layers[name].eval().requires_grad_(False)
            dense, head = "scaffold.new_backbone.network.dense.", "scaffold.new_head."
            with torch.no_grad():
                for name in ("weight", "bias"):
                    getattr(layers["dense"], name).copy_(run.start[dense + name])
                    getattr(net.head, name).copy_(run.start[head + name])
        optimiser = adamw(([p for p in net.parameters() if p.requires_grad], 0.5))
        for step, batch in enumerate(run.batches):
            set_rate(optimiser, cosine(step, 20))
            optimiser.zero_grad()
            cross_entropy(net(batch.target.inputs), batch.target.labels).backward()
            optimiser.step()
    same(run, net)
