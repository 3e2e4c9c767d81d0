"""Strategies on a real transformer, tiny: nothing in them knows what a text is."""

from dataclasses import replace

import pytest
import torch

from small_models import pretrained
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import config_of
from transfergrid.records.identity import config_digest
from transfergrid.records.ledgers.cached import Store
from transfergrid.records.tracking.tracker import NoTracker
from transfergrid.records.training import Training
from transfergrid.runs.cost import Stopwatch
from transfergrid.runs.machine import Machine, quiet
from transfergrid.runs.pretraining import SourceMaker
from transfergrid.sources.trained_here import TrainedHere
from transfergrid.sources.transformers import TransformersArchitecture, TransformersSource
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.distillation.attention_transfer import AttentionTransfer
from transfergrid.strategies.distillation.distillation import Distillation
from transfergrid.strategies.distillation.fitnets import Fitnets
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.fine_tuning.layerwise_lr import LayerwiseLR
from transfergrid.strategies.fine_tuning.network_surgery import NetworkSurgery
from transfergrid.strategies.held_near.delta import DELTA
from transfergrid.strategies.phases import Objective, Phase
from transfergrid.testing import cutting, keeping
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny_text import TinyTextDomain, TinyTextSource


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> TransformersSource:
    folder = pretrained(tmp_path_factory.mktemp("strategies"), "bert")
    architecture = TransformersArchitecture(folder=str(folder))
    return TransformersSource(architecture, domain=TinyTextDomain(shift=0.4))


def bench(source, strategy, **arguments) -> Bench:
    return Bench(strategy, arguments, domain=TinyTextDomain, source=source)


def test_layerwise_rates_begin_with_the_embeddings(source):
    setup = bench(source, LayerwiseLR, decay=0.5).set_up(10)
    head, *blocks = setup.strategy.phases()[0].learning()
    groups = [head, *blocks[::-1]]
    assert [group.name for group in groups][-1] == "stem"
    assert groups[-1].factor == min(group.factor for group in groups) == 0.5**4
    words = setup.backbone.network.get_input_embeddings().weight
    assert any(parameter is words for parameter in groups[-1].parameters)


def test_frozen_features_are_those_of_the_source(source):
    run = bench(source, FeatureExtraction).run(10)
    kept = source.initial().state_dict()
    learned = {n.removeprefix("backbone."): v for n, v in run.state.items() if "backbone." in n}
    assert kept.keys() == learned.keys()
    assert all(torch.equal(kept[name], value) for name, value in learned.items())


def test_fine_tuning_moves_every_layer(source):
    run, start = bench(source, FullFinetuning).run(10), source.initial()
    for block in start.blocks():
        now = {name: run.state[f"backbone.{name}"] for name in block.parameters}
        assert any(not torch.equal(start.get_parameter(name), now[name]) for name in now)


def test_a_larger_transformer_teaches_a_smaller_one(source):
    student = TransformersArchitecture(
        folder=source.architecture.folder,
        options={"num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 8},
    )
    run = bench(source, Distillation, teacher=FullFinetuning(), student=student).run(10)
    assert run.setup.strategy.backbone.dim == 8
    assert run.setup.strategy.teacher.backbone.dim == 16


@pytest.mark.parametrize("kind", [Fitnets, AttentionTransfer])
def test_layers_of_a_larger_transformer_teach_those_of_a_smaller_one(source, kind):
    student = TransformersArchitecture(
        folder=source.architecture.folder,
        options={"num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 8},
    )
    run = bench(source, kind, teacher=FullFinetuning(), student=student).run(10)
    plain = bench(source, kind, teacher=FullFinetuning(), student=student, weight=0.0).run(10)
    assert any(not torch.equal(run.state[name], value) for name, value in plain.state.items())
    if kind is Fitnets:  # three of the teacher's blocks make two layers, two of the student's one
        assert (run.setup.strategy.guide, run.setup.strategy.guided) == (1, 0)


def test_a_transformer_is_trained_further_here(source, tmp_path):
    plan = Training(steps=4, batch_size=8, validations=1, lr=0.01)
    made = TrainedHere(source.architecture, TinyTextDomain(shift=0.4), plan, start=source)
    made.check()
    quiet()
    maker = SourceMaker(tmp_path, Machine(accelerator="cpu"), NoTracker(), Stopwatch())
    start, trained = source.initial(), made.load(maker, 0)
    words = "network.embeddings.word_embeddings.weight"
    assert not torch.equal(start.state_dict()[words], trained.state_dict()[words])
    moved = (start.state_dict()[words] - trained.state_dict()[words]).abs().max()
    assert moved < 0.1  # by four steps from the start's weights, not from other random ones


class LastLayer(Strategy):
    """Embeddings and the first layers stand still; the last one learns, with the head."""

    def phases(self):
        first = len(self.backbone.blocks("fine")) - 1
        return [
            Phase("last", [Objective(self.loss, [self.head_group(), *self.block_groups(first)])])
        ]


@pytest.mark.parametrize(("augmentation", "views"), [("none", None), ("light", 2)])
def test_layers_before_those_that_learn_are_run_once_a_text(source, tmp_path, augmentation, views):
    plan = Training(steps=8, batch_size=8, validations=2, augmentation=augmentation, views=views)
    passed = []

    def run(machine):
        own = replace(bench(source, LastLayer), training=plan, machine=machine)
        setup = own.set_up(10)
        words = setup.backbone.network.get_input_embeddings()
        passed.clear()
        handle = words.register_forward_hook(lambda m, told, out: passed.append(told[0]))
        done = own.learn(setup)
        handle.remove()
        return done

    plain = run(Machine(accelerator="cpu"))
    often = sum(map(len, passed))
    store = Store(tmp_path, 2**30)
    kept = run(Machine(accelerator="cpu", store=store))
    rows = sum(entry.rows for entry in store.entries())
    passes = sum(len(torch.unique(tokens, dim=0)) for tokens in passed)  # others fill a batch
    assert passes <= rows + 10 < often, "and a few by which networks are tried"
    before = len(plain.setup.backbone.blocks()) - 1
    assert {entry.about["blocks"] for entry in store.entries()} == {before}
    again = run(Machine(accelerator="cpu", store=Store(tmp_path, 2**30)))
    for found in (kept, again):
        for name, value in plain.state.items():
            torch.testing.assert_close(found.state[name], value, rtol=1e-5, atol=1e-5, msg=name)
        torch.testing.assert_close(found.predictions, plain.predictions, rtol=1e-5, atol=1e-5)


def test_dropout_before_the_cut_is_not_run_ahead(tmp_path):
    class LastOfTiny(LastLayer):
        pass

    store = Store(tmp_path, 2**30)
    plan = Training(steps=4, batch_size=8, validations=1, augmentation="none")
    own = Bench(LastOfTiny, domain=TinyTextDomain, source=TinyTextSource(), training=plan)
    own = replace(own, machine=Machine(accelerator="cpu", store=store))
    own.run(10)
    assert store.entries() == []


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ({"cut": 2}, (0, 1)),
        ({"cut": 2, "rest": "dropped"}, (0, 1)),
        ({"cut": 2, "keep": "last", "rest": "dropped"}, (0, 2, 3)),  # the stem leads to any layer
    ],
)
def test_it_is_cut_between_its_layers(source, arguments, kept):
    run = bench(source, NetworkSurgery, kept="frozen", **arguments).run(10)
    strategy, start = run.setup.strategy, source.initial()
    state, blocks = start.state_dict(), start.blocks()
    assert len(blocks) == 4
    names = {n.split("encoder.")[-1] for i in kept for n in blocks[i].parameters}
    found = {n.split("encoder.")[-1]: v for n, v in strategy.backbone.named_parameters()}
    same = {
        n.split("encoder.")[-1]
        for n in state
        if (own := found.get(n.split("encoder.")[-1])) is not None and torch.equal(own, state[n])
    }
    assert {n for n in names if "layer." in n} == {n for n in same if "layer." in n}


