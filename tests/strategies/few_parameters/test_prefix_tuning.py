"""softmax(q [Pk; k]^T / sqrt(size)) [Pv; v] in each layer (Li & Liang 2021)."""

import math

import plain_vit
import pytest
import torch
from networks import added, attached, check_blocks, made, sample, titles
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from trajectories import same, trajectory

from golden import golden
from small_models import pretrained
from transfergrid.records.errors import ImpossibleError
from transfergrid.sources.timm import TimmArchitecture
from transfergrid.sources.transformers import TransformersArchitecture
from transfergrid.strategies.few_parameters.attention import Attending
from transfergrid.strategies.few_parameters.prefix_tuning import PrefixTuning
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench

PREFIXES = [f"backbone.network.blocks.{number}.prefix" for number in (0, 1)]


def rate(step):
    """Linear warm-up over the first of 20 steps, then half a cosine to zero."""
    return 0.05 if not step else 0.5 * (1 + math.cos(math.pi * (step / 20 - 0.05) / 0.95))


@pytest.mark.proves("formula_exact", "prefix_tuning")
def test_its_parameters_are_counted():
    given, expected, _ = golden("peft_counts", "numbers")
    sizes = {"embed_dim": given["d"], "depth": given["layers"], "img_size": 32, "mlp_ratio": 0.01}
    backbone = TimmArchitecture("vit_base_patch16_224", options=sizes).build()
    strategy = attached(PrefixTuning, backbone, {"tokens": given["virtual_tokens"]})
    counted = sum(p.numel() for p in added(strategy))
    assert counted == expected["prefix_tuning_without_projection"]


@pytest.fixture
def parts():
    """Queries, keys, values (2 examples, 2 heads, 3 tokens, 4) and a prefix of 5 tokens."""
    rng = torch.Generator().manual_seed(0)
    return [
        *torch.randn(3, 2, 2, 3, 4, generator=rng, dtype=torch.float64),
        torch.randn(2, 5, 8, generator=rng, dtype=torch.float64),
    ]


def attention(q, k, v, prefix, mask):
    """Return what the formula says, head by head; `mask` (queries, keys) of the layer's own."""
    found = torch.empty_like(q)
    for n in range(2):
        for head in range(2):
            own = slice(4 * head, 4 * head + 4)
            keys = torch.cat([prefix[0, :, own], k[n, head]])
            values = torch.cat([prefix[1, :, own], v[n, head]])
            scores = q[n, head] @ keys.T / 2
            scores[:, 5:][~mask] = -torch.inf
            found[n, head] = scores.softmax(-1) @ values
    return found


@pytest.mark.proves("formula_exact", "prefix_tuning")
@pytest.mark.parametrize("causal", [False, True])
def test_attention_by_torchs_function_and_by_products_is_the_formulas(parts, causal):
    q, k, v, prefix = parts
    mask = torch.ones(3, 3, dtype=torch.bool)
    mask = mask.tril() if causal else mask
    expected = attention(q, k, v, prefix, mask)
    with Attending(prefix):
        fused = scaled_dot_product_attention(q, k, v, is_causal=causal)
        masked = scaled_dot_product_attention(q, k, v, attn_mask=mask)
        scores = torch.matmul(q, k.transpose(2, 3)) / 2
        scores[..., 5:][..., ~mask] = -torch.inf
        products = scores.softmax(-1) @ v
    for found in (fused, masked, products):
        assert torch.allclose(found, expected, atol=1e-12)


@pytest.mark.proves("formula_exact", "prefix_tuning")
def test_torchs_multi_head_attention_is_the_formulas(parts):
    prefix = parts[-1]
    layer = nn.MultiheadAttention(8, 2, batch_first=True).double().eval()
    x = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wide = nn.functional.linear(x, layer.in_proj_weight, layer.in_proj_bias)
    q, k, v = wide.view(2, 3, 3, 2, 4).permute(2, 0, 3, 1, 4)
    mask = torch.ones(3, 3, dtype=torch.bool)
    expected = attention(q, k, v, prefix, mask).transpose(1, 2).flatten(2)
    with Attending(prefix), torch.no_grad():
        found = layer(x, x, x, need_weights=False)[0]
    assert torch.allclose(found, layer.out_proj(expected), atol=1e-12)


