"""Self-training with memories, with two networks and with queues ends where plain torch ends."""

import copy
import math

import pytest
import torch
from plain_torch import adamw, annealed, set_rate, unrecorded
from step_seeds import seed
from torch.distributions import Categorical
from torch.nn.functional import cross_entropy, normalize
from trajectories import same, trajectory

from transfergrid.strategies.self_training.ape import Ape
from transfergrid.strategies.self_training.atdoc import Atdoc
from transfergrid.strategies.self_training.fixbi import Fixbi
from transfergrid.strategies.self_training.self_tuning import SelfTuning

LABELS = pytest.mark.parametrize("labels", [0, 5])


def labelled(batch):
    """Return the inputs and labels of the source, and behind them those of the target, if any."""
    parts = [*batch.source, *([batch.target] if batch.target is not None else [])]
    return torch.cat([p.inputs for p in parts]), torch.cat([p.labels for p in parts])


@pytest.mark.proves("trajectory_exact", "atdoc")
@LABELS
@pytest.mark.parametrize("on", ["images", "tokens"])
def test_atdoc(on, labels):
    told = {"lr_factor": 0.5, "weight": 0.8, "neighbours": 4, "momentum": 0.7}
    run = trajectory(Atdoc, told, on, labels=labels)
    net = run.net()
    places, said = (run.start[f"scaffold.{name}"].clone() for name in ("features", "said"))
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        inputs, classes = labelled(batch)
        loss = cross_entropy(net(inputs), classes)
        other = unrecorded(net, batch.unlabelled)
        total, shares = 0.0, 0.0
        for feature, row, logits in zip(other, batch.rows, net.head(other), strict=True):
            order = (places @ feature.detach()).argsort(descending=True).tolist()
            near = said[[i for i in order if i != row][:4]].mean(0)
            total = total - near.max() * logits.log_softmax(0)[near.argmax()]
            shares = shares + near.max()
        set_rate(optimiser, annealed(step, 20))
        optimiser.zero_grad()
        (loss + 0.8 * step / 20 * total / shares).backward()
        optimiser.step()
        net.eval()
        with torch.no_grad():
            new = net.features(batch.unlabelled)
            square = net.head(new).softmax(1) ** 2
            places[batch.rows] = 0.3 * places[batch.rows] + 0.7 * normalize(new)
            said[batch.rows] = 0.3 * said[batch.rows] + 0.7 * square / square.sum(0)
        net.train()
    same(run, net.state_dict() | {"scaffold.features": places, "scaffold.said": said})


@pytest.mark.proves("trajectory_exact", "fixbi")
@pytest.mark.parametrize("on", ["images", "tokens"])
def test_fixbi(on):
    """Ten steps of the source, four apart, six together; the last ten are one run."""
    told = {"lr_factor": 0.5, "ratio": 0.6, "deviations": 0.5, "share": 0.5, "switch": 0.4}
    run = trajectory(Fixbi, told, on)
    one, temperatures = run.net(), [torch.tensor(5.0).double().requires_grad_() for _ in range(2)]
    optimiser = adamw((one.parameters(), 0.5))
    for step, batch in enumerate(run.batches[:10]):
        set_rate(optimiser, annealed(step, 10))
        optimiser.zero_grad()
        cross_entropy(one(batch.source[0].inputs), batch.source[0].labels).backward()
        optimiser.step()
    nets = [one, copy.deepcopy(one)]
    optimiser = adamw(([p for net in nets for p in net.parameters()] + temperatures, 0.5))
    for step, batch in enumerate(run.batches[10:]):
        x, y, u = batch.source[0].inputs, batch.source[0].labels, batch.unlabelled
        loss, said = 0.0, [net(u) for net in nets]
        pseudo = [logits.argmax(1) for logits in said]
        tops = [logits.detach().softmax(1).max(1).values for logits in said]
        lines = [t.mean() - 0.5 * ((t - t.mean()).square().sum() / 7).sqrt() for t in tops]
        for i, r in enumerate((0.6, 0.4)):
            logits = nets[i](r * x + (1 - r) * u)
            loss = loss + r * cross_entropy(logits, y) + (1 - r) * cross_entropy(logits, pseudo[i])
            unsure = [j for j in range(8) if tops[i][j] < lines[i]]
            if step < 4 and unsure:
                p = (said[i] / temperatures[i]).softmax(1)
                loss = loss - sum((1 - p[j, pseudo[i][j]]).log() for j in unsure) / len(unsure)
        if step >= 4:
            sure = [[j for j in range(8) if tops[i][j] >= lines[i]] for i in (0, 1)]
            n = min(map(len, sure))
            for own, other in ((0, 1), (1, 0)):
                rows = sure[other][:n]
                loss = loss + cross_entropy(said[own][rows], pseudo[other][rows])
            loss = loss + (nets[0]((x + u) / 2) - nets[1]((x + u) / 2)).square().mean()
        set_rate(optimiser, annealed(step, 10))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    names = {"backbone.": "second.", "head.": "second_head."}
    second = {n.replace(a, b, 1): v for n, v in nets[1].state_dict().items()
              for a, b in names.items() if n.startswith(a)}  # fmt: skip
    kept = {f"scaffold.{n}": t for n, t in zip(("first", "second"), temperatures, strict=True)}
    same(run, one.state_dict() | second | kept)


