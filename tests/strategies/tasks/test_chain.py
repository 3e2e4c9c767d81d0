"""One task after the other: what the chain ends with, what it forgets and what it cannot forget."""

from dataclasses import replace

import pytest
import torch
from plain_torch import adamw, cosine, set_rate
from torch import nn
from torch.nn.functional import cross_entropy, kl_div
from trajectories import same, trajectory

from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.records.needs import Needs
from transfergrid.records.several import in_order, joined
from transfergrid.runs import cell
from transfergrid.sources.source import Source
from transfergrid.strategies.tasks.progressive_columns import ProgressiveColumns
from transfergrid.strategies.tasks.sequential import Sequential
from transfergrid.testing.bench import Bench, source_domain
from transfergrid.testing.tiny import TinySource
from transfergrid.testing.tiny_numbers import TinyNumbers

PARTS = [{"_target_": "x.Y", "name": name} for name in "abc"]


def heads_of(run):
    """Return the heads of both links as they began."""
    found = []
    for link in range(2):
        inside = f"scaffold.heads.{link}."
        head = nn.Linear(*run.start[f"{inside}weight"].T.shape).double()
        head.load_state_dict({n: run.start[inside + n] for n in ("weight", "bias")})
        found.append(head)
    return found


def fisher_of(net, head, source):
    weights = [*net.backbone.parameters()]
    found = torch.zeros(sum(w.numel() for w in weights), dtype=torch.float64)
    net.eval()
    for x in source.inputs:
        for log in head(net.features(x[None])).log_softmax(1)[0]:
            slopes = torch.autograd.grad(log, weights, retain_graph=True)
            flat = torch.cat([slope.flatten() for slope in slopes])
            found += log.detach().exp() * flat**2 / len(source.labels)
    net.train()
    return found


@pytest.mark.proves("trajectory_exact", "sequential")
@pytest.mark.parametrize(
    ("keep", "weight"), [("nothing", None), ("ewc", 50.0), ("learning_without_forgetting", 0.5)]
)
def test_a_chain_ends_where_a_plain_loop_ends(keep, weight):
    told = {"lr_factor": 0.5, "keep": keep, "weight": weight, "examples": 999}
    run = trajectory(Sequential, told, batches=40)
    net, heads, kept = run.net(), heads_of(run), []  # of each link: weights, Fisher, network
    for link in range(3):
        head = heads[link] if link < 2 else net.head
        optimiser = adamw(([*head.parameters(), *net.backbone.parameters()], 0.5))
        for step in range(20):
            batch = run.batches[20 * link + step] if link < 2 else run.batches[step]
            seen = batch.source[link] if link < 2 else batch.target
            features = net.features(seen.inputs)
            loss = cross_entropy(head(features), seen.labels)
            if keep == "ewc":
                now = torch.cat([w.flatten() for w in net.backbone.parameters()])
                loss = loss + sum(25.0 * (f * (now - w) ** 2).sum() for w, f, _ in kept)
            for earlier in heads[:link] if keep == "learning_without_forgetting" else []:
                with torch.no_grad():
                    said = earlier(kept[-1][2].features(seen.inputs)).div(2).softmax(1)
                log = earlier(features).div(2).log_softmax(1)
                loss = loss + 0.5 * kl_div(log, said, reduction="batchmean")
            set_rate(optimiser, cosine(step, 20))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if link < 2:
            now = torch.cat([w.detach().flatten() for w in net.backbone.parameters()])
            fisher = fisher_of(net, head, run.source[link]) if keep == "ewc" else None
            old = run.net().eval()
            old.load_state_dict(net.state_dict())
            kept.append((now, fisher, old))
    same(run, net)


@pytest.mark.proves("trajectory_exact", "progressive_columns")
def test_columns_end_where_a_plain_loop_ends():
    run = trajectory(ProgressiveColumns, {"lr_factor": 0.5, "lateral": "linear"}, batches=40)
    net, heads = run.net(), heads_of(run)
    heads.append(net.head)
    nets = [net] + [run.net() for _ in range(2)]
    for place in (1, 2):
        inside = f"columns.{place - 1}."
        own = {n.removeprefix(inside): v for n, v in run.start.items() if n.startswith(inside)}
        nets[place].backbone.load_state_dict(own)
    maps = {n: v.clone().requires_grad_() for n, v in run.start.items() if n.startswith("laterals")}
    layers = [n.backbone.network for n in nets]

    def states(place, x):
        found = []
        for number in range(place + 1):
            own, hidden = [], x
            for block, (first, last) in enumerate(SPANS):
                for layer in list(layers[number])[first:last]:
                    hidden = layer(hidden)
                own.append(hidden)
                for below in range(number):
                    u = maps[f"laterals.{number - 1}.{below}.{block}.u.weight"]
                    mapped = torch.einsum("oc,nc...->no...", u, found[below][block].detach())
                    hidden = hidden + mapped
            found.append(own)
        return hidden

    for place in range(3):
        for number, one in enumerate(nets):
            one.backbone.train(number == place)
        laterals = [v for n, v in maps.items() if n.startswith(f"laterals.{place - 1}.")]
        learns = [*heads[place].parameters(), *nets[place].backbone.parameters(), *laterals]
        optimiser = adamw((learns, 0.5))
        for step in range(20):
            batch = run.batches[20 * place + step] if place < 2 else run.batches[step]
            seen = batch.source[place] if place < 2 else batch.target
            loss = cross_entropy(heads[place](states(place, seen.inputs)), seen.labels)
            set_rate(optimiser, cosine(step, 20))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    expected = dict(net.state_dict())
    for place in (1, 2):
        own = nets[place].backbone.state_dict()
        expected |= {f"columns.{place - 1}.{name}": value for name, value in own.items()}
    same(run, {**expected, **maps})


