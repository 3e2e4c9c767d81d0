"""Attributes are predicted from an input; a class is as likely as its attributes."""

import numpy as np
import torch
from torch import Tensor

from transfergrid.strategies import Data, Inputs, Positive, Range, Sizes
from transfergrid.strategies.closed_form.softmax_regression import logistic_head
from transfergrid.strategies.no_examples.described import ByDescription, seen
from transfergrid.strategies.shallow.frozen import spread

LEAST = 1e-6
"""Smallest distance of a probability from 0 and from 1."""


def posterior(said: Tensor, described: Tensor, prior: Tensor) -> Tensor:
    """Return log scores of classes, (batch, classes).

    Args:
        said: probability that an input has each attribute, (batch, d).
        described: 1 where a class has the attribute, else 0, (classes, d).
        prior: prior probability of each attribute, (d,).
    """
    said, prior = said.clamp(LEAST, 1 - LEAST), prior.clamp(LEAST, 1 - LEAST)
    has = said.log() - prior.log()
    lacks = (1 - said).log() - (1 - prior).log()
    return has @ described.T + lacks @ (1 - described).T


class DirectAttributePrediction(ByDescription):
    """Direct attribute prediction (DAP): a logistic regression for each attribute, on the source.

    A class has an attribute if its description is above the mean over the source's classes. The
    prior of an attribute is the share of these classes that have it. Attributes that all of them
    have, or none, carry no information and are left out. Probabilities stay at least a millionth
    away from 0 and 1.

    Formula:
        p(z | x) ~ product over attributes m of p(a_m = a_m(z) | x) / p(a_m = a_m(z))

    Try it:
        Where classes without examples are told apart by attributes that they share with other
        classes.

    Cost:
        One logistic regression for each attribute, on features of the source's examples.

    Source:
        Lampert, Nickisch & Harmeling 2014, Attribute-based classification for zero-shot visual
        object categorization, TPAMI 36, section 3.1

    Args:
        c: inverse penalty strength of each regression, on features divided by their spread.
    """

    space = {"c": Range(1e-3, 1e3, default=1.0)}
    also_called = ("dap",)
    badges = ("formula_exact",)

    map: Tensor
    offset: Tensor
    described: Tensor
    prior: Tensor

    def __init__(self, c: Positive = 1.0) -> None:
        super().__init__()
        self.c = c

    def build(self, sizes: Sizes) -> None:
        super().build(sizes)
        self.head = torch.nn.Identity()
        self.register_buffer("map", torch.zeros(sizes.attributes, self.backbone.dim))
        self.register_buffer("offset", torch.zeros(sizes.attributes))
        self.register_buffer("described", torch.zeros(self.task.outputs, sizes.attributes))
        self.register_buffer("prior", torch.full((sizes.attributes,), 0.5))

    def solve(self, data: Data) -> None:
        features, labels, known, asked = seen(data)
        middle = known.mean(0)
        has = known > middle
        rows = features.cpu().numpy()
        scale = spread(rows)
        for place in range(known.shape[1]):
            own = has[:, place]
            if own.all() or not own.any():
                continue
            told = own[labels].cpu().numpy().astype(np.int64)
            weight, bias = logistic_head(rows / scale, told, 2, self.c)
            self.map[place] = torch.from_numpy((weight[1] - weight[0]) / scale)
            self.offset[place] = float(bias[1] - bias[0])
        tells = has.any(0) & ~has.all(0)  # others cancel out: .5 over a prior of .5
        shares = has.to(self.prior).mean(0)
        self.prior.copy_(torch.where(tells, shares, torch.full_like(shares, 0.5)))
        self.described.copy_((asked > middle).to(self.described))

    def predict(self, inputs: Inputs) -> Tensor:
        said = (self.features(inputs) @ self.map.T + self.offset).sigmoid()
        return posterior(said, self.described, self.prior)
