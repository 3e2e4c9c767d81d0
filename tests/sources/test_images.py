import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transfergrid.records.errors import BadInputError
from transfergrid.sources.preprocessing.augmenting import (
    LIGHT,
    STRONG,
    _random_maps,
    erased,
    jittered,
    lightly_augmented,
    strongly_augmented,
)
from transfergrid.sources.preprocessing.images import ImagePreprocess
from transfergrid.sources.timm import TimmArchitecture


def preprocess(size=(16, 16), channels=1, interpolation="bilinear") -> ImagePreprocess:
    return ImagePreprocess(size, channels, (0.5,) * channels, (0.25,) * channels, interpolation)


def random_images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=40, deadline=None)
@given(
    raw_shape=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6)),
    size=st.tuples(st.integers(1, 32), st.integers(1, 32)),
    channels=st.sampled_from([1, 3]),
    interpolation=st.sampled_from(["nearest", "bilinear", "bicubic"]),
)
def test_inputs_have_the_networks_shape_and_range(raw_shape, size, channels, interpolation):
    prepared = preprocess(size, channels, interpolation).prepare(random_images(2, *raw_shape))
    assert prepared.shape == (2, channels, *size)
    assert prepared.dtype == torch.float32
    assert prepared.min() >= 0
    assert prepared.max() <= 1


def test_an_image_of_the_right_size_keeps_its_pixels():
    raw = random_images(3, 16, 16, 1)
    prepared = preprocess().prepare(raw)
    assert torch.equal(
        (prepared * 255).round().to(torch.uint8)[:, 0], torch.from_numpy(raw[..., 0])
    )


def test_images_of_unequal_sizes_are_prepared_as_each_alone():
    raw = [random_images(20, 30, 3), random_images(16, 16, 3), random_images(9, 5, 1)]
    together = preprocess(channels=3).prepare(raw)
    alone = [preprocess(channels=3).prepare(image[None]) for image in raw]
    assert torch.equal(together, torch.cat(alone))


def test_a_list_and_an_array_give_the_same():
    raw = random_images(4, 20, 20, 1)
    assert torch.equal(preprocess().prepare(list(raw)), preprocess().prepare(raw))


def test_nothing_gives_no_inputs():
    assert preprocess(channels=3).prepare([]).shape == (0, 3, 16, 16)


def test_the_middle_of_a_wide_image_is_kept():
    raw = np.zeros((1, 16, 48, 1), dtype=np.uint8)
    raw[:, :, 16:32] = 255
    assert preprocess().prepare(raw).min() == 1


def test_grey_is_the_luma_of_colours():
    raw = np.zeros((3, 16, 16, 3), dtype=np.uint8)
    for channel in range(3):
        raw[channel, :, :, channel] = 255
    grey = preprocess().prepare(raw).mean(dim=(1, 2, 3))
    torch.testing.assert_close(grey, torch.tensor([0.299, 0.587, 0.114]))


def test_grey_images_are_repeated_for_colour_networks():
    prepared = preprocess(channels=3).prepare(random_images(2, 16, 16, 1))
    assert torch.equal(prepared[:, 0], prepared[:, 1])
    assert torch.equal(prepared[:, 0], prepared[:, 2])


def test_the_first_of_many_channels_are_taken_for_a_colour_network():
    raw = random_images(2, 16, 16, 5)
    few = preprocess(channels=3).prepare(raw)
    assert torch.equal(few, preprocess(channels=3).prepare(raw[..., :3].copy()))
    assert torch.equal(preprocess(channels=5).prepare(raw)[:, :3], few)


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_grey_is_the_mean_of_channels_that_are_no_colours(channels):
    raw = random_images(2, 16, 16, channels)
    grey = preprocess().prepare(raw)[:, 0] * 255
    torch.testing.assert_close(grey, torch.from_numpy(raw).float().mean(-1))


