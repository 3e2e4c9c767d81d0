"""CE + w NCE of both sides against the other's memory (Tian et al. 2020)."""

import math

import pytest
import torch
from taught_loops import steps, teacher_of
from torch.nn.functional import cross_entropy, normalize
from trajectories import same, trajectory

from golden import golden
from transfergrid.strategies.baselines.scratch import Scratch
from transfergrid.strategies.distillation.contrastive_distillation import (
    ContrastiveDistillation,
    Memory,
    nce_loss,
)
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyArchitecture


def told(**more):
    return {"teacher": FullFinetuning(lr_factor=0.5), "lr_factor": 0.5, "dim": 5, **more}


@pytest.mark.proves("formula_exact", "contrastive_distillation")
def test_one_side_is_the_published_value():
    given, expected, tolerance = golden("contrastive_distillation", "nce")
    told = torch.tensor(given["scores_normalised_positive_first"], dtype=torch.float64)
    scores, among = torch.ones(2, given["n_data"]).double(), torch.zeros(2, 100, dtype=torch.bool)
    scores[:, 10:13], among[:, 11:13] = told, True
    found = nce_loss(scores, torch.tensor([10, 10]), among).item()
    assert found == pytest.approx(expected["one_side"], abs=tolerance)


@pytest.mark.proves("formula_exact", "contrastive_distillation")
def test_one_negative_of_four_by_hand():
    """m/n is 1/4: -log(.5 / .75) - log(.25 / .5) = log 1.5 + log 2; without a negative it is 0."""
    scores = torch.tensor([[0.25, 9.0, 0.5, 9.0]] * 2, dtype=torch.float64, requires_grad=True)
    among = torch.tensor([[True, False, False, False]] * 2)
    assert nce_loss(scores, torch.tensor([2, 2]), among).item() == pytest.approx(math.log(3))
    alone = nce_loss(scores, torch.tensor([2, 2]), torch.zeros_like(among))
    alone.backward()
    assert alone.item() == pytest.approx(0, abs=1e-9)
    assert scores.grad.isfinite().all()


def remembering(net, teacher, memory, weights, classes):
    """Return the loss of a step, which moves the two banks of `memory`."""
    z = []

    def loss(target):
        own, rows = net.features(target.inputs), target.rows
        with torch.no_grad():
            theirs = teacher.features(target.inputs)
        sides = [
            normalize(x @ weights[f"{who}.weight"].T + weights[f"{who}.bias"], dim=1)
            for who, x in (("student", own), ("teacher", theirs))
        ]
        raw = [(side @ memory[1 - i].T / 0.5).exp() for i, side in enumerate(sides)]
        others = [[j for j in range(15) if classes[j] != classes[r]] for r in rows]
        if not z:  # n times the mean of what the first batch looked at
            seen = [*zip(rows, others, strict=True)]
            for part in raw:
                looked = [part[i, [int(r), *o]] for i, (r, o) in enumerate(seen)]
                z.append(15 * torch.cat(looked).mean().detach())
        total = cross_entropy(net.head(own), target.labels)
        for part, size in zip(raw, z, strict=True):
            for i, (row, other) in enumerate(zip(rows, others, strict=True)):
                noise, p, q = len(other) / 15, part[i, row] / size, part[i, other] / size
                terms = (p / (p + noise)).log() + (noise / (q + noise)).log().sum()
                total = total - 2.0 * terms / len(rows)
        for i, side in enumerate(sides):
            memory[i] = memory[i].clone()  # the gradient is yet to be taken by the old one
            memory[i][rows] = normalize(0.3 * memory[i][rows] + 0.7 * side.detach(), dim=1)
        return total

    return loss


@pytest.mark.proves("trajectory_exact", "contrastive_distillation")
@pytest.mark.parametrize(("on", "student"), [("images", TinyArchitecture(3)), ("texts", None)])
def test_it_ends_where_a_plain_loop_ends(on, student):
    how = {"weight": 2.0, "temperature": 0.5, "momentum": 0.3, "student": student}
    run = trajectory(ContrastiveDistillation, told(**how), on, batch_size=5)
    teacher, net = teacher_of(run), run.net()
    kept = "scaffold.project_"
    weights = {
        name.removeprefix(kept): value.clone().requires_grad_()
        for name, value in run.start.items()
        if name.startswith(kept)
    }
    memory = list(run.start["scaffold.memory.embeddings"])
    loss = remembering(net, teacher, memory, weights, run.target.labels)
    steps(run.batches, [*net.parameters(), *weights.values()], 0.5, loss)
    same(run, net)


def test_of_few_examples_none_is_taken_twice_and_of_many_as_many_as_asked():
    memory = Memory(40, 2, 0.5)
    memory.classes.copy_(torch.arange(40) % 4)
    rows = torch.tensor([0, 5, 6])
    others = memory.classes[rows][:, None] != memory.classes
    assert torch.equal(memory.negatives(rows, 40), others)
    drawn, again = memory.negatives(rows, 7), memory.negatives(rows, 7)
    assert drawn.sum(1).tolist() == [7, 7, 7]
    assert not (drawn & ~others).any()
    assert not torch.equal(drawn, again)


def test_z_is_that_of_the_first_batch():
    bench = Bench(ContrastiveDistillation, told())
    first = bench.set_up(10)
    driver = bench.driver(first)
    seen = []
    for phase in driver.phases:
        if phase.after is not None:
            driver.strategy.memory.note = lambda own=driver.strategy.memory: seen.append(
                (Memory.note(own), own.normaliser.clone())[1]
            )
    driver.run()
    assert len(seen) == 8
    assert (seen[0] > 0).all()
    assert all(torch.equal(seen[0], later) for later in seen)


def test_without_weight_it_is_scratch_and_with_it_another():
    plain = Bench(Scratch, {"lr_factor": 0.5}).run(10)
    none, some = (
        Bench(ContrastiveDistillation, told(weight=weight)).run(10) for weight in (0.0, 0.8)
    )
    assert all(torch.equal(none.state[name], value) for name, value in plain.state.items())
    assert any(not torch.equal(some.state[name], value) for name, value in plain.state.items())


def test_neither_projections_nor_memory_are_kept():
    strategy = Bench(ContrastiveDistillation, told()).set_up(10).strategy
    assert not any("scaffold" in name for name in strategy.kept_state())
    assert strategy.memory.embeddings.shape == (2, 24, 5)