def test_a_new_vocabulary_is_of_the_training_texts_and_goes_along_with_the_model(source):
    tokens = bench(source, NetworkSurgery, vocabulary=70, cut=2)
    setup = tokens.set_up(10)
    texts = [setup.target.loaded.pool.read([row])[0] for row in setup.data.train.indices]
    expected = source.initial()
    expected.take_vocabulary(expected.learned_vocabulary(lambda: texts, 70))
    assert setup.preprocess == expected.preprocess != source.initial().preprocess
    assert setup.source_card["notes"]["vocabulary"]["tokens"] == len(setup.preprocess.tokenizer)
    keeping.kept_and_used(tokens)
    cutting.cut_and_resumed(tokens)


def test_a_tokenizer_of_a_folder_takes_the_place_of_the_sources(source, tmp_path):
    learned = bench(source, NetworkSurgery, vocabulary=70, cut=2)
    tokenizer = learned.set_up(10).preprocess.tokenizer
    tokenizer.save_pretrained(tmp_path / "tokens")
    brought = bench(source, NetworkSurgery, tokenizer=str(tmp_path / "tokens"), cut=2)
    one, other = learned.run(10), brought.run(10)
    assert other.setup.preprocess.tokenizer.get_vocab() == tokenizer.get_vocab()
    assert torch.equal(one.predictions, other.predictions)
    keeping.kept_and_used(brought)
    with pytest.raises(BadInputError, match="the tokenizer cannot be read"):
        bench(source, NetworkSurgery, tokenizer=str(tmp_path / "none")).set_up(10)
    with pytest.raises(BadInputError, match="give one of them"):
        NetworkSurgery(vocabulary=70, tokenizer="tokens")


def test_a_tokenizer_joins_identity_by_its_content(source, tmp_path):
    tokenizer = source.initial().preprocess.tokenizer
    for name in ("one", "other"):
        tokenizer.save_pretrained(tmp_path / name)
    made = [config_of(NetworkSurgery(tokenizer=str(tmp_path / name))) for name in ("one", "other")]
    assert config_digest(made[0]) == config_digest(made[1])
    (tmp_path / "other" / "more.txt").write_text("another")
    assert config_digest(made[0]) != config_digest(made[1])


def test_maps_of_its_layers_are_held_to_the_source(source):
    plan = Training(steps=4, batch_size=8, validations=1, weight_decay=0.0)
    plain, free, held = (
        replace(bench(source, kind, **told), training=plan).run(10)
        for kind, told in (
            (FullFinetuning, {"lr_factor": 0.3}),
            (DELTA, {"alpha": 0.0, "beta": 0.0, "lr_factor": 0.3}),
            (DELTA, {"lr_factor": 0.3}),
        )
    )
    assert held.setup.strategy.cuts == [1, 2, 3, 4]
    assert all(len(held.setup.strategy.attended(cut)) == 16 for cut in (1, 2, 3, 4))
    assert all(torch.equal(value, free.state[name]) for name, value in plain.state.items())
    assert not torch.equal(held.predictions, plain.predictions)
