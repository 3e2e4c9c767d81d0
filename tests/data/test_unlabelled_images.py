"""Images without labels: all that lie below a folder, for sources that learn from inputs alone."""

import numpy as np
import pytest
from PIL import Image

from composed import planned
from transfergrid.data.unlabelled_images import UnlabelledImages
from transfergrid.records.errors import BadInputError
from transfergrid.records.training import Training
from transfergrid.sources.timm import TimmArchitecture
from transfergrid.sources.trained_here import TrainedHere

UNLABELLED = "target@source.domain=unlabelled_images"


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for name in ("a.png", "deep/b.png", "deep/er/c.png"):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(file)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    return tmp_path / "photos"


def test_all_images_below_a_folder_are_there_and_none_is_tested_on(photos):
    domain = UnlabelledImages(root=str(photos))
    domain.check()
    loaded = domain.load()
    assert (len(loaded.pool), len(loaded.test)) == (3, 0)
    assert domain.outline().pool == (3,)
    assert [image.shape for image in loaded.pool.read(np.arange(3))] == [(16, 16, 1)] * 3


def test_a_folder_without_images_is_said_in_a_line(photos):
    for file in photos.rglob("*.png"):
        file.unlink()
    with pytest.raises(BadInputError, match="has no images in it"):
        UnlabelledImages(root=str(photos)).check()


def test_a_broken_image_is_refused_or_left_out(photos):
    (photos / "broken.png").write_bytes(b"none")
    with pytest.raises(BadInputError, match="1 broken image"):
        UnlabelledImages(root=str(photos)).check()
    assert len(UnlabelledImages(root=str(photos), skip_broken=True).load().pool) == 3


def test_no_source_learns_labels_of_it():
    made = TrainedHere(
        TimmArchitecture("test_resnet", 16, {"in_chans": 1}),
        UnlabelledImages(root="anything"),
        Training(),
    )
    with pytest.raises(BadInputError, match="source=pretrained_here learns without"):
        made.check()


def test_a_source_pretrained_on_it_is_planned_and_a_target_of_it_is_not(photos):
    words = ("source=pretrained_here", UNLABELLED, f"source.domain.root={photos}", "target=digits")
    plan = planned(*words, "strategy=feature_extraction,source_and_target,self_taught", "labels=5")
    strategies = {cell.names.strategy for cell in plan.cells}
    assert {"feature_extraction", "self_taught"} <= strategies
    assert "source_and_target" not in strategies
    assert any("learns from the source's labels" in left.reason for left in plan.skipped)
    with pytest.raises(BadInputError, match="has no labels to score by"):
        planned("source=glyph_digits", "target=unlabelled_images", f"target.root={photos}")
