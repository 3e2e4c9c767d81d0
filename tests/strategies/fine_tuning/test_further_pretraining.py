"""Learning on from unlabelled texts: what is hidden, what is minimised, and what comes after."""

import numpy as np
import pytest
import torch
from step_seeds import seed
from torch.nn.functional import cross_entropy, gelu
from trajectories import same, trajectory

from golden import golden
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.records.training import Training
from transfergrid.sources.backbone import Language
from transfergrid.strategies.baselines.majority import Majority
from transfergrid.strategies.beside.side_tuning import SideTuning
from transfergrid.strategies.closed_form.knn import KNN
from transfergrid.strategies.closed_form.logistic_probe import LogisticProbe
from transfergrid.strategies.distillation.self_distillation import SelfDistillation
from transfergrid.strategies.few_parameters.bitfit import Bitfit
from transfergrid.strategies.few_parameters.bottleneck_adapters import BottleneckAdapters
from transfergrid.strategies.few_parameters.lora import Lora
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.fine_tuning.further_pretraining import FurtherPretraining
from transfergrid.strategies.fine_tuning.network_surgery import NetworkSurgery
from transfergrid.strategies.fine_tuning.token_prediction import (
    MaskedHead,
    NextHead,
    following,
    language_loss,
    masked,
    token_loss,
)
from transfergrid.strategies.held_near.bi_tuning import BiTuning
from transfergrid.strategies.held_near.l2_sp import L2SP
from transfergrid.strategies.held_near.mixout import Mixout
from transfergrid.testing.bench import Bench


def bench(then, numbers=False, **told):
    plan = Training(steps=8, batch_size=8, validations=2, lr=0.01)
    made = Bench(FurtherPretraining, {"then": then, **told}, training=plan)
    return (made.on_numbers() if numbers else made).on_texts()


@pytest.mark.proves("formula_exact", "further_pretraining")
def test_what_is_hidden_is_the_golden_masking():
    given, expected, _ = golden("mlm", "masking")
    tokens = torch.tensor([given["ids"]])
    read, labels = masked(
        tokens,
        ~torch.isin(tokens, torch.tensor(given["special"])),
        given["mask_id"],
        torch.tensor([given["uniform_select"]]),
        torch.tensor([given["uniform_kind"]]),
        torch.tensor([given["random_ids"]]),
        given["probability"],
    )
    assert read[0].tolist() == expected["inputs"]
    assert labels[0].tolist() == expected["labels"]
    assert (labels != -100).sum() == expected["predicted_positions"]


@pytest.mark.proves("formula_exact", "further_pretraining")
def test_losses_are_means_over_what_is_predicted():
    given, expected, tolerance = golden("further_pretraining", "losses")
    logits = torch.tensor(given["logits"], dtype=torch.float64)
    loss = token_loss(logits, torch.tensor(given["masked_labels"])).item()
    assert loss == pytest.approx(expected["masked_loss"], abs=tolerance)
    assert np.exp(loss) == pytest.approx(expected["perplexity"], abs=tolerance)
    tokens = torch.tensor([given["next_tokens"]])
    following_loss = token_loss(logits, following(tokens, torch.ones_like(tokens))[0]).item()
    assert following_loss == pytest.approx(expected["next_token_loss"], abs=tolerance)
    assert token_loss(logits, torch.full((3,), -100)) == 0


def test_the_token_after_each_is_predicted_and_none_before_padding():
    tokens = torch.tensor([[5, 6, 7], [8, 9, 0]])
    attention = torch.tensor([[1, 1, 1], [1, 1, 0]])
    assert following(tokens, attention).tolist() == [[6, 7, -100], [9, -100, -100]]


def language(causal=False, seen=None):
    table = torch.nn.Parameter(torch.randn(50, 4))

    def hidden(inputs):
        seen.append(inputs["input_ids"])
        return table[inputs["input_ids"]]

    return Language(hidden, table, 1, causal, 3, (1, 2), {})


