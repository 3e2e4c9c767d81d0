"""What a strategy learned of its source's task is scored, on the source's own test part."""

import numpy as np
import pytest
import torch

from transfergrid.data.opened import OpenDomain
from transfergrid.data.several_domains import SeveralDomains
from transfergrid.records.factory import config_of
from transfergrid.records.identity import config_digest
from transfergrid.runs import cell
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.tasks.multitask import Multitask
from transfergrid.strategies.tasks.sequential import Sequential
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyDomain, TinySource


def judged(kind, more=True):
    domain = TinyDomain(shift=0.4, more=more)
    bench = Bench(kind, source=TinySource(domain=domain))
    setup = bench.set_up(10)
    bench.driver(setup).run()
    return domain, setup, cell.judge(setup, bench.machine)


def test_the_sources_test_part_is_scored_by_its_own_head_and_classes():
    domain, setup, outcome = judged(Multitask)
    (other,) = outcome.others
    test = domain.load().test
    assert other.examples == len(test.labels)
    assert other.target_part == config_digest(config_of(domain))
    strategy = setup.strategy.eval()
    view = OpenDomain(config_of(domain)).whole("test", setup.preprocess)
    with torch.no_grad():
        features = strategy.features(view.inputs(view.rows))
        said = strategy.scaffold["source"](features).argmax(1).numpy()
    assert np.isclose(other.test["accuracy"], (said == test.labels).mean())
    assert other.after == ""


def test_who_keeps_no_head_of_the_source_says_nothing_of_it():
    assert judged(FullFinetuning)[2].others == ()


@pytest.mark.parametrize("links", [None, ["b", "a"]])
def test_several_source_domains_are_called_by_their_names_in_the_order_of_learning(links):
    parts = [TinyDomain(shift=0.4), TinyDomain(shift=0.7)]
    several = SeveralDomains(parts=parts, names=["b", "a"], metric=parts[0].metric)
    setup = Bench(Sequential, {"links": links}, source=TinySource(domain=several)).set_up(10)
    assert setup.sources_called == tuple(links or ("a", "b"))
    shifts = {"b": 0.4, "a": 0.7}
    assert [one["shift"] for one in setup.sources] == [shifts[n] for n in setup.sources_called]
