"""Who can teach, and what."""

import pytest

from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.strategies.beside.refine import Refine
from transfergrid.strategies.beside.side_tuning import SideTuning
from transfergrid.strategies.distillation.attention_transfer import AttentionTransfer
from transfergrid.strategies.distillation.contrastive_distillation import ContrastiveDistillation
from transfergrid.strategies.distillation.distillation import Distillation
from transfergrid.strategies.distillation.fitnets import Fitnets
from transfergrid.strategies.distillation.relational_distillation import RelationalDistillation
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.weight_space.wise_ft import WiseFT
from transfergrid.testing.bench import Bench

BY_LAYERS = (Fitnets, AttentionTransfer, RelationalDistillation, ContrastiveDistillation)


@pytest.mark.parametrize("kind", BY_LAYERS)
@pytest.mark.parametrize("teacher", [SideTuning, Refine])
def test_layers_that_a_teacher_learned_beside_are_not_learned_from(kind, teacher):
    told = f"{teacher.__name__} leaves the source's layers as they are, and {kind.__name__} learns"
    with pytest.raises(BadInputError, match=told):
        Bench(kind, {"teacher": teacher()}).set_up(5)


@pytest.mark.parametrize(
    ("kind", "teacher"), [(Distillation, SideTuning), (Fitnets, FeatureExtraction)]
)
def test_predictions_of_any_teacher_and_features_that_a_probe_reads_are_learned_from(kind, teacher):
    assert isinstance(Bench(kind, {"teacher": teacher()}).set_up(5).strategy.teacher, teacher)


@pytest.mark.parametrize("kind", BY_LAYERS)
def test_of_numbers_no_teacher_of_classes_tells_anything(kind):
    with pytest.raises(ImpossibleError, match=r"teacher WiseFT is not for targets of regression"):
        Bench(kind, {"teacher": WiseFT()}).on_numbers().set_up(20)


@pytest.mark.parametrize("kind", [Fitnets, AttentionTransfer])
def test_networks_may_have_no_layers_to_compare(kind):
    assert kind.needs.layers == "some"
    assert kind.needs.teacher
