"""Text models of transformers as backbones."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from transfergrid.errors import BadInputError
from transfergrid.identity import digest
from transfergrid.sources import model_folder, transformers_models
from transfergrid.sources.backbone import Inputs, evaluating
from transfergrid.sources.layered_backbone import LayeredBackbone
from transfergrid.sources.text import MOST_WORDS, TextPreprocess

if TYPE_CHECKING:
    from transfergrid.sources.transformers import TransformersArchitecture

LENGTH = 5
"""Tokens of example inputs."""
SANE = 10**6
"""Tokenizers without a limit name a number beyond this."""
_POSITIONS = ("position_embeddings", "wpe", "embed_positions")


class TextBackbone(LayeredBackbone):
    """A text encoder or decoder."""

    def __init__(
        self, network: nn.Module, architecture: str, preprocess: TextPreprocess, pooling: str
    ) -> None:
        """Wrap a network; `pooling` is "mean", "first" or "last"."""
        embedding = partial(pooled, how=pooling)
        super().__init__(network, architecture, preprocess, embedding, transformers_models.HEADS)
        config: Any = network.config
        # GPT-2 takes token types for further words, RoBERTa knows but one
        typed = (getattr(config, "type_vocab_size", None) or 0) > 1
        self.names = tuple(name for name in preprocess.names if typed or name != "token_type_ids")
        self.pooling = pooling

    @classmethod
    def of(
        cls, architecture: TransformersArchitecture, folder: Path, files: list[str] | None
    ) -> TextBackbone:
        """Return what an architecture describes.

        Args:
            architecture: checked already.
            folder: with its config and tokenizer.
            files: weights, all parts of one checkpoint; None for random ones.

        Raises:
            BadInputError: parts of it do not go together.
        """
        name = architecture.name
        config = transformers_models.read_config(folder, architecture.options, name)
        made = transformers_models.model_class(config, "input_ids", name)
        model_folder.check_text(folder)
        tokenizer = transformers_models.load_tokenizer(folder)
        _check_vocabulary(tokenizer, config, folder)
        network, notes = transformers_models.network(made, config, files, name, pooler=False)
        longest = _max_length(architecture.max_length, network, tokenizer, name)
        pooling = _pooling(architecture.pooling, network)
        told = [model_folder.content(folder), dict(architecture.options), longest, pooling]
        text = f"transformers {name} {digest(told)}"
        backbone = cls(network, text, TextPreprocess.of(tokenizer, longest), pooling)
        backbone.notes |= notes
        return backbone

    def unpacked(self, inputs: Inputs) -> tuple[Tensor, ...]:
        """See `LayeredBackbone.unpacked`."""
        assert isinstance(inputs, dict)
        return tuple(inputs[name] for name in self.names)

    def arguments(self, parts: tuple[Tensor, ...]) -> dict[str, Any]:
        """See `LayeredBackbone.arguments`."""
        return {**dict(zip(self.names, parts, strict=True)), "return_dict": True}

    def beside(self, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """See `LayeredBackbone.beside`."""
        return parts

    def restored(self, hidden: Tensor, kept: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """See `LayeredBackbone.restored`."""
        return kept

    def example(self, batch: int = 1) -> dict[str, Tensor]:
        """Return texts of the same few tokens, none of which is padding."""
        device = next(self.parameters()).device
        zeros = torch.zeros(batch, LENGTH, dtype=torch.int64, device=device)
        return {name: zeros + (name == "attention_mask") for name in self.preprocess_names}

    @property
    def preprocess_names(self) -> tuple[str, ...]:
        """The names of all inputs that are made, whether or not the network takes them."""
        assert isinstance(self.preprocess, TextPreprocess)
        return self.preprocess.names

    def sample(self, number: int) -> dict[str, Tensor]:
        """Return two texts of unequal lengths."""
        inputs = self.example(2)
        most = self.network.get_input_embeddings().num_embeddings  # type: ignore[operator]
        tokens = torch.arange(2 * LENGTH, device=inputs["input_ids"].device).view(2, LENGTH)
        inputs["input_ids"] = (3 * tokens + 2 + number) % most
        inputs["attention_mask"][1, LENGTH - 1] = 0
        return inputs


def pooled(output: Any, parts: tuple[Tensor, ...], how: str) -> Tensor:
    """Return one embedding (n, dim) for the hidden states (n, L, dim) of each text's tokens.

    Args:
        output: of the network.
        parts: its inputs, tokens and attention mask first.
        how: "first" or "last" of the real tokens, or their "mean".
    """
    hidden, mask = output.last_hidden_state, parts[1]
    if how == "first":
        first: Tensor = hidden[:, 0]
        return first
    if how == "last":
        last: Tensor = hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]
        return last
    real = mask.unsqueeze(-1).to(hidden.dtype)
    mean: Tensor = (hidden * real).sum(1) / real.sum(1).clamp(min=1)
    return mean


def _pooling(pooling: str, network: nn.Module) -> str:
    if pooling != "auto":
        return pooling
    return "last" if is_decoder(network) else "mean"


def is_decoder(network: nn.Module) -> bool:
    """Tell whether each token is seen by those after it only, by changing the last one."""
    most = network.get_input_embeddings().num_embeddings  # type: ignore[operator]
    tokens = torch.arange(LENGTH).remainder(most).view(1, -1)
    other = tokens.clone()
    other[0, -1] = (other[0, -1] + 1) % most
    mask = torch.ones_like(tokens)
    with evaluating(network), torch.no_grad():
        one, two = (
            network(input_ids=t, attention_mask=mask).last_hidden_state[:, :-1]
            for t in (tokens, other)
        )
    return torch.equal(one, two)


def _max_length(asked: int | None, network: nn.Module, tokenizer: Any, name: str) -> int:
    """Return after how many tokens texts are cut.

    Raises:
        BadInputError: more were asked for than the model takes.
    """
    limits = [MOST_WORDS, *_limits(network)]
    if tokenizer.model_max_length < SANE:
        limits.append(int(tokenizer.model_max_length))
    longest = min(limits)
    if asked is not None and asked > longest:
        raise BadInputError(f"max_length={asked}: {name} takes no more than {longest} tokens")
    return longest if asked is None else asked


def _limits(network: nn.Module) -> list[int]:
    """Return how many positions a network has; some families keep the first for padding."""
    told = getattr(network.config, "max_position_embeddings", None)
    found = [told] if isinstance(told, int) and told > 0 else []
    for path, module in network.named_modules():
        if isinstance(module, nn.Embedding) and path.endswith(_POSITIONS):
            skipped = 0 if module.padding_idx is None else module.padding_idx + 1
            found.append(module.num_embeddings - skipped)
    return found


def _check_vocabulary(tokenizer: Any, config: Any, folder: Path) -> None:
    known = getattr(config, "vocab_size", None)
    if isinstance(known, int) and len(tokenizer) > known:
        raise BadInputError(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens, the model {known}: "
            "they do not belong together"
        )