@pytest.mark.proves("trajectory_exact", "prefix_tuning")
def test_it_ends_where_plain_torch_ends():
    run = trajectory(PrefixTuning, {"lr_factor": 2.0, "tokens": 3}, "tokens")
    state, news = {**run.start}, ["head.weight", "head.bias", *PREFIXES]
    state |= {name: state[name].clone().requires_grad_() for name in news}
    groups = [{"params": [state[n] for n in own]} for own in (news[:2], news[2:])]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.0)
    optimiser.param_groups[0]["weight_decay"] = 0.05
    for step, batch in enumerate(run.batches):
        for group in optimiser.param_groups:
            group["lr"] = 0.02 * 2.0 * rate(step)
        optimiser.zero_grad()
        prefixes = [state[name] for name in PREFIXES]
        told = plain_vit.logits(state, batch.target.inputs, prefixes=prefixes)
        cross_entropy(told, batch.target.labels).backward()
        optimiser.step()
    same(run, state)


@pytest.mark.parametrize("name", ["timm vit", "timm beit", "torchvision vit", "bert", "gpt2"])
def test_networks_of_all_libraries(name, tmp_path):
    backbone = made(name, tmp_path)
    before, inputs = titles(backbone), sample(backbone)
    with torch.no_grad():
        start = backbone.embed(inputs)
    strategy = attached(PrefixTuning, backbone, {"tokens": 3})
    check_blocks(backbone, before)
    assert len(added(strategy)) == (2 if name.startswith("timm") else 3)
    found = torch.autograd.grad(strategy.predict(inputs).square().sum(), added(strategy))
    assert all(gradient[1].any(dim=1).all() for gradient in found)  # each value is seen
    again = attached(PrefixTuning, made(name, tmp_path), {"tokens": 3}, target=0)
    again.restore(strategy.kept_state())
    with torch.no_grad():
        assert not torch.allclose(backbone.embed(inputs), start, atol=1e-6)
        assert torch.equal(again.predict(inputs), strategy.predict(inputs))
        cuts = range(1, len(before["fine"]))
        parts = [backbone.suffix(k)(backbone.prefix(k)(inputs)) for k in cuts]
        assert all(torch.equal(part, backbone.embed(inputs)) for part in parts)


def test_padding_stays_padding(tmp_path):
    strategy = attached(PrefixTuning, made("bert", tmp_path), {"tokens": 3})
    pair = strategy.backbone._texts([2, 6])
    alone = {name: part[:1, :2] for name, part in pair.items()}
    with torch.no_grad():
        beside, single = strategy.predict(pair)[0], strategy.predict(alone)[0]
    assert torch.allclose(beside, single, atol=1e-6)


def test_an_error_inside_a_layer_leaves_no_prefix_behind(tmp_path):
    strategy = attached(PrefixTuning, made("timm vit", tmp_path), {"tokens": 3})
    inputs, q = sample(strategy.backbone), torch.randn(1, 2, 3, 12)
    expected = scaled_dot_product_attention(q, q, q)
    attn = strategy.backbone.network.blocks[1].attn
    attn.forward, kept = lambda *_, **__: 1 / 0, attn.forward
    with pytest.raises(ZeroDivisionError):
        strategy.predict(inputs)
    attn.forward = kept
    assert torch.equal(scaled_dot_product_attention(q, q, q), expected)


def test_all_else_keeps_its_bits():
    bench = Bench(PrefixTuning).on_tokens()
    start, end = bench.set_up(10).strategy.state_dict(), bench.run(10).state
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert moved == {*PREFIXES, "head.weight", "head.bias"}


@pytest.mark.parametrize("other", [FullFinetuning, FeatureExtraction])
def test_it_predicts_otherwise(other):
    benches = (Bench(kind, {"lr_factor": 1.0}).on_tokens() for kind in (PrefixTuning, other))
    one, two = (bench.run(10).predictions for bench in benches)
    assert (one - two).abs().max() > 1e-3


def test_where_there_is_no_attention_that_can_be_met_it_is_told(tmp_path):
    with pytest.raises(ImpossibleError, match="has no layers of tokens"):
        attached(PrefixTuning, made("torchvision swin", tmp_path), {})
    folder = str(pretrained(tmp_path, "deberta-v2"))
    with pytest.raises(ImpossibleError, match="none that takes further keys"):
        attached(PrefixTuning, TransformersArchitecture(folder=folder).build(), {})
