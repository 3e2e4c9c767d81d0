"""Learned tokens stand before those of each input (Lester et al. 2021; Jia et al. 2022)."""

import math

import plain_vit
import pytest
import torch
from networks import NETWORKS, added, attached, check_blocks, made, sample, titles
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.records.errors import ImpossibleError
from transfergrid.sources.timm import TimmArchitecture
from transfergrid.strategies.few_parameters.prompt_tuning import PromptTuning
from transfergrid.strategies.few_parameters.token_layers import widened
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench

PROMPT = "backbone.network.blocks.0.prompt"
WITH_TOKENS = ["timm vit", "torchvision vit", "bert", "gpt2"]


def rate(step):
    """Linear warm-up over the first of 20 steps, then half a cosine to zero."""
    return 0.05 if not step else 0.5 * (1 + math.cos(math.pi * (step / 20 - 0.05) / 0.95))


@pytest.mark.proves("formula_exact", "prompt_tuning")
def test_its_parameters_are_counted():
    given, expected, _ = golden("peft_counts", "numbers")
    sizes = {"embed_dim": given["d"], "depth": 1, "img_size": 32}
    backbone = TimmArchitecture("vit_base_patch16_224", options=sizes).build()
    strategy = attached(PromptTuning, backbone, {"tokens": given["virtual_tokens"]})
    assert sum(p.numel() for p in added(strategy)) == expected["prompt_tuning"]


@pytest.mark.proves("trajectory_exact", "prompt_tuning")
@pytest.mark.proves("formula_exact", "prompt_tuning")
def test_it_ends_where_plain_torch_ends():
    run = trajectory(PromptTuning, {"lr_factor": 2.0, "tokens": 3}, "tokens")
    state, news = {**run.start}, ["head.weight", "head.bias", PROMPT]
    state |= {name: state[name].clone().requires_grad_() for name in news}
    groups = [{"params": [state[n] for n in own]} for own in (news[:2], news[2:])]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.0)
    optimiser.param_groups[0]["weight_decay"] = 0.05
    for step, batch in enumerate(run.batches):
        for group in optimiser.param_groups:
            group["lr"] = 0.02 * 2.0 * rate(step)
        optimiser.zero_grad()
        told = plain_vit.logits(state, batch.target.inputs, prompt=state[PROMPT])
        cross_entropy(told, batch.target.labels).backward()
        optimiser.step()
    same(run, state)


@pytest.mark.parametrize("name", WITH_TOKENS)
def test_networks_of_all_libraries(name, tmp_path):
    backbone = made(name, tmp_path)
    before, inputs = titles(backbone), sample(backbone)
    with torch.no_grad():
        start = backbone.embed(inputs)
    strategy = attached(PromptTuning, backbone, {"tokens": 3})
    check_blocks(backbone, before)
    (prompt,) = added(strategy)
    (gradient,) = torch.autograd.grad(strategy.predict(inputs).square().sum(), [prompt])
    assert gradient.any(dim=1).all()  # each token is seen
    again = attached(PromptTuning, made(name, tmp_path), {"tokens": 3}, target=0)
    again.restore(strategy.kept_state())
    with torch.no_grad():
        assert backbone.embed(inputs).shape == start.shape
        assert not torch.allclose(backbone.embed(inputs), start, atol=1e-4)
        assert torch.equal(again.predict(inputs), strategy.predict(inputs))
        cuts = range(1, len(before["fine"]) if "vit" in name else 2)  # nothing stands still behind
        parts = [backbone.suffix(k)(backbone.prefix(k)(inputs)) for k in cuts]
        assert all(torch.equal(part, backbone.embed(inputs)) for part in parts)


def test_padding_stays_padding(tmp_path):
    strategy = attached(PromptTuning, made("bert", tmp_path), {"tokens": 3})
    pair = strategy.backbone._texts([2, 6])
    alone = {name: part[:1, :2] for name, part in pair.items()}
    with torch.no_grad():
        beside, single = strategy.predict(pair)[0], strategy.predict(alone)[0]
    assert torch.allclose(beside, single, atol=1e-6)


def test_a_mask_is_widened_by_keys_that_all_see():
    causal = torch.tensor([[0.0, -9.0], [0.0, 0.0]])
    assert widened(causal, 1, rows=True).tolist() == [[0, 0, -9], [0, 0, -9], [0, 0, 0]]
    padded = torch.tensor([[[True, False]]])
    assert widened(padded, 2, rows=True).tolist() == [[[True, True, True, False]]]


def test_all_else_keeps_its_bits():
    bench = Bench(PromptTuning).on_tokens()
    start, end = bench.set_up(10).strategy.state_dict(), bench.run(10).state
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert moved == {PROMPT, "head.weight", "head.bias"}


@pytest.mark.parametrize("other", [FullFinetuning, FeatureExtraction])
def test_it_predicts_otherwise(other):
    benches = (Bench(kind, {"lr_factor": 1.0}).on_tokens() for kind in (PromptTuning, other))
    one, two = (bench.run(10).predictions for bench in benches)
    assert (one - two).abs().max() > 1e-3


@pytest.mark.parametrize("name", sorted({*NETWORKS} - {*WITH_TOKENS}))
def test_where_there_are_no_tokens_or_no_room_it_is_told(name, tmp_path):
    reason = "take no further tokens" if name == "timm beit" else "has no layers of tokens"
    with pytest.raises(ImpossibleError, match=reason):
        attached(PromptTuning, made(name, tmp_path), {})


def test_where_no_token_sees_another_it_is_told():
    with pytest.raises(ImpossibleError, match="no token sees another"):
        Bench(PromptTuning).on_texts().set_up(10)
