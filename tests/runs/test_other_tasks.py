"""What a strategy learned of its source's task is scored, on the source's own test part."""

import numpy as np
import torch

from transfergrid.data.opened import OpenDomain
from transfergrid.records.factory import config_of
from transfergrid.records.identity import config_digest
from transfergrid.runs import cell
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.tasks.multitask import Multitask
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