def test_two_channels_become_three_by_their_mean():
    prepared = preprocess(channels=3).prepare(random_images(2, 20, 20, 2))
    torch.testing.assert_close(prepared[:, 2], prepared[:, :2].mean(1))
    assert not torch.equal(prepared[:, 0], prepared[:, 1])


def test_shrinking_averages_all_pixels():
    """One bright column in eight, between those that plain interpolation would look at."""
    raw = np.zeros((1, 64, 64, 1), dtype=np.uint8)
    raw[:, :, ::8] = 255
    prepared = preprocess((8, 8)).prepare(raw)
    assert abs(prepared.mean() - 1 / 8) < 0.02


def test_read_only_arrays_are_taken_without_a_warning(recwarn):
    raw = random_images(2, 16, 16, 1)
    raw.flags.writeable = False
    preprocess().prepare(raw)
    assert not recwarn.list


def test_images_that_do_not_fit_are_refused():
    with pytest.raises(BadInputError, match="3 channels do not fit a network for 4"):
        preprocess(channels=4).prepare(random_images(1, 16, 16, 3))
    with pytest.raises(BadInputError, match="uint8"):
        preprocess().prepare(np.zeros((1, 16, 16, 1)))
    with pytest.raises(BadInputError, match=r"\(H, W, C\)"):
        preprocess().prepare([random_images(16, 16)])


def test_no_augmentation_only_normalises():
    prepared = torch.rand(4, 1, 16, 16)
    assert torch.equal(preprocess().finish(prepared, "none", rng()), (prepared - 0.5) / 0.25)


def test_without_a_generator_nothing_is_augmented():
    prepared = torch.rand(4, 1, 16, 16)
    plain = preprocess().finish(prepared, "none", None)
    assert torch.equal(preprocess().finish(prepared, "light", None), plain)