@pytest.mark.proves("trajectory_exact", "self_tuning")
@pytest.mark.parametrize("on", ["images", "tokens"])
def test_self_tuning(on):
    told = {"weight": 0.5, "temperature": 0.2, "queue": 3, "momentum": 0.9, "projection": 5}
    reads = ("target", "again", "unlabelled", "views")
    plan = {"schedule": "constant", "augmentation": "light"}
    run = trajectory(SelfTuning, told | {"lr_factor": 0.5}, on, reads=reads, **plan)
    net, key = run.net(), run.net()
    begun = {n.removeprefix("scaffold."): v.clone() for n, v in run.start.items()}
    project = torch.nn.Linear(net.head.in_features, 5).double()
    project.load_state_dict({n: begun[f"projector.{n}"] for n in ("weight", "bias")})
    key_project = copy.deepcopy(project)
    queue, places = begun["queues.projections"], [0, 0, 0]
    optimiser = adamw(([*net.parameters(), *project.parameters()], 0.5))
    set_rate(optimiser, 1.0)

    def apart(own, key, label):
        logits = torch.cat([(own @ key).view(1), (queue @ own).flatten()]) / 0.2
        positive = [0, *range(1 + 3 * label, 4 + 3 * label)]
        return -logits.log_softmax(0)[positive].mean() - torch.tensor(4.0).log()

    for batch in run.batches:
        optimiser.zero_grad()
        y, f = batch.target.labels, net.features(batch.target.inputs)
        loss = cross_entropy(net.head(f), y)
        other = unrecorded(net, batch.views[0])
        groups = [(f, batch.target.again, y), (other, batch.views[1], net.head(other).argmax(1))]
        joins = []
        for features, view, labels in groups:
            with torch.no_grad():
                keys = normalize(key_project(key.features(view)))
            own = normalize(project(features))
            for i, label in enumerate(labels.tolist()):
                loss = loss + 0.5 / 8 * apart(own[i], keys[i], label)
                joins.append((label, keys[i]))
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            for a, b in ((key, net), (key_project, project)):
                for slow, fast in zip(a.parameters(), b.parameters(), strict=True):
                    slow.copy_(0.9 * slow + 0.1 * fast)
        for label, own in joins:
            queue[label, places[label]] = own
            places[label] = (places[label] + 1) % 3
    same(run, net.state_dict() | {"scaffold.queues.projections": queue})


@pytest.mark.proves("trajectory_exact", "ape")
@pytest.mark.parametrize("weights", [(10.0, 1.0, 10.0), (0.0, 0.0, 0.0)])
@pytest.mark.parametrize("on", ["images", "tokens"])
def test_ape(on, weights):
    """With all weights at 0, the neutral case, it is pooled training under the same head."""
    a, e, b = weights
    told = {"attract": a, "explore": e, "perturb": b, "threshold": 0.8, "radius": 0.5}
    run = trajectory(Ape, told | {"lr_factor": 0.5, "temperature": 0.2}, on)
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))

    def said(features):
        return normalize(features) @ net.head.weight.T / 0.2

    def kernel(one, other):
        apart = torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist")
        return sum((-(apart**2) / (2 * s * s)).exp() for s in (1, 2, 5, 10)).mean()

    for step, batch in enumerate(run.batches):
        inputs, classes = labelled(batch)
        x, u = net.features(inputs), batch.unlabelled
        other = unrecorded(net, u)
        one, two = normalize(x), normalize(other)
        apart = kernel(one, one) + kernel(two, two) - 2 * kernel(one, two)
        loss = cross_entropy(said(x), classes) + a * apart
        bends = Categorical(logits=said(other)).entropy()
        sure = [i for i, h in enumerate(bends) if h < 0.8 * math.log(3)]
        labels = said(other).argmax(1)
        loss = loss + e * cross_entropy(said(other)[sure], labels[sure]) if sure else loss
        set_rate(optimiser, annealed(step, 20))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if b:
            optimiser.zero_grad()
            t = torch.cat([batch.target.inputs, u])
            drawing = seed(seed(run.strategy.block_seed, "dropout", step), "ape")
            noise = torch.empty_like(t).normal_(generator=torch.Generator().manual_seed(drawing))
            place = t + noise / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            there = said(unrecorded(net, place.requires_grad_()))
            Categorical(logits=there).entropy().mean().backward()
            way = place.grad / place.grad.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            optimiser.zero_grad()
            moved = normalize(unrecorded(net, t + 0.5 * 8 * way))
            clean, q = unrecorded(net, t).softmax(1), moved.softmax(1)
            (b * (clean * (clean.log() - q.log())).mean()).backward()
            net.head.weight.grad = None
            optimiser.step()
    same(run, {n: v for n, v in net.state_dict().items() if n != "head.bias"})
