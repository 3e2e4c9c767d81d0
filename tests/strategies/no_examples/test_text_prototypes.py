"""The nearest mean text: the published values, and that classes are told by texts alone."""

import pytest
import torch
from torch.nn.functional import normalize

from golden import golden
from transfergrid import api
from transfergrid.data.glyphs import Glyphs
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked
from transfergrid.strategies.no_examples.text_prototypes import TextPrototypes, text_means
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyDomain, TinySource
from transfergrid.testing.tiny_text import TinyTextDomain, TinyTextSource


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.proves("formula_exact", "text_prototypes")
def test_texts_are_normalised_averaged_and_normalised_again():
    given, expected, tolerance = golden("text_prototypes", "scores")
    texts = exact(given["class_text_embeddings_two_templates_each"])
    labels = torch.tensor([0, 0, 1, 1])
    found = text_means(texts.flatten(0, 1), labels, 2)
    torch.testing.assert_close(found, exact(expected["prototypes"]), rtol=0, atol=tolerance)
    strategy = TextPrototypes(given["temperature"])
    strategy.prototypes = found
    strategy.features = lambda inputs: inputs
    said = strategy.predict(exact(given["query"]))
    cosines = exact(expected["cosines"])
    torch.testing.assert_close(said * given["temperature"], cosines, rtol=0, atol=tolerance)
    sure = exact(expected["probabilities"])
    torch.testing.assert_close(said.softmax(1), sure, rtol=0, atol=max(tolerance, 1e-9))
    wrong = exact(expected["cosines_if_averaged_before_normalising"])
    assert (said * given["temperature"] - wrong).abs().max() > 0.01


@pytest.mark.parametrize("labels", [torch.tensor([0, 1, 1]), torch.tensor([1, 0, 1])])
def test_a_class_may_have_more_texts_than_another(labels):
    texts = torch.randn(3, 4)
    found = text_means(texts, labels, 2)
    for label in (0, 1):
        own = normalize(texts[labels == label], dim=1).mean(0)
        torch.testing.assert_close(found[label], normalize(own, dim=0))


def test_classes_are_told_by_their_texts_and_by_no_label():
    run = Bench(TextPrototypes, domain=TinyTextDomain, source=TinyTextSource()).run(0)
    data, strategy = run.setup.data, run.setup.strategy
    assert data.train is None
    assert not data.source
    assert run.fitted.taken == dict.fromkeys(run.fitted.taken, 0)
    assert data.named.labels.tolist() == [0, 0, 1, 1, 2, 2]
    with torch.no_grad():
        texts = strategy.backbone.embed(data.named.inputs(data.named.rows))
    expected = text_means(texts, torch.from_numpy(data.named.labels), 3)
    torch.testing.assert_close(strategy.prototypes, expected)


def test_a_network_that_embeds_no_text_is_refused():
    with pytest.raises(ImpossibleError, match="text_prototypes tells classes by texts"):
        Bench(TextPrototypes).set_up(0)


def planned(source, target, *more, labels=(0,)):
    asked = Asked(
        sources=[api._option(source, "tiny")],
        strategies=[api._option(TextPrototypes()), *map(api._baseline, more)],
        targets=[api._option(target, "tiny")],
        trainings=[api._option(Bench(TextPrototypes).training)],
        labels=[*labels],
        seeds=[1],
    )
    return Planner(api._baseline).plan(asked)


def test_it_is_compared_with_the_prior_and_by_name_with_prototypes_of_a_few_labels():
    plan = planned(TinyTextSource(), TinyTextDomain(), "prototypes", labels=(0, 1, 5))
    (cell,) = (cell for cell in plan.cells if cell.names.strategy == "text_prototypes")
    assert (cell.labels, cell.baseline.name) == (0, "majority")
    named = {c.id: f"{c.names.strategy}@{c.labels}" for c in plan.cells}
    assert [(other.name, named[other.id]) for other in cell.exploratory] == [
        ("prototypes@1", "prototypes@1"),
        ("prototypes@5", "prototypes@5"),
    ]


def test_a_plan_leaves_out_sources_that_embed_no_texts():
    with pytest.raises(BadInputError, match="tiny embeds none: it needs a source of texts"):
        planned(TinySource(), TinyDomain())


def test_a_plan_refuses_texts_that_tell_nothing_apart():
    told = {"A": "a letter", "B": "a letter"}
    with pytest.raises(BadInputError, match="are both called 'a letter'"):
        planned(TinySource(), Glyphs(characters="AB", descriptions=told))
