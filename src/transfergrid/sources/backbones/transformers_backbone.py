"""Text models of the library transformers as backbones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from transfergrid.data.inputs import Inputs, Raw
from transfergrid.records.errors import BadInputError, ImpossibleError, as_line
from transfergrid.records.identity import digest
from transfergrid.sources.backbone import Language, evaluating
from transfergrid.sources.backbones import transformers_models, vocabulary
from transfergrid.sources.backbones.layered_backbone import LayeredBackbone
from transfergrid.sources.files import model_folder
from transfergrid.sources.preprocessing.text import MOST_WORDS, TextPreprocess

LENGTH = 5
"""Number of tokens of example inputs."""
TOKENS = 50
"""Distinct tokens in the texts of `check_company`; about every vocabulary has that many."""
COMPANY = 1e-3
"""Tolerance of `check_company`, as a share of the largest value: far above rounding errors."""
SANE = 10**6
"""A tokenizer whose `model_max_length` is larger has no limit."""
_POSITIONS = ("position_embeddings", "wpe", "embed_positions")


class TextModel(Protocol):
    """The settings of a text model; see `TransformersArchitecture`."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def options(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def max_length(self) -> int | None: ...  # noqa: D102
    @property
    def pooling(self) -> str: ...  # noqa: D102


class TextBackbone(LayeredBackbone):
    """A text encoder or decoder."""

    preprocess: TextPreprocess

    def __init__(
        self, network: nn.Module, architecture: str, preprocess: TextPreprocess, pooling: str
    ) -> None:
        """Wrap a network; `pooling` is "mean", "first" or "last"."""
        embedding = partial(pooled, how=pooling)
        super().__init__(network, architecture, preprocess, embedding, transformers_models.HEADS)
        config: Any = network.config
        # GPT-2 would embed token types as words; RoBERTa has a single type
        typed = (getattr(config, "type_vocab_size", None) or 0) > 1
        self.names = tuple(name for name in preprocess.names if typed or name != "token_type_ids")
        self.pooling = pooling
        self.language_head: dict[str, Tensor] = {}
        self._is_decoder: bool | None = None

    @classmethod
    def of(cls, architecture: TextModel, folder: Path, files: list[str] | None) -> TextBackbone:
        """Return the backbone that an architecture describes.

        Args:
            architecture: a checked one.
            folder: contains its config and tokenizer.
            files: weight files, all shards of one checkpoint; None for random weights.

        Raises:
            BadInputError: config, options, tokenizer and weights are inconsistent, or the model
                cannot be run here.
        """
        name = architecture.name
        config = transformers_models.read_config(folder, architecture.options, name)
        made = transformers_models.model_class(config, "input_ids", name)
        model_folder.check_text(folder)
        tokenizer = transformers_models.load_tokenizer(folder)
        _check_vocabulary(tokenizer, config, folder)
        network, notes, head = transformers_models.network(made, config, files, name, pooler=False)
        longest = _max_length(architecture.max_length, network, tokenizer, name)
        with _running(name):
            pooling = _pooling(architecture.pooling, network)
        told = [model_folder.content(folder), dict(architecture.options), longest, pooling]
        text = f"transformers {name} {digest(told)}"
        backbone = cls(network, text, TextPreprocess.of(tokenizer, longest), pooling)
        backbone.notes |= notes
        backbone.language_head = language_head(head)
        backbone.head_weights = {} if pooling == "mean" else head  # learned on one token
        with _running(name):
            backbone.check_company(name)
        return backbone

    def vocabulary(self) -> str:
        """See `Backbone.vocabulary`."""
        return vocabulary.told(self.preprocess.tokenizer, self.title)

    def learned_vocabulary(self, texts: Callable[[], Raw], size: int) -> str:
        """See `Backbone.learned_vocabulary`."""
        self.vocabulary()
        return vocabulary.trained(self.preprocess.tokenizer, texts(), size, self.title)

    def read_vocabulary(self, folder: str) -> str:
        """See `Backbone.read_vocabulary`."""
        tokenizer = transformers_models.load_tokenizer(Path(folder))
        if tokenizer.pad_token is None:
            raise ImpossibleError(f"{folder}: the tokenizer has no token for padding")
        return vocabulary.told(tokenizer, folder)

    def take_vocabulary(self, told: str) -> None:
        """See `Backbone.take_vocabulary`.

        Raises:
            ImpossibleError: the model counts positions from the padding token's number, and that
                number would change.
        """
        before = self.preprocess.tokenizer
        after = vocabulary.made(told, before)
        counts = any(
            isinstance(module, nn.Embedding)
            and path.endswith(_POSITIONS)
            and module.padding_idx is not None
            for path, module in self.network.named_modules()
        )
        if counts and before.pad_token_id != after.pad_token_id:
            raise ImpossibleError(
                f"{self.title} counts positions from its padding token, which a new vocabulary has "
                "elsewhere: keep the one that it has"
            )
        vocabulary.exchange(self.network.get_input_embeddings(), before, after)  # type: ignore[operator]
        self.preprocess = TextPreprocess.of(after, self.preprocess.max_length)
        self.architecture = f"{self.architecture}, tokens {self.preprocess.identity}"
        config: Any = self.network.config
        config.vocab_size, config.pad_token_id = len(after), after.pad_token_id
        known = len(before.get_vocab().keys() & after.get_vocab().keys())
        self.notes["vocabulary"] = {"tokens": len(after), "known": known}

    def check_company(self, name: str) -> None:
        """Raise unless a text's hidden states are the same alone and in a batch with a longer text.

        In models that mix all positions of an input and ignore its mask (FNet's Fourier transform,
        ConvBERT's convolutions, Funnel's pooling) they depend on the rest of the batch.

        Raises:
            BadInputError: they differ; `name` is for the message.
        """
        length = min(self.preprocess.max_length, 2 * LENGTH)
        short = max(1, length // 2)
        with evaluating(self), torch.no_grad():
            beside, alone = (
                self.network(
                    **self.arguments(self.unpacked(self._texts(lengths)))
                ).last_hidden_state[0, :short]
                for lengths in ([short, length], [short])
            )
        if (beside - alone).abs().max() <= COMPANY * alone.abs().max():
            return
        config: Any = self.network.config
        raise BadInputError(
            f"{name}: {config.model_type} ignores which tokens are padding: a text's "
            "embedding would depend on who shares its batch; take another model"
        )

    def _texts(self, lengths: list[int]) -> dict[str, Tensor]:
        """Return texts with these numbers of tokens, none of which is the padding token."""
        padding, device = self.preprocess.padding, next(self.parameters()).device
        most = self.network.get_input_embeddings().num_embeddings  # type: ignore[operator]
        places = torch.arange(max(lengths), device=device).repeat(len(lengths), 1)
        mask = (places < torch.tensor(lengths, device=device).unsqueeze(1)).long()
        tokens = (places + padding + 1) % max(2, min(most, TOKENS))
        tokens = torch.where(tokens == padding, (tokens + 1) % most, tokens)
        zeros = torch.zeros_like(tokens)
        known = {"input_ids": torch.where(mask == 1, tokens, padding), "attention_mask": mask}
        return {name: known.get(name, zeros) for name in self.preprocess_names}

    def language(self) -> Language:
        """See `Backbone.language`."""
        if self._is_decoder is None:
            self._is_decoder = is_decoder(self.network)
        tokenizer = self.preprocess.tokenizer
        return Language(
            hidden=self._hidden,
            table=self.network.get_input_embeddings().weight,  # type: ignore[operator]
            blocks=len(self.blocks("fine")),
            causal=self._is_decoder,
            mask=tokenizer.mask_token_id,
            special=tuple(sorted({*tokenizer.all_special_ids})),
            head=self.language_head,
        )

    def _hidden(self, inputs: Inputs) -> Tensor:
        found: Tensor = self.network(**self.arguments(self.unpacked(inputs))).last_hidden_state
        return found

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
        """Return texts that repeat token 0, with a mask that hides none of them."""
        device = next(self.parameters()).device
        zeros = torch.zeros(batch, LENGTH, dtype=torch.int64, device=device)
        return {name: zeros + (name == "attention_mask") for name in self.preprocess_names}

    @property
    def preprocess_names(self) -> tuple[str, ...]:
        """The names of all inputs that `preprocess` makes, even if the network takes only some."""
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


LANGUAGE_HEAD = {
    "dense": ("cls.predictions.transform.dense", "lm_head.dense", "vocab_transform"),
    "norm": ("cls.predictions.transform.LayerNorm", "lm_head.layer_norm", "vocab_layer_norm"),
    "": ("cls.predictions", "lm_head", "vocab_projector"),
}
"""Names of the parts of the masked-language-modelling head in BERT, RoBERTa and DistilBERT."""


def language_head(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a language-modelling head, or {} unless all are among those given."""
    found = {}
    for part, names in LANGUAGE_HEAD.items():
        for kind in ("weight", "bias") if part else ("bias",):
            own = next((given[f"{n}.{kind}"] for n in names if f"{n}.{kind}" in given), None)
            if own is None:
                return {}
            found[f"{part}.{kind}" if part else kind] = own
    return found


def pooled(output: Any, parts: tuple[Tensor, ...], how: str) -> Tensor:
    """Pool the hidden states (n, L, dim) of each text's tokens into one embedding (n, dim).

    Args:
        output: of the network.
        parts: its inputs; the first two are tokens and attention mask.
        how: "first" or "last" of the tokens that are not padding, or their "mean".
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


@contextmanager
def _running(name: str) -> Iterator[None]:
    """Turn errors of a network's forward pass into a `BadInputError` of one line."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
        reason = as_line(error, 200)
        raise BadInputError(f"{name} cannot be run on a few tokens: {reason}") from error


def _pooling(pooling: str, network: nn.Module) -> str:
    if pooling != "auto":
        return pooling
    return "last" if is_decoder(network) else "mean"


def is_decoder(network: nn.Module) -> bool:
    """Return whether attention is causal: changing the last token changes no other hidden state."""
    most = network.get_input_embeddings().num_embeddings  # type: ignore[operator]
    device = next(network.parameters()).device
    tokens = torch.arange(LENGTH, device=device).remainder(most).view(1, -1)
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
    """Return after how many tokens texts are truncated.

    Raises:
        BadInputError: `asked` is more than the model takes.
    """
    limits = [MOST_WORDS, *_limits(network)]
    if tokenizer.model_max_length < SANE:
        limits.append(int(tokenizer.model_max_length))
    longest = min(limits)
    if asked is not None and asked > longest:
        raise BadInputError(f"max_length={asked}: {name} takes no more than {longest} tokens")
    return longest if asked is None else asked


def _limits(network: nn.Module) -> list[int]:
    """Return limits on a network's number of positions; some models reserve the first ones."""
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