def test_special_tokens_and_padding_are_never_hidden_and_shares_are_those_of_bert():
    seen = []
    told, texts = language(seen=seen), torch.randint(4, 50, (400, 60))
    texts[:, 0], texts[:, 40] = 1, 2
    attention = torch.ones_like(texts)
    attention[:, 41:] = 0
    torch.manual_seed(0)
    language_loss(
        told, MaskedHead(4, 50, {}), {"input_ids": texts, "attention_mask": attention}, 0.15
    )
    (read,) = seen
    changed = read != texts
    assert not changed[:, [0, 40, *range(41, 60)]].any()
    inside = changed[:, 1:40]
    hidden = (read[:, 1:40] == 3).float().mean().item()
    assert hidden == pytest.approx(0.12, abs=0.01)  # 80 % of 15 %
    assert inside.float().mean().item() - hidden == pytest.approx(0.015, abs=0.004)


def test_a_decoder_reads_texts_as_they_are_and_has_the_embeddings_for_a_head():
    seen = []
    told = language(causal=True, seen=seen)
    texts = torch.tensor([[5, 6, 7]])
    loss = language_loss(told, NextHead(), {"input_ids": texts, "attention_mask": texts > 0}, 0.15)
    assert torch.equal(seen[0], texts)
    logits = told.table[texts[0, :2]] @ told.table.T
    assert loss.item() == pytest.approx(cross_entropy(logits, texts[0, 1:]).item(), abs=1e-6)


def test_a_head_that_came_with_the_weights_is_taken_if_it_fits():
    given = {
        name: torch.randn_like(own) for name, own in MaskedHead(4, 50, {}).state_dict().items()
    }
    assert all(
        torch.equal(own, given[name]) for name, own in MaskedHead(4, 50, given).state_dict().items()
    )
    other = MaskedHead(4, 49, given)
    assert other.bias.shape == (49,)
    assert torch.equal(other.bias, torch.zeros(49))


@pytest.mark.proves("trajectory_exact", "further_pretraining")
def test_its_steps_are_those_of_a_plain_loop():
    told = {"then": FullFinetuning(lr_factor=0.4), "share": 0.5, "masked": 0.3, "lr_factor": 0.5}
    run = trajectory(FurtherPretraining, told, "texts", schedule="constant")
    net = run.net()
    layers = net.backbone.network
    head = {
        n.removeprefix("scaffold.language."): v.clone().requires_grad_(True)
        for n, v in run.start.items()
        if n.startswith("scaffold.language.")
    }
    words = [*layers["words"].parameters(), *layers["body"].parameters()]
    reading = torch.optim.AdamW([*words, *head.values()], lr=0.01, weight_decay=0.05)
    for step, batch in enumerate(run.batches[:10]):
        tokens, real = batch.unlabelled["input_ids"], batch.unlabelled["attention_mask"] == 1
        torch.manual_seed(seed(run.strategy.block_seed, "dropout", step))
        draws = torch.rand(2, *tokens.shape)
        others = torch.randint(30, tokens.shape)
        hidden = (draws[0] < 0.3) & real & (tokens != 0)
        read = torch.where(hidden & (draws[1] < 0.8), 0, tokens)
        read = torch.where(hidden & (draws[1] >= 0.8) & (draws[1] < 0.9), others, read)
        states = layers["body"](layers["words"](read))[hidden]
        turned = gelu(states @ head["dense.weight"].T + head["dense.bias"])
        moved = turned - turned.mean(1, keepdim=True)
        moved = moved / (moved.square().mean(1, keepdim=True) + 1e-5).sqrt()
        moved = moved * head["norm.weight"] + head["norm.bias"]
        reading.zero_grad()
        logits = moved @ layers["words"].weight.T + head["bias"]
        if hidden.any():
            cross_entropy(logits, tokens[hidden]).backward()
        reading.step()
    tuning = torch.optim.AdamW(net.parameters(), lr=0.008, weight_decay=0.05)
    for batch in run.batches[10:]:
        tuning.zero_grad()
        cross_entropy(net(batch.target.inputs), batch.target.labels).backward()
        tuning.step()
    same(run, net)


