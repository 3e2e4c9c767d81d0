"""What a strategy may see of target and source domain, by its declared needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from transfergrid.data.budgets import Draw
from transfergrid.data.inputs import Preprocess
from transfergrid.data.label_noise import noisy
from transfergrid.data.opened import OpenDomain
from transfergrid.data.plain_features import PlainFeatures
from transfergrid.data.streams import CellData
from transfergrid.data.text import TextExamples
from transfergrid.data.views import Prepared, View
from transfergrid.records.factory import Config
from transfergrid.records.identity import known_domain, learned_domain
from transfergrid.records.ledgers.cached import Store
from transfergrid.records.needs import Needs
from transfergrid.records.pairs import Pair
from transfergrid.records.seeds import generator, stream_seed
from transfergrid.records.several import parts_of
from transfergrid.runs.selection.held_out import held_out
from transfergrid.runs.source_copies import SourceCopies
from transfergrid.sources.backbone import Backbone
from transfergrid.strategies.base import Sizes


def pair_of(
    source: Config | None, needs: Needs, target: OpenDomain, store: Store | None = None
) -> Pair | None:
    """Return how the classes of a source's domain relate to those of the target.

    None if a strategy with these needs does not know the source's classes, or for numbers.
    """
    domain = known_domain(source, needs)
    if domain is None or not target.loaded.classes:
        return None
    theirs = OpenDomain(domain, store).loaded
    both = (theirs, target.loaded)
    counts = [np.bincount(one.pool.labels, minlength=len(one.classes)).tolist() for one in both]
    return Pair.of(
        *(dict(zip(o.classes, c, strict=True)) for o, c in zip(both, counts, strict=True))
    )


def seen_classes(
    source: Config | None, needs: Needs, target: OpenDomain, store: Store | None = None
) -> tuple[str, ...] | None:
    """Return the target's classes that the source has examples of, in the target's order.

    None if the strategy does not tell classes by descriptions.
    """
    if not needs.describes or not target.loaded.classes:
        return None
    domain = learned_domain(source, needs)
    theirs = OpenDomain(domain, store).loaded.classes if domain is not None else ()
    return tuple(name for name in target.loaded.classes if name in theirs)


def target_data(target: OpenDomain, drawn: Draw, needs: Needs, preprocess: Preprocess) -> CellData:
    """Return the target data that a strategy with these needs may see."""

    def part(indices: NDArray[np.int64]) -> View | None:
        return target.view("pool", preprocess, indices) if len(indices) else None

    data = CellData(target.task, part(drawn.train), part(drawn.judging))
    if needs.target_labels == "unused":
        data.train = data.validation = None
    if data.train is not None:
        data.task = data.task.fitted(torch.from_numpy(data.train.labels))
    attributes = target.loaded.attributes
    if needs.classes == "described" and attributes is not None:
        data.attributes = torch.from_numpy(attributes)
    if needs.unlabelled:
        hidden = np.empty(0, dtype=np.int64)
        indices = drawn.unlabelled
        data.unlabelled = View(target.view("pool", preprocess, indices).prepared, indices, hidden)
    return data


def add_taught(
    data: CellData, target: OpenDomain, drawn: Draw, needs: Needs, preprocess: Preprocess
) -> None:
    """Add the target data as the teacher takes them, if its preprocessing is a different one."""
    views = (data.train, data.validation)
    if any(view is not None and view.prepared.preprocess != preprocess for view in views):
        data.taught = replace(target_data(target, drawn, needs, preprocess), task=data.task)


def add_named(data: CellData, target: OpenDomain, backbone: Backbone) -> None:
    """Add the texts of the target's classes as inputs, if the backbone takes texts."""
    words = backbone.words()
    if words is None:
        return
    texts = target.domain.class_texts
    labels = np.repeat(np.arange(len(texts), dtype=np.int64), [len(own) for own in texts])
    examples = TextExamples([text for own in texts for text in own], labels)
    rows = np.arange(len(labels), dtype=np.int64)
    data.named = View(Prepared(examples, words.preprocess), rows, labels)


