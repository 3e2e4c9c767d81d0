"""Cut the source at a block: keep one side, re-initialise or drop the other, graft a neck."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from transfergrid.data.inputs import Inputs, Raw
from transfergrid.data.torch_seed import seed_torch
from transfergrid.records.seeds import stream_seed
from transfergrid.sources.backbone import Backbone, Block
from transfergrid.sources.backbones.shortened import BeforeCut, BehindCut
from transfergrid.strategies import (
    BadInputError,
    Baselines,
    Count,
    Granularity,
    Group,
    ImpossibleError,
    Needs,
    Objective,
    Phase,
    Sizes,
    Strategy,
    rates,
)
from transfergrid.strategies.beside.standing import head_on

Neck = Literal["linear", "mlp", "bottleneck"]


def place_of(cut: int, backbone: Backbone, granularity: Granularity) -> int:
    """Return the number of blocks before a cut; a negative cut is counted from the head.

    Raises:
        ImpossibleError: the network has fewer blocks.
    """
    count = len(backbone.blocks(granularity))
    if not -count <= cut <= count:
        raise ImpossibleError(
            f"strategy.cut={cut}: {backbone.title} has {count} {granularity} blocks, so the cut is "
            f"from 0 to {count}, or from -1 to -{count} counted from the head"
        )
    return cut if cut >= 0 else count + cut


def take_over(blocks: Iterable[Block], of: Backbone, to: Backbone) -> None:
    """Copy the parameters and buffers of some blocks to a backbone of the same architecture."""
    theirs, ours = (
        {**dict(b.named_parameters(remove_duplicate=False)), **dict(b.named_buffers())}
        for b in (of, to)
    )
    with torch.no_grad():
        for block in blocks:
            for name in (*block.parameters, *block.buffers):
                ours[name].copy_(theirs[name])


class NetworkSurgery(Strategy):
    """The blocks on one side of a cut come from the source, tuned or frozen; the others do not.

    Re-initialised blocks have the initial weights of `scratch`, the same in all arms of a seed
    block; so do head and neck. With nothing kept this strategy is `scratch`; with all blocks kept
    and tuned it is `full_finetuning`, kept and frozen `feature_extraction`. Yosinski's arms are AnB
    (`kept=frozen`) and AnB+ (`tuned`); `self_transfer` has BnB and BnB+. A frozen block keeps its
    running statistics and has no dropout. Where last blocks are dropped, the head gets the mean
    over all places.

    Formula:
        W = (source's W_1 ... W_k, new W_(k+1) ... W_B), head on neck(f_W(x))

    Try it:
        To learn how much of a source transfers; with few labels, where the source's last blocks are
        too specific to its own classes. Dropping them also makes the network smaller.

    Cost:
        Full fine-tuning's where the kept blocks are tuned. Less where leading blocks are frozen
        (their outputs are cached) or blocks are dropped, which do not run at prediction either.

    Source:
        Yosinski et al. 2014, How Transferable are Features in Deep Neural Networks? (arXiv
        1411.1792), section 3; last blocks re-initialised: Zhang et al. 2021 (arXiv 2006.05987).

    Args:
        cut: number of blocks before the cut, from 0 to all; a negative number counts from the head.
        keep: which blocks are kept: the `first` ones, before the cut, or the `last`, after it.
        kept: whether the kept blocks are `tuned` or `frozen`.
        rest: whether the other blocks are `new` or `dropped`. Where the first blocks are dropped,
            the stem stays if its outputs have the shape that the first kept block takes; otherwise
            a new stem replaces it.
        neck: what is put between features and head: a `linear` layer, an `mlp` of two layers with a
            ReLU between, or a residual `bottleneck`, which starts as the identity; null: nothing.
        width: width of the neck's outputs, or of a bottleneck's inner layer; null: the features'
            width, or a quarter of it for a bottleneck.
        vocabulary: for texts: the most tokens of a new tokenizer that is trained on the target's
            labelled training texts. Tokens that the source knew keep their embeddings; a new token
            gets the mean embedding of the old tokens that spell it. Null keeps the tokenizer.
        tokenizer: for texts: a folder with another tokenizer, saved by transformers, such as one
            for another language or field. It replaces the source's as that of `vocabulary` does.
        granularity: what is counted: `coarse` blocks (stages) or `fine` ones (layers).
        shared: see `Strategy`.
    """

    needs = Needs(layers="some")
    baselines = Baselines(exploratory=["feature_extraction", "full_finetuning"])
    space = {"lr_factor": rates(0.95, brief=0.3, small_images=0.095, images=3.2, text=0.095)}
    paths = ("tokenizer",)
    optional = ("vocabulary", "tokenizer")
    also_called = ("yosinski", "surgery", "reinitialise", "reinit", "layer_transfer")
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        cut: int = -1,
        keep: Literal["first", "last"] = "first",
        kept: Literal["tuned", "frozen"] = "tuned",
        rest: Literal["new", "dropped"] = "new",
        neck: Neck | None = None,
        width: Count | None = None,
        vocabulary: Count | None = None,
        tokenizer: str | None = None,
        granularity: Literal["coarse", "fine"] = "coarse",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.cut_before, self.keep, self.kept, self.rest = cut, keep, kept, rest
        self.neck_kind, self.width, self.granularity = neck, width, granularity
        if vocabulary is not None and tokenizer is not None:
            raise BadInputError(
                f"strategy.vocabulary={vocabulary} learns a tokenizer and strategy.tokenizer="
                f"{tokenizer} is one: give one of them"
            )
        self.vocabulary, self.tokenizer = vocabulary, tokenizer

    @property
    def _has_own_tokens(self) -> bool:
        return self.vocabulary is not None or self.tokenizer is not None

    def fit_inputs(self, backbone: Backbone, training: Callable[[], Raw]) -> None:
        if self.vocabulary is not None:
            backbone.take_vocabulary(backbone.learned_vocabulary(training, self.vocabulary))
        elif self.tokenizer is not None:
            backbone.take_vocabulary(backbone.read_vocabulary(self.tokenizer))

    def restore(self, state: Mapping[str, Tensor]) -> None:
        if self._has_own_tokens and "tokens" in state:
            self.backbone.take_vocabulary(bytes(state["tokens"].tolist()).decode())
        super().restore(state)

    def build(self, sizes: Sizes) -> None:
        if self._has_own_tokens:
            told = self.backbone.vocabulary().encode()
            self.register_buffer("tokens", torch.tensor([*told], dtype=torch.uint8))
            if sizes.target and "vocabulary" not in self.backbone.notes:
                raise ImpossibleError("new tokens are for a cell's own network, no teacher")
        blocks = self.backbone.blocks(self.granularity)
        place = place_of(self.cut_before, self.backbone, self.granularity)
        mine = range(place) if self.keep == "first" else range(place, len(blocks))
        others = [i for i in range(len(blocks)) if i not in mine]
        if self.rest == "new":
            if others:
                take_over([blocks[i] for i in others], self._fresh_network(), self.backbone)
            self.kept_numbers = set(mine)
        else:
            self._drop(place, len(mine), len(others))
        self._graft()

    def _fresh_network(self) -> Backbone:
        made = self.fresh("backbone")
        if self._has_own_tokens:
            made.take_vocabulary(self.backbone.vocabulary())
        return made

    def _drop(self, place: int, mine: int, others: int) -> None:
        """Drop the blocks that are not kept."""
        if not mine:
            raise ImpossibleError(
                f"strategy.cut={self.cut_before} leaves no block of {self.backbone.title}: keep "
                "some, or take strategy.rest=new"
            )
        new = 0
        if others:
            part = BeforeCut if self.keep == "first" else BehindCut
            self.backbone = part(self.backbone, place, self.granularity)
            new = int(isinstance(self.backbone, BehindCut) and self.backbone.is_new)
            self.head = head_on(self, self.backbone.dim)
        count = len(self.backbone.blocks(self.granularity))
        self.kept_numbers = set(range(new, count))

    def _graft(self) -> None:
        """Put a neck between features and head."""
        if self.neck_kind is None:
            return
        dim = self.backbone.dim
        inner = self.width or (max(1, dim // 4) if self.neck_kind == "bottleneck" else dim)
        kinds: dict[str, Callable[[int, int], nn.Module]]
        kinds = {"linear": nn.Linear, "mlp": mlp, "bottleneck": Bottleneck}
        seed_torch(stream_seed(self.block_seed, "neck"))
        self.neck = kinds[self.neck_kind](dim, inner)
        self.head = head_on(self, dim if self.neck_kind == "bottleneck" else inner)

    def inherited(self) -> list[nn.Parameter]:
        blocks = self.block_groups(granularity=self.granularity)
        return [
            p for i, block in enumerate(blocks) if i in self.kept_numbers for p in block.parameters
        ]

    @property
    def starts_once(self) -> str:
        return "it cuts the source as it came, and what it makes anew would learn before its time"

    def phases(self) -> list[Phase]:
        blocks = self.block_groups(granularity=self.granularity)
        still = self.kept_numbers if self.kept == "frozen" else set()
        learns = [group for i, group in enumerate(blocks) if i not in still]
        if self.neck_kind is not None:
            learns.insert(0, Group("grafted neck", self.neck.parameters()))
        return [Phase("train", [Objective(self.loss, [self.head_group(), *learns])])]

    def predict(self, inputs: Inputs) -> Tensor:
        features = self.features(inputs)
        outputs: Tensor = self.head(features if self.neck_kind is None else self.neck(features))
        return outputs


def mlp(dim: int, width: int) -> nn.Module:
    """Return two linear layers of this width with a ReLU between."""
    return nn.Sequential(nn.Linear(dim, width), nn.ReLU(), nn.Linear(width, width))


class Bottleneck(nn.Module):
    """x + up(relu(down(x))) on features (batch, dim); the identity at first, as `up` is 0."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(dim, width), nn.Linear(width, dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        changed: Tensor = self.up(torch.relu(self.down(features)))
        return features + changed
