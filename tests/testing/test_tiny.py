"""The tiny parts keep the contracts of the real ones, and can be learned."""

import numpy as np
import pytest
import torch

from transfergrid.records.training import Training
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyArchitecture, TinyDomain
from transfergrid.testing.tiny_text import LONGEST, TinyTextArchitecture, TinyTextDomain


@pytest.mark.parametrize("granularity", ["fine", "coarse"])
def test_tiny_backbone_keeps_the_contract(granularity):
    backbone = TinyArchitecture().build().eval()
    blocks, inputs = backbone.blocks(granularity), torch.randn(4, 1, 8, 8)
    assert [n for b in blocks for n in b.parameters] == [n for n, _ in backbone.named_parameters()]
    assert [n for b in blocks for n in b.buffers] == [n for n, _ in backbone.named_buffers()]
    for k in range(len(blocks) + 1):
        boundary = backbone.prefix(k, granularity)(inputs)
        assert torch.equal(backbone.suffix(k, granularity)(boundary), backbone.embed(inputs))
        if k:
            assert torch.equal(backbone.boundaries(inputs, granularity)[k - 1][0], boundary[0])


def test_tiny_text_backbone_keeps_the_contract():
    backbone, texts = TinyTextArchitecture().build().eval(), TinyTextDomain().load().test
    names = [name for block in backbone.blocks() for name in block.parameters]
    assert names == [name for name, _ in backbone.named_parameters()]
    raw = texts.read(np.arange(8))
    lengths = {len(text.split()) for text in raw}
    assert len(lengths) > 2
    assert max(lengths) <= LONGEST
    inputs = backbone.preprocess.finish(backbone.preprocess.prepare(raw), "none", None)
    whole = backbone.embed(inputs)
    for k in range(len(backbone.blocks()) + 1):
        boundary = backbone.prefix(k)(inputs)
        assert torch.equal(backbone.suffix(k)(boundary), whole)
        if k:
            assert all(map(torch.equal, backbone.boundaries(inputs)[k - 1], boundary))
    alone = backbone.preprocess.finish(backbone.preprocess.prepare(raw[:1]), "none", None)
    torch.testing.assert_close(backbone.embed(alone), whole[:1])


def test_poison_is_in_the_test_split_alone():
    plain, poisoned = TinyDomain().load(), TinyDomain(test="poisoned").load()
    everything = np.arange(24)
    assert np.array_equal(plain.pool.read(everything), poisoned.pool.read(everything))
    assert np.array_equal(plain.pool.labels, poisoned.pool.labels)
    assert not np.any(plain.test.labels == poisoned.test.labels)
    assert not np.array_equal(plain.test.read(everything), poisoned.test.read(everything))


@pytest.mark.parametrize("texts", [False, True])
def test_tiny_domain_can_be_learned(texts):
    plan = Training(steps=60, batch_size=16, lr=0.01, validations=2)
    bench = Bench(FullFinetuning, {"lr_factor": 1.0}, training=plan)
    run = (bench.on_texts() if texts else bench).run(10)
    labels = torch.from_numpy(run.setup.target.loaded.test.labels)
    assert (run.predictions.argmax(dim=1) == labels).float().mean() > 0.8