def add_source_domains(
    data: CellData,
    domain: Config,
    needs: Needs,
    preprocess: Preprocess,
    copies: SourceCopies,
    store: Store | None = None,
    noise: tuple[float, int] | None = None,
) -> None:
    """Add the source domain to a cell's data; several domains as their union, or one by one.

    They are added one by one if the strategy needs two domains or more.

    Args:
        data: the cell's data, which is changed.
        domain: config of the source domain, or of several.
        needs: the strategy's needs.
        preprocess: the backbone's preprocessing.
        copies: says which source examples may be learned from.
        store: where prepared images are kept.
        noise: the share of source labels drawn at random, and the seed; None: no label noise.
    """
    if needs.domains < 2:
        add_source_domain(data, domain, needs, preprocess, copies.kept, store, noise)
        return
    parts = parts_of(domain)
    for number, part in enumerate(parts):
        some = copies.each[number] if copies.each else None
        own = (noise[0], stream_seed(noise[1], "domain", number)) if noise is not None else None
        add_source_domain(data, part, needs, preprocess, some, store, own)


def add_source_domain(
    data: CellData,
    domain: Config,
    needs: Needs,
    preprocess: Preprocess,
    kept: NDArray[np.int64] | None = None,
    store: Store | None = None,
    noise: tuple[float, int] | None = None,
) -> None:
    """Add one source domain, or only its examples at the places `kept`, to a cell's data.

    With `noise` (share, seed) that share of the labels is drawn at random. A strategy that needs no
    source labels gets none. If the data hold examples out (`holds_out`), they are not learned from.

    If the strategy needs the same classes, labels are mapped to the target's order. If the target
    has no labels to learn from, its task is then fitted to the source labels.
    """
    source = OpenDomain(domain, store)
    if kept is None:
        view = source.whole("pool", preprocess)
    else:
        view = source.view("pool", preprocess, kept)
    task = source.task
    if noise is not None:
        share, seed = noise
        view.labels = noisy(view.labels, share, task.outputs, generator(seed, "label noise"))
    if needs.classes == "same":
        view.labels = data.task.in_order(view.labels, task.names)
        if data.train is None:
            data.task = data.task.fitted(torch.from_numpy(view.labels))
        task = data.task
    else:
        task = task.fitted(torch.from_numpy(view.labels))
    if data.holds_out is not None:
        held = held_out(view.labels, data.holds_out, len(data.source))
        data.held_out += (view.part(np.flatnonzero(held)),)
        view = view.part(np.flatnonzero(~held))
    if needs.classes == "described" and source.loaded.attributes is not None:
        data.described += (torch.from_numpy(source.loaded.attributes),)
    if not needs.source_labels:
        view = replace(view, labels=view.labels[:0])
    data.source += (view,)
    data.source_tasks += (task,)


def sizes_of(data: CellData, backbone: Backbone | None) -> Sizes:
    """Return the sizes of a cell's streams, inputs and descriptions."""

    def size(view: View | None) -> int:
        return len(view) if view is not None else 0

    inputs, seen = 0, data.train if data.train is not None else data.unlabelled
    if backbone is None and seen is not None:
        seen.inputs(seen.rows[:1])
        features = seen.prepared.preprocess
        inputs = features.width if isinstance(features, PlainFeatures) else 0
    source = tuple(len(view) for view in data.source)
    described = 0 if data.attributes is None else data.attributes.shape[1]
    names = (_names(data.train), _names(data.train, *data.source))
    return Sizes(size(data.train), size(data.unlabelled), source, inputs, described, *names)


def _names(*views: View | None) -> tuple[int, int]:
    """Return how many different matrix rows and columns the entries in these views refer to."""
    told = [view for view in views if view is not None]
    if not told or not all(isinstance(one.prepared.preprocess, PlainFeatures) for one in told):
        return 0, 0
    numbers = [one.prepared.rows(one.indices) for one in told if one.of_entries]
    if not numbers:
        return 0, 0
    rows, columns = torch.cat(numbers).T  # type: ignore[arg-type]
    return len(rows.unique()), len(columns.unique())
