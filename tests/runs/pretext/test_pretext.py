"""Tasks that inputs set by themselves: published values, and what each of them learns from."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from golden import golden
from transfergrid.runs.pretext.byol import foretelling, momentum_at, spread
from transfergrid.runs.pretext.mae import masked_mean, masking, normalised, patched
from transfergrid.runs.pretext.rotation import turned
from transfergrid.runs.pretext.simclr import nt_xent
from transfergrid.runs.pretext.tasks import TASKS
from transfergrid.sources.pretrained_here import METHODS


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


def test_each_method_has_its_task_which_is_named_as_it():
    assert TASKS.keys() == METHODS.keys()
    assert all(TASKS[name]().name == name for name in METHODS)


def test_nt_xent_is_the_published_value_whichever_view_comes_first():
    given, expected, tolerance = golden("simclr", "nt_xent")
    views = exact(given["view1_normalised"]), exact(given["view2_normalised"])
    for temperature, name in ((0.5, "tau_0_5"), (0.1, "tau_0_1")):
        for one, other in (views, views[::-1]):
            found = nt_xent(one, other, temperature).item()
            assert found == pytest.approx(expected[name], abs=tolerance)
    alike = normalize(torch.ones(2, 2, dtype=torch.float64), dim=1)
    bound = nt_xent(alike, alike, 0.5).item()
    assert bound == pytest.approx(expected["bound_when_all_equal"], abs=tolerance)


def test_all_four_rotations_are_in_one_batch_counterclockwise():
    given, expected, _ = golden("rotation", "pretext")
    image = torch.tensor(given["image"])
    assert torch.rot90(image, 1, (0, 1)).tolist() == expected["rot90_counterclockwise"]
    images = torch.arange(2 * 9.0).view(2, 1, 3, 3)
    four, labels = turned(images)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert sorted(set(labels.tolist())) == expected["labels"]
    for place, (made, quarters) in enumerate(zip(four, labels, strict=True)):
        own = np.rot90(images[place % 2, 0].numpy(), int(quarters))
        assert np.array_equal(made[0].numpy(), own)


def test_masks_and_their_loss_are_the_published_ones():
    given, expected, tolerance = golden("mae", "masking")
    kept, mask, restore = masking(exact(given["noise"]), given["mask_ratio"])
    assert kept.tolist() == expected["kept"]
    assert mask.tolist() == expected["mask_1_is_removed"]
    assert restore.tolist() == expected["ids_restore"]
    loss = masked_mean(exact(given["loss_per_patch"]), mask).item()
    assert loss == pytest.approx(expected["loss"], abs=tolerance)
    assert masking(torch.rand(1, 196), 0.75)[0].shape[1] == expected["kept_of_196"]


def test_patches_are_cut_row_by_row_and_normalised_by_their_unbiased_variance():
    images = torch.arange(2 * 3 * 8 * 8.0).view(2, 3, 8, 8)
    cut = patched(images, 4)
    assert cut.shape == (2, 16, 3 * 4)
    assert torch.equal(cut[1, 6], images[1, :, 2:4, 4:6].flatten())
    own = normalised(cut)
    torch.testing.assert_close(own.mean(2), torch.zeros(2, 16), atol=1e-5, rtol=0)
    torch.testing.assert_close(own.var(2), torch.ones(2, 16))


def test_byols_loss_and_momentum_are_the_published_ones():
    given, expected, tolerance = golden("byol", "loss_and_momentum")
    one = foretelling(exact(given["prediction_1"]), exact(given["target_2"]))
    other = foretelling(exact(given["prediction_2"]), exact(given["target_1"]))
    assert one.item() == pytest.approx(expected["one_side"], abs=tolerance)
    assert (one + other).item() == pytest.approx(expected["loss"], abs=tolerance)
    found = [momentum_at(step, given["steps"], given["base_momentum"]) for step in (0, 50, 100)]
    assert found == pytest.approx(expected["momentum_at_0_50_100"], abs=tolerance)


def test_no_gradient_reaches_what_is_foretold():
    prediction, target = (
        torch.randn(4, 3, requires_grad=True),
        torch.randn(4, 3, requires_grad=True),
    )
    foretelling(prediction, target).backward()
    assert prediction.grad is not None
    assert target.grad is None


def test_spread_is_none_of_what_collapsed_and_one_of_what_points_everywhere():
    row = torch.randn(1, 6)
    assert spread(row.expand(5, -1) * torch.rand(5, 1).add(0.5)).item() == pytest.approx(
        0, abs=1e-3
    )
    assert spread(torch.cat([torch.eye(6), -torch.eye(6)])).item() == pytest.approx(1)
    half = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert spread(half).item() == pytest.approx(math.sqrt(0.5))