@pytest.mark.parametrize("kind", [FullFinetuning, LogisticProbe, KNN, Lora])
@pytest.mark.parametrize("labels", [3, 10])
def test_without_a_step_of_reading_it_is_what_comes_then_bit_for_bit(kind, labels):
    plain = bench(FullFinetuning())
    expected = Bench(kind, {}, training=plain.training).on_texts().run(labels)
    found = bench(kind(), share=0.0).run(labels)
    assert torch.equal(found.predictions, expected.predictions)
    for name, value in expected.state.items():
        if name.startswith(("backbone.", "head.")):
            assert torch.equal(found.state[name], value)
    read = bench(kind(), share=0.5).run(labels)
    assert not torch.equal(read.predictions, expected.predictions)


def test_all_arms_take_as_many_steps_and_a_closed_form_begins_where_reading_ends():
    assert bench(FullFinetuning(), share=0.25).run(10).fitted.steps == 8
    run = bench(LogisticProbe(), share=0.25).run(10)
    assert run.fitted.steps == 2
    assert bench(LogisticProbe(), share=1.0).run(10).fitted.steps == 8
    with pytest.raises(BadInputError, match="share=1 leaves no step to FullFinetuning"):
        bench(FullFinetuning(), share=1.0).set_up(10)
    begun = bench(LogisticProbe(), share=0.25).set_up(10)
    moved = run.setup.backbone.state_dict()["network.words.weight"]
    assert not torch.equal(moved, begun.backbone.state_dict()["network.words.weight"])


def test_validation_is_not_asked_while_it_reads():
    fitted = bench(FullFinetuning(), share=0.5).run(10).fitted
    assert fitted.curves["validation_step"].min() > 4
    assert fitted.chosen_step > 4


def test_it_reads_the_training_part_alone_and_what_is_kept_has_no_head_for_tokens():
    run = bench(FullFinetuning()).run(10)
    data = run.setup.data
    judging = {*data.validation.indices.tolist()}
    assert not judging & {*data.unlabelled.indices.tolist()}
    assert {*data.train.indices.tolist()} <= {*data.unlabelled.indices.tolist()}
    kept = run.setup.strategy.kept_state()
    assert not any(name.startswith(("scaffold", "adapted.backbone")) for name in kept)
    assert (
        kept.keys() == Bench(FullFinetuning).on_texts().run(10).setup.strategy.kept_state().keys()
    )


def test_numbers_are_learned_by_what_takes_numbers():
    assert bench(KNN(), numbers=True).run(50).predictions.isfinite().all()
    with pytest.raises(ImpossibleError, match="LogisticProbe learns no targets of regression"):
        bench(LogisticProbe(), numbers=True).set_up(50)


def test_images_and_strategies_that_need_more_are_refused_in_one_line():
    with pytest.raises(ImpossibleError, match="further_pretraining learns from texts"):
        Bench(FurtherPretraining, {"then": FullFinetuning()}).set_up(5)
    with pytest.raises(BadInputError, match=r"strategy\.then must adapt .* Majority needs"):
        FurtherPretraining(then=Majority())


def test_a_name_alone_is_told_how_it_is_typed():
    with pytest.raises(BadInputError, match=r"type strategy@strategy\.then=logistic_probe"):
        FurtherPretraining(then="logistic_probe")
    with pytest.raises(BadInputError, match=r"strategy\.then=-1 is no strategy"):
        FurtherPretraining(then=-1)


# What `then` takes of the source ------------------------------------------------------------------


def begun(then, **told):
    """Return `then` at its first step, and the weights that it was built on."""
    made = bench(then, share=0.5, **told)
    source = {n: p.clone() for n, p in made.set_up(10).strategy.reader.named_parameters()}
    moments = made.moments(10)
    assert next(moments).phase.name == "read"
    moment = next(moments)  # of which the strategy is as it was then until the next one is asked
    return moment.strategy, source


def words(source):
    return source["network.words.weight"]


