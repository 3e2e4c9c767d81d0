"""Two towers in one space: each says what transformers says, and one alone is trained.

The weights are random: what is tested is the way through the code, and nothing that CLIP knows.
"""

import json

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

from small_models import wordpieces
from transfergrid import api
from transfergrid.data.glyphs import Glyphs
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.training import Training
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked
from transfergrid.sources.clip import ClipArchitecture, ClipSource
from transfergrid.strategies.no_examples.text_prototypes import TextPrototypes

NAMES = {"A": "the cat sat", "B": "a dog barks at night", "C": "why is the sky so blue"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A CLIP model made from a config, with random weights."""
    place = tmp_path_factory.mktemp("models") / "clip"
    wide = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2}
    tokenizer = wordpieces()
    text = CLIPTextConfig(
        **wide,
        vocab_size=90,
        num_hidden_layers=2,
        max_position_embeddings=20,
        bos_token_id=2,
        eos_token_id=3,
    )
    vision = CLIPVisionConfig(**wide, num_hidden_layers=3, image_size=16, patch_size=8)
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=12
    )
    torch.manual_seed(7)
    CLIPModel(config).save_pretrained(place)
    tokenizer.save_pretrained(place)
    inputs = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 16},
        "crop_size": {"height": 16, "width": 16},
        "image_mean": [0.5] * 3,
        "image_std": [0.25] * 3,
        "resample": 3,
    }
    (place / "preprocessor_config.json").write_text(json.dumps(inputs))
    return place


@pytest.fixture(scope="module")
def backbone(folder):
    return ClipSource(ClipArchitecture(folder=str(folder))).initial()


def test_both_towers_embed_as_the_whole_model_does(folder, backbone):
    whole = CLIPModel.from_pretrained(folder, attn_implementation="eager").eval()
    backbone.eval()
    images = backbone.sample(3)
    words = backbone.words()
    tokens = words.preprocess.finish(words.preprocess.prepare(list(NAMES.values())), "none", None)
    with torch.no_grad():
        found, told = backbone.embed(images), words.embed(tokens)
        said = whole(pixel_values=images, **{k: tokens[k] for k in ("input_ids", "attention_mask")})
    norm = torch.nn.functional.normalize
    torch.testing.assert_close(norm(found, dim=1), said.image_embeds, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(norm(told, dim=1), said.text_embeds, atol=1e-5, rtol=1e-4)
    assert (backbone.dim, told.shape) == (12, (3, 12))


def test_what_is_trained_and_cut_is_the_image_tower_alone(backbone):
    names = [name for name, _ in backbone.named_parameters()]
    assert not any("text" in name for name in names)
    owned = [name for block in backbone.blocks() for name in block.parameters]
    assert sorted(owned) == sorted(names)
    images = backbone.eval().sample(5)
    with torch.no_grad():
        cut = backbone.suffix(2)(backbone.prefix(2)(images))
        torch.testing.assert_close(cut, backbone.embed(images), rtol=0, atol=0)
    assert not any(p.requires_grad for p in backbone.words().embed.network.parameters())


def test_text_prototypes_tells_images_by_the_texts_of_their_classes(folder, tmp_path):
    target = Glyphs(characters="ABC", per_class=4, test_per_class=3, descriptions=NAMES)
    source = ClipSource(ClipArchitecture(folder=str(folder)))
    asked = Asked(
        sources=[api._option(source, "clip")],
        strategies=[api._option(TextPrototypes())],
        targets=[api._option(target, "letters")],
        trainings=[api._option(Training(steps=2))],
        labels=[0],
        seeds=[0],
    )
    plan = Planner(api._baseline).plan(asked)
    (cell,) = (cell for cell in plan.cells if cell.id in plan.wanted)
    ledger = Ledger(tmp_path)
    record = run_cell(cell, ledger, Machine("cpu", threads=1, diagnostics="none"))
    found = ledger.predictions(record.id).probabilities
    made = source.initial().eval()
    words, test = made.words(), target.load().test
    pixels = made.preprocess.prepare(test.read(np.arange(9)))
    with torch.no_grad():
        images = made.embed(made.preprocess.finish(pixels, "none", None))
        raw = words.preprocess.prepare([NAMES[name] for name in "ABC"])
        texts = words.embed(words.preprocess.finish(raw, "none", None))
    cosines = torch.nn.functional.cosine_similarity(images[:, None], texts[None], dim=2)
    torch.testing.assert_close(
        torch.from_numpy(found), (100 * cosines).softmax(1), atol=1e-4, rtol=1e-3
    )


@pytest.mark.parametrize(
    ("left_out", "message"),
    [("tokenizer.json", "holds no tokenizer"), ("preprocessor_config.json", "does not say how")],
)
def test_a_folder_that_lacks_a_half_is_refused(folder, tmp_path, left_out, message):
    place = tmp_path / "clip"
    place.mkdir()
    for file in folder.iterdir():
        if file.name != left_out:
            (place / file.name).write_bytes(file.read_bytes())
    with pytest.raises(BadInputError, match=message):
        ClipArchitecture(folder=str(place)).check()


def test_another_kind_of_model_is_refused(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "vit"}))
    with pytest.raises(BadInputError, match="holds a vit, and source=clip takes a CLIP model"):
        ClipArchitecture(folder=str(tmp_path)).check()
