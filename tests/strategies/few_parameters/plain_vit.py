"""The tiny vision transformer in plain torch, with a prompt before its tokens or prefixes."""

import torch
from torch.nn.functional import conv2d, gelu, layer_norm, linear

START = "backbone.network."


def logits(state, images, prompt=None, prefixes=(None, None)):
    """Return logits (batch, classes); the two layers have two heads, four numbers wide."""

    def of(layer):
        return state[f"{START}{layer}.weight"], state[f"{START}{layer}.bias"]

    def normed(hidden, layer):
        return layer_norm(hidden, hidden.shape[-1:], *of(layer), eps=1e-6)

    hidden = conv2d(images, *of("patch_embed.proj"), stride=4).flatten(2).transpose(1, 2)
    first = state[f"{START}cls_token"].expand(len(hidden), -1, -1)
    hidden = torch.cat([first, hidden], 1) + state[f"{START}pos_embed"]
    n = 0 if prompt is None else len(prompt)
    if n:
        hidden = torch.cat([prompt.expand(len(hidden), -1, -1), hidden], 1)
    for number, prefix in enumerate(prefixes):
        block, shape = f"blocks.{number}.", (len(hidden), hidden.shape[1], 3, 2, 4)
        wide = linear(normed(hidden, f"{block}norm1"), *of(f"{block}attn.qkv"))
        q, k, v = wide.view(shape).permute(2, 0, 3, 1, 4)
        if prefix is not None:
            more = prefix.view(2, 1, -1, 2, 4).transpose(2, 3).expand(-1, len(hidden), -1, -1, -1)
            k, v = torch.cat([more[0], k], 2), torch.cat([more[1], v], 2)
        seen = (q @ k.transpose(2, 3) / 2).softmax(-1) @ v
        hidden = hidden + linear(seen.transpose(1, 2).flatten(2), *of(f"{block}attn.proj"))
        inner = gelu(linear(normed(hidden, f"{block}norm2"), *of(f"{block}mlp.fc1")))
        hidden = hidden + linear(inner, *of(f"{block}mlp.fc2"))
    return linear(normed(hidden[:, n], "norm"), state["head.weight"], state["head.bias"])