@pytest.mark.parametrize(
    ("then", "kept"),
    [
        (L2SP(), "start"),
        (Mixout(), "start"),
        (BiTuning(queue=2), "second"),
        (SelfDistillation(FullFinetuning(lr_factor=1.0)), "teacher.backbone"),
    ],
)
def test_what_comes_then_is_held_by_what_was_read_and_not_by_the_source(then, kept):
    strategy, source = begun(then)
    now = dict(strategy.backbone.named_parameters())
    copies = dict(strategy.adapted.scaffold.get_submodule(kept).named_parameters())
    assert not torch.equal(words(now), words(source))
    assert copies.keys() == now.keys()
    assert all(torch.equal(copies[name], value) for name, value in now.items())


def test_a_network_beside_and_a_teachers_own_start_begin_with_what_was_read():
    strategy, _ = begun(SideTuning())
    now, beside = strategy.backbone.state_dict(), strategy.adapted.own.state_dict()
    assert all(torch.equal(beside[name], value) for name, value in now.items())
    strategy, _ = begun(SelfDistillation(L2SP(), generations=2))
    now = strategy.backbone.state_dict()
    inner = strategy.adapted.teacher.teacher.scaffold["start"].state_dict()
    assert all(torch.equal(inner[name], value) for name, value in now.items())


def test_a_pull_that_is_asked_for_beside_is_towards_what_was_read():
    then = FullFinetuning(l2_sp=0.5)
    strategy, source = begun(then)
    starts = strategy.adapted.scaffold["l2_sp"]
    for name, now in strategy.backbone.named_parameters():
        assert torch.equal(starts.of(name), now)
    assert not torch.equal(starts.of("network.words.weight"), words(source))


def test_a_teachers_steps_are_counted_apart_and_what_comes_then_takes_its_share():
    fitted = bench(SelfDistillation(FullFinetuning()), share=0.5).run(10).fitted
    assert (fitted.steps, fitted.taken["teacher"]) == (8, 8)


@pytest.mark.parametrize("then", [Lora(r=2), Lora(r=2, dora=True), BottleneckAdapters(2), Bitfit()])
def test_what_learns_few_parameters_adds_nothing_to_reading_and_begins_with_what_was_read(then):
    strategy, source = begun(then)
    plain, _ = begun(FullFinetuning())
    read, expected = strategy.reader.state_dict(), plain.backbone.state_dict()
    assert not torch.equal(words(read), words(source))
    assert all(torch.equal(read[name], value) for name, value in expected.items())
    if isinstance(then, Lora):
        inside = dict(strategy.backbone.named_parameters())
        assert all(not value.any() for name, value in inside.items() if "lora_B" in name)
        sizes = {n: v for n, v in inside.items() if "magnitude" in n}
        assert len(sizes) == (2 if then.dora else 0)
        for name, size in sizes.items():
            weight = read[name.partition(".lora_magnitude")[0] + ".weight"]
            assert torch.equal(size.flatten(), torch.linalg.norm(weight, dim=1))


def test_what_is_kept_is_what_the_strategy_keeps_and_predicts_alike():
    made = bench(Lora(r=2), share=0.5)
    run = made.run(10)
    kept = run.setup.strategy.kept_state()
    assert kept.keys() == Bench(FullFinetuning).on_texts().set_up(10).strategy.kept_state().keys()
    again, own = FurtherPretraining(Lora(r=2)), made.set_up(10).strategy
    again.attach(made.source.initial(), own.task, own.training_plan, own.block_seed)
    again.restore(kept)
    inputs = run.setup.backbone.example(2)
    with run.setup.strategy.eval().in_use():
        assert torch.allclose(again.predict(inputs), run.setup.strategy.predict(inputs), atol=1e-6)


@pytest.mark.parametrize("then", [NetworkSurgery(), SelfDistillation(NetworkSurgery())])
def test_a_source_that_is_cut_as_it_came_cannot_be_read_with(then):
    with pytest.raises(BadInputError, match=r"strategy\.then cannot be .*: it cuts the source"):
        FurtherPretraining(then=then)
