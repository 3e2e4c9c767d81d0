"""Small models of large families, found by name as torchvision's own are."""

from __future__ import annotations

from typing import Any

from torchvision.models import ConvNeXt, MaxVit, SwinTransformer, VisionTransformer
from torchvision.models._api import register_model
from torchvision.models.convnext import CNBlockConfig


@register_model()
def vit_small_test(weights: Any = None, **options: Any) -> VisionTransformer:
    """Return three layers over patches of 8 pixels."""
    return VisionTransformer(
        patch_size=8, num_layers=3, num_heads=2, hidden_dim=32, mlp_dim=64, **options
    )


@register_model()
def swin_small_test(weights: Any = None, **options: Any) -> SwinTransformer:
    """Return three stages of two layers."""
    return SwinTransformer(
        patch_size=[2, 2],
        embed_dim=16,
        depths=[2, 2, 2],
        num_heads=[2, 2, 2],
        window_size=[4, 4],
        **options,
    )


@register_model()
def maxvit_small_test(weights: Any = None, **options: Any) -> MaxVit:
    """Return two stages, which need 56 pixels."""
    return MaxVit(
        stem_channels=16,
        partition_size=7,
        block_channels=[16, 32],
        block_layers=[1, 2],
        head_dim=8,
        stochastic_depth_prob=0.1,
        **options,
    )


@register_model()
def convnext_small_test(weights: Any = None, **options: Any) -> ConvNeXt:
    """Return three stages of two blocks."""
    widths = [(16, 32), (32, 48), (48, None)]
    return ConvNeXt([CNBlockConfig(now, then, 2) for now, then in widths], 0.1, **options)