SPANS = ((0, 3), (3, 8), (8, 99))
"""Layers of each coarse block."""


def scores_by_stage(kind, arguments):
    bench = Bench(kind, {"lr_factor": 2.0, **arguments})
    setup = bench.set_up(10)
    fitted = bench.driver(setup).run()
    assert fitted.taken["teacher"] == 16
    others = cell.judge(setup, bench.machine).others
    return {(other.name, other.target_part, other.after): other.test for other in others}


def test_each_link_is_scored_after_itself_after_those_behind_it_and_at_the_end():
    found = scores_by_stage(Sequential, {})
    stages = [after for _, _, after in found]
    assert stages == ["link 1", "link 2", "", "link 2", ""]
    parts = [part for _, part, _ in found]
    assert len(set(parts)) == 2
    assert parts[0] == parts[1] == parts[2]


def test_columns_forget_nothing_bit_for_bit():
    bench = Bench(ProgressiveColumns, {"lr_factor": 2.0})
    setup = bench.set_up(10)
    driver, strategy = bench.driver(setup), setup.strategy
    names = [phase.name for phase in driver.phases]
    inputs = setup.data.source[0].inputs(setup.data.source[0].rows)

    def said():
        mode = strategy.training
        strategy.eval()
        with torch.no_grad():
            found = strategy.said_of(0, None, inputs)
        strategy.train(mode)
        return found

    driver.run_first(names.index("after link 1") + 1)
    before = said()
    driver.run()
    assert torch.equal(before, said())
    found = scores_by_stage(ProgressiveColumns, {})
    by_task = {}
    for (_, part, _), test in found.items():
        by_task.setdefault(part, []).append(test)
    assert all(test == tests[0] for tests in by_task.values() for test in tests)


def test_what_holds_the_links_keeps_their_weights_nearer():
    ways = {}
    for keep, weight in (("nothing", None), ("ewc", 1e5)):
        told = {"lr_factor": 0.5, "keep": keep, "weight": weight}
        strategy = Bench(Sequential, told).run(10).setup.strategy
        then = torch.cat([p.flatten() for p in strategy.scaffold["after"][0].parameters()])
        now = torch.cat([p.flatten() for p in strategy.backbone.parameters()])
        ways[keep] = (now - then).norm().item()
    assert ways["ewc"] < ways["nothing"]


def test_at_weight_0_nothing_is_held_bit_for_bit():
    plain = Bench(Sequential, {"lr_factor": 2.0}).run(10)
    for keep in ("ewc", "learning_without_forgetting"):
        own = Bench(Sequential, {"lr_factor": 2.0, "keep": keep, "weight": 0.0}).run(10)
        assert torch.equal(plain.predictions, own.predictions)


def test_links_stand_in_the_order_that_is_asked_for():
    source = {"domain": joined(PARTS, ["a", "b", "c"], {})}

    def order(strategy, needs=Sequential.needs):
        return [part["name"] for part in in_order(source, needs, strategy)["domain"]["parts"]]

    assert order({"links": ["b", "c", "a"]}) == ["b", "c", "a"]
    assert order({"links": None}) == ["a", "b", "c"]
    assert in_order(source, Needs(domains=2), {"links": ["b", "c", "a"]}) is source
    assert order({"way": ["c", "a", "b"]}, Needs(domains=2, ordered_by="way")) == ["c", "a", "b"]


@pytest.mark.parametrize("links", [["a", "b"], ["a", "b", "b"], ["a", "b", "d"]])
def test_links_that_are_not_the_sources_domains_are_refused_in_one_line(links):
    source = {"domain": joined(PARTS, ["a", "b", "c"], {})}
    with pytest.raises(BadInputError, match=r"must name each domain of the source once.*a, b, c"):
        in_order(source, Sequential.needs, {"links": links})


def test_links_of_domains_that_have_no_names_are_refused_and_not_passed_over():
    source = {"domain": joined(PARTS, ["a", "b", "c"], {}) | {"names": []}}
    with pytest.raises(BadInputError, match="have no names"):
        in_order(source, Sequential.needs, {"links": ["a", "b", "c"]})
    assert in_order(source, Sequential.needs, {"links": None}) is source


def test_an_order_is_told_by_an_argument_that_there_is():
    with pytest.raises(BadInputError, match=r"ordered_by of Misspelt.*did you mean links"):
        type("Misspelt", (Sequential,), {"needs": replace(Sequential.needs, ordered_by="link")})


def test_a_link_of_numbers_is_refused():
    source: Source = TinySource(domain=source_domain(Sequential.needs, TinyNumbers))
    with pytest.raises(ImpossibleError, match="the labels of a link are numbers"):
        Bench(Sequential, source=source).set_up(10)


def test_columns_are_made_again_to_predict():
    run = Bench(ProgressiveColumns, {"lr_factor": 2.0}).run(10)
    strategy, state = run.setup.strategy, run.setup.strategy.kept_state()
    again = ProgressiveColumns(lr_factor=2.0)
    backbone = TinySource().initial()
    again.attach(backbone, strategy.task, strategy.training_plan, 3)
    again.restore(state)
    inputs = run.setup.data.train.inputs(run.setup.data.train.rows)
    with torch.no_grad():
        assert torch.equal(again.predict(inputs), strategy.eval().predict(inputs))
