"""Twenty steps in plain torch: of a teacher, which is fine-tuned, and of whoever learns from it."""

import copy
import math

import torch
from torch.nn.functional import cross_entropy
from trajectories import Net


def rate(step, steps=20):
    """Linear warm-up over a twentieth of the steps, then half a cosine to zero."""
    p = step / steps
    return max(p / 0.05, 0.05) if p < 0.05 else 0.5 * (1 + math.cos(math.pi * (p - 0.05) / 0.95))


def steps(batches, parameters, factor, loss):
    """Take a step of AdamW on each batch, at the rates that all trajectories share."""
    optimiser = torch.optim.AdamW(parameters, weight_decay=0.05)
    for step, batch in enumerate(batches):
        optimiser.param_groups[0]["lr"] = 0.02 * factor * rate(step)
        optimiser.zero_grad()
        loss(batch.target).backward()
        optimiser.step()


def fine_tuned(run, net, factor=0.5):
    """Fine-tune a network on what the run saw, and return it frozen, in eval mode."""
    steps(
        run.batches,
        net.parameters(),
        factor,
        lambda target: cross_entropy(net(target.inputs), target.labels),
    )
    return net.eval().requires_grad_(False)


def teacher_of(run, factor=0.5):
    """Return the teacher as the source's weights become one by fine-tuning."""
    made = run.strategy.teacher
    net = Net(copy.deepcopy(made.backbone.network), copy.deepcopy(made.head)).double().train()
    net.load_state_dict({name: run.start[f"scaffold.teacher.{name}"] for name in net.state_dict()})
    return fine_tuned(run, net.requires_grad_(True), factor)