def test_augmentation_is_a_function_of_the_generator():
    prepared = torch.rand(4, 1, 16, 16)
    kept = prepared.clone()
    first, again, other = (preprocess().finish(prepared, "light", rng(s)) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(prepared, kept)


@pytest.mark.parametrize("size", [(16, 16), (16, 32)])
def test_augmentation_is_light(size):
    """A dot stays within 10 degrees, 10 % and 6 % of where it was, and images differ."""
    prepared = torch.zeros(200, 1, *size)
    top, left = 3, 2
    prepared[:, :, top : top + 2, left : left + 2] = 1
    moved = preprocess(size).finish(prepared, "light", rng()) * 0.25 + 0.5
    rows, columns = torch.meshgrid(*(torch.arange(s) + 0.5 for s in size), indexing="ij")
    mass = moved.sum(dim=(1, 2, 3))
    y = (moved[:, 0] * rows).sum(dim=(1, 2)) / mass
    x = (moved[:, 0] * columns).sum(dim=(1, 2)) / mass
    travelled = torch.hypot(y - (top + 1), x - (left + 1))
    radius = np.hypot(size[0] / 2 - top - 1, size[1] / 2 - left - 1)
    bound = radius * (1.12 * np.hypot(1, np.tan(np.radians(10))) - 1 + 0.18) + 0.07 * sum(size)
    assert torch.isfinite(moved).all()
    assert 0.3 < travelled.mean() < bound
    assert travelled.max() < bound
    assert travelled.std() > 0.1


def test_augmentation_turns_a_wide_image_without_skewing_it():
    """Angles are in pixels: the two arms of a cross stay at right angles."""
    prepared = torch.zeros(1, 1, 33, 65)
    prepared[:, :, 16, 20:45] = 1
    prepared[:, :, 4:29, 32] = 1
    for seed in range(5):
        moved = (preprocess((33, 65)).finish(prepared, "light", rng(seed)) * 0.25 + 0.5)[0, 0]
        rows, columns = torch.meshgrid(torch.arange(33.0), torch.arange(65.0), indexing="ij")
        y, x = ((moved * c).sum() / moved.sum() for c in (rows, columns))
        spread = (moved * (rows - y) * (columns - x)).sum() / moved.sum()
        assert spread.abs() < 1.5  # a skewed cross of this size has ten times as much


def ramps() -> torch.Tensor:
    """Two images (2, 1, 16, 16): brighter to the right, and brighter downwards."""
    across = torch.linspace(0, 1, 16).repeat(16, 1)
    return torch.stack([across, across.T])[:, None]


def test_light_augmentation_stays_the_one_of_version_1():
    """Values of the first release: studies run with it must stay comparable."""
    moved = lightly_augmented(ramps(), rng(7))
    assert moved[0, 0, 3, 5] == pytest.approx(0.3078, abs=1e-4)
    assert moved[1, 0, 12, 2] == pytest.approx(0.8432, abs=1e-4)
    assert moved.sum() == pytest.approx(251.616, abs=1e-3)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_strong_augmentation_keeps_shape_range_and_input(channels):
    prepared = torch.rand(20, channels, 16, 24)
    kept = prepared.clone()
    changed = strongly_augmented(prepared, rng())
    assert changed.shape == prepared.shape
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(prepared, kept)
    assert torch.equal(strongly_augmented(prepared, rng()), changed)


def test_strong_moves_further_than_light():
    light, strong = _random_maps(1000, 1.0, LIGHT, rng()), _random_maps(1000, 1.0, STRONG, rng())
    still = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    assert (strong - still).abs().mean() > 1.8 * (light - still).abs().mean()
    angles = torch.atan2(strong[:, 1, 0], strong[:, 0, 0])
    assert torch.rad2deg(angles).abs().max() == pytest.approx(20, abs=0.5)


def test_no_augmentation_mirrors_a_letter():
    """The determinant of a flip is below zero."""
    for motion in (LIGHT, STRONG):
        assert torch.linalg.det(_random_maps(1000, 1.5, motion, rng())[:, :, :2]).min() > 0


def test_jitter_moves_no_pixel_and_leaves_grey_grey():
    grey = torch.rand(50, 1, 8, 8).repeat(1, 3, 1, 1)
    changed = jittered(grey, rng())
    torch.testing.assert_close(changed[:, 0], changed[:, 2])
    order = grey[:, 0].flatten(1).argsort()
    assert (changed[:, 0].flatten(1).gather(1, order).diff() > -1e-6).all()
    mean = changed.mean(dim=(1, 2, 3)) / grey.mean(dim=(1, 2, 3))
    assert 0.7 - 1e-5 <= mean.min() < 0.85
    assert 1.1 < mean.max() <= 1.3 + 1e-5


def test_half_of_the_images_lose_a_rectangle_of_the_named_size():
    images = torch.rand(2000, 1, 32, 32)
    gone = (erased(images, rng()) != images)[:, 0]
    hit = gone.any(dim=(1, 2))
    assert hit.float().mean() == pytest.approx(0.5, abs=0.04)
    share = gone[hit].float().mean(dim=(1, 2))
    assert share.max() <= 0.25
    assert share.mean() == pytest.approx(0.11, abs=0.01)
    rows, columns = gone.any(dim=2), gone.any(dim=1)
    assert torch.equal(gone, rows[:, :, None] & columns[:, None, :])


def test_an_unknown_augmentation_is_named():
    with pytest.raises(BadInputError, match="did you mean light"):
        preprocess().finish(torch.rand(1, 1, 16, 16), "ligth", None)


def test_the_weights_own_normalisation_can_be_given():
    own = TimmArchitecture("test_resnet", size=16).build()
    given = TimmArchitecture("test_resnet", size=16, mean=[0.25], std=[0.125]).build()
    assert given.preprocess.mean == (0.25, 0.25, 0.25)
    assert given.preprocess.std == (0.125, 0.125, 0.125)
    assert own.preprocess.mean != given.preprocess.mean
    assert own.architecture != given.architecture


@pytest.mark.parametrize("wrong", [[], [127.5], "half", 0.5])
def test_a_normalisation_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(BadInputError, match="mean must be a list of shares of 1"):
        TimmArchitecture("test_resnet", mean=wrong).check()
