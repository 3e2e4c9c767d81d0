"""Where weights come from: timm, files, trainings of our own, placebos."""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from transfergrid.data.digits import Digits
from transfergrid.data.glyphs import Glyphs
from transfergrid.data.noise import Noise
from transfergrid.records.component import Component
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import build, config_of
from transfergrid.sources.backbone import Backbone
from transfergrid.sources.checkpoint import Checkpoint
from transfergrid.sources.files import hub, weights
from transfergrid.sources.placebo import Placebo
from transfergrid.sources.timm import TimmArchitecture, TimmSource
from transfergrid.sources.trained_here import TrainedHere

ARCHITECTURE = TimmArchitecture("test_resnet", 16, {"in_chans": 1})
LETTERS = Glyphs(characters="ABC", size=12, per_class=7, test_per_class=3)


@dataclass(frozen=True)
class NoTraining(Component):
    steps: int = 1


class Reader(TimmArchitecture):
    """Says that it takes texts."""

    modality = "text"


class Sentences(Digits):
    """Says that it holds texts."""

    modality = "text"


class FakeMaker:
    """Says what it was asked for and hands out weights that the seed determines."""

    def __init__(self) -> None:
        self.asked: list[tuple[TrainedHere, int]] = []

    def trained(self, source: TrainedHere, seed: int) -> Mapping[str, torch.Tensor]:
        self.asked.append((source, seed))
        return seeded(seed + 100).state_dict()


def seeded(seed: int) -> Backbone:
    torch.manual_seed(seed)
    return ARCHITECTURE.build()


@pytest.fixture
def maker() -> FakeMaker:
    return FakeMaker()


@pytest.fixture
def file(tmp_path) -> str:
    path = tmp_path / "weights.safetensors"
    weights.save(seeded(1).network.state_dict(), path)
    return str(path)


def trained(**changes) -> TrainedHere:
    return TrainedHere(ARCHITECTURE, LETTERS, NoTraining(), **changes)


class TestTimmArchitecture:
    def test_random_weights_follow_torchs_state(self):
        assert seeded(3).fingerprint() == seeded(3).fingerprint() != seeded(4).fingerprint()

    def test_options_decide_the_preprocessing(self):
        preprocess = seeded(0).preprocess
        assert (preprocess.size, preprocess.channels) == ((16, 16), 1)
        assert len(preprocess.mean) == len(preprocess.std) == 1

    def test_timm_says_the_rest(self):
        preprocess = TimmArchitecture("resnet18").build().preprocess
        assert preprocess.size == (224, 224)
        assert preprocess.mean == (0.485, 0.456, 0.406)

    def test_size_reaches_models_that_must_know_it(self):
        for architecture in (
            TimmArchitecture("test_vit", 64),
            TimmArchitecture("test_vit", options={"img_size": 64}),
        ):
            backbone = architecture.build()
            assert backbone.preprocess.size == (64, 64)
            assert backbone.dim == 64

    def test_a_misspelt_model_gets_a_suggestion(self):
        with pytest.raises(BadInputError, match=r"no model 'resnet81'.*did you mean resnet"):
            TimmArchitecture("resnet81").build()

    def test_nonsense_does_not_list_a_thousand_models(self):
        with pytest.raises(BadInputError) as error:
            TimmArchitecture("qqqqqqqq").check()
        assert len(str(error.value)) < 120

    def test_a_misspelt_tag_gets_a_suggestion(self):
        with pytest.raises(BadInputError, match=r"did you mean resnet18\.a1_in1k"):
            TimmArchitecture("resnet18.a1_1k").check()

    @pytest.mark.parametrize(
        ("model", "size", "options"),
        [("test_resnet", 16, {"in_chanz": 1}), ("test_resnet.tag", None, {}), ("resnet18", 0, {})],
    )
    def test_what_timm_cannot_make_is_one_line(self, model, size, options):
        with pytest.raises(BadInputError) as error:
            TimmArchitecture(model, size, options).build()
        assert "\n" not in str(error.value)

    def test_a_config_describes_it(self):
        assert build(config_of(ARCHITECTURE)) == ARCHITECTURE


class TestFiles:
    @pytest.mark.parametrize("kind", [TimmSource, Checkpoint])
    def test_weights_are_the_files_whatever_the_seed(self, kind, file, maker):
        source = kind(ARCHITECTURE, file)
        source.check()
        for block_seed in (0, 1):
            torch.manual_seed(block_seed)
            assert source.load(maker, block_seed).fingerprint() == seeded(1).fingerprint()
        assert source.initial().fingerprint() == seeded(1).fingerprint()
        assert maker.asked == []

    @pytest.mark.parametrize("kind", [TimmSource, Checkpoint])
    def test_a_missing_file_is_seen_by_the_check(self, kind, tmp_path):
        with pytest.raises(BadInputError, match="no such file"):
            kind(ARCHITECTURE, str(tmp_path / "gone.pth")).check()

    @pytest.mark.parametrize("kind", [TimmSource, Checkpoint])
    def test_the_file_is_a_path_to_identity(self, kind):
        assert kind.about()["paths"] == ["file"]


class TestHub:
    SOURCE = TimmSource(TimmArchitecture("test_resnet"))

    def test_without_a_network_the_ways_around_are_named_at_once(self, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr(hub, "_cached", lambda *_: None)
        began = time.monotonic()
        with pytest.raises(BadInputError, match=r"source\.file=.*source=checkpoint") as error:
            self.SOURCE.initial()
        assert time.monotonic() - began < 5
        assert "\n" not in str(error.value)

    def test_a_hub_that_does_not_answer_is_given_up_soon(self, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.setattr("transfergrid.records.tracking.network.getproxies", dict)
        monkeypatch.setattr(hub, "_cached", lambda *_: None)
        with pytest.raises(BadInputError, match="hub cannot be reached"):
            self.SOURCE.initial()

    def test_earlier_downloads_serve_without_a_network(self, monkeypatch, tmp_path):
        """timm fits three-channel weights with a classifier to the architecture."""
        torch.manual_seed(0)
        published = TimmArchitecture("test_resnet").build().network.state_dict()
        head = {"fc.weight": torch.ones(1000, 96), "fc.bias": torch.ones(1000)}
        file = tmp_path / "model.safetensors"
        weights.save({**published, **head}, file)
        monkeypatch.setattr(hub, "_cached", lambda *_: str(file))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        loaded = TimmSource(ARCHITECTURE).initial().network.state_dict()
        stem = "conv1.0.weight"
        assert torch.allclose(loaded[stem], published[stem].sum(1, keepdim=True))
        assert all(torch.equal(loaded[k], v) for k, v in published.items() if k != stem)

    def test_a_model_without_pretrained_weights_says_so(self):
        with pytest.raises(BadInputError, match="knows no pretrained weights"):
            TimmSource(TimmArchitecture("darknet17")).initial()


class TestTrainedHere:
    def test_the_maker_is_asked_with_the_sources_seed_or_the_blocks(self, maker):
        assert trained(seed=5).load(maker, 9).fingerprint() == seeded(105).fingerprint()
        assert trained(seed="block").load(maker, 9).fingerprint() == seeded(109).fingerprint()
        assert [seed for _, seed in maker.asked] == [5, 9]

    def test_it_starts_from_random_weights_or_from_given_ones(self, file):
        torch.manual_seed(4)
        assert trained().initial().fingerprint() == seeded(4).fingerprint()
        source = trained(start=Checkpoint(ARCHITECTURE, file))
        assert source.initial().fingerprint() == seeded(1).fingerprint()

    @pytest.mark.parametrize("seed", ["blok", -1, 0.5, True])
    def test_a_seed_that_makes_no_sense_is_refused(self, seed):
        with pytest.raises(BadInputError, match=r"source\.seed"):
            trained(seed=seed).check()

    def test_a_start_must_fit_and_come_from_elsewhere(self, file):
        with pytest.raises(BadInputError, match="another architecture"):
            trained(start=Checkpoint(TimmArchitecture("resnet18"), file)).check()
        with pytest.raises(BadInputError, match="not trained here"):
            trained(start=trained()).check()

    def test_its_parts_are_checked(self):
        bad = dataclasses.replace(LETTERS, characters="A")
        with pytest.raises(BadInputError, match="characters"):
            TrainedHere(ARCHITECTURE, bad, NoTraining()).check()
        trained().check()

    def test_an_architecture_of_texts_learns_from_no_images(self):
        told = "holds images .Glyphs., and the architecture test_resnet takes texts"
        with pytest.raises(BadInputError, match=told) as error:
            TrainedHere(Reader("test_resnet"), LETTERS, NoTraining()).check()
        assert "\n" not in str(error.value)


class TestPlacebo:
    def test_permuted_keeps_each_tensors_values_and_moves_them(self, file, maker):
        original = seeded(1).state_dict()
        placebo = Placebo(Checkpoint(ARCHITECTURE, file)).load(maker, 0).state_dict()
        for name, tensor in original.items():
            assert torch.equal(placebo[name].flatten().sort()[0], tensor.flatten().sort()[0])
            if tensor.numel() > 1 and tensor.unique().numel() > 100:
                assert (placebo[name] == tensor).float().mean() < 0.1
                assert placebo[name].shape == tensor.shape

    def test_permuted_moves_batchnorm_statistics_too(self, tmp_path, maker):
        backbone = seeded(1)
        backbone.network.bn1.running_mean.copy_(torch.arange(32.0))
        path = tmp_path / "weights.safetensors"
        weights.save(backbone.network.state_dict(), path)
        moved = Placebo(Checkpoint(ARCHITECTURE, str(path))).load(maker, 0).network.bn1.running_mean
        assert not torch.equal(moved, torch.arange(32.0))
        assert torch.equal(moved.sort()[0], torch.arange(32.0))

    def test_permuted_is_a_function_of_its_seed(self, file, maker):
        def fingerprint(seed: int, block_seed: int) -> str:
            placebo = Placebo(Checkpoint(ARCHITECTURE, file), seed=seed)
            return placebo.load(maker, block_seed).fingerprint()

        assert fingerprint(0, 0) == fingerprint(0, 1) != fingerprint(1, 0)

    def test_permuted_takes_what_the_maker_trained(self, maker):
        placebo = Placebo(trained()).load(maker, 0).state_dict()
        for name, tensor in seeded(100).state_dict().items():
            assert torch.equal(placebo[name].flatten().sort()[0], tensor.flatten().sort()[0])

    def test_shuffled_labels_change_the_recipe_in_nothing_else(self, maker):
        Placebo(trained(seed="block"), "shuffled_labels").load(maker, 7)
        assert maker.asked == [(trained(seed="block", shuffle_labels=True), 7)]

    def test_noise_changes_the_domain_in_nothing_but_its_pictures(self, maker):
        loaded = Placebo(trained(), "noise", seed=2).load(maker, 0)
        (source, _), noise = (
            maker.asked[0],
            Noise(n_classes=3, size=12, per_class=7, test_per_class=3, seed=2),
        )
        assert source == dataclasses.replace(trained(), domain=noise)
        assert loaded.fingerprint() == seeded(100).fingerprint()

    def test_there_is_no_noise_for_a_source_of_texts(self):
        source = TrainedHere(Reader("test_resnet"), Sentences(), NoTraining())
        for how in ("permuted", "shuffled_labels"):
            Placebo(source, how).check()
        with pytest.raises(BadInputError, match=r"source\.how=permuted or shuffled_labels"):
            Placebo(source, "noise").check()

    def test_noise_stands_in_for_domains_that_do_not_tell_their_size(self):
        source = TrainedHere(ARCHITECTURE, Digits(), NoTraining())
        assert Placebo(source, "noise").recipe.domain == Noise(n_classes=10)

    def test_it_brings_no_source_domain(self):
        assert Placebo(trained()).domain is None
        assert Placebo(trained()).architecture == ARCHITECTURE

    @pytest.mark.parametrize("how", ["shuffled_labels", "noise"])
    def test_only_what_is_trained_here_can_be_trained_otherwise(self, how, file):
        with pytest.raises(BadInputError, match=r"trained here.*permuted"):
            Placebo(Checkpoint(ARCHITECTURE, file), how).check()

    def test_other_requests_that_make_no_sense_are_refused(self):
        with pytest.raises(BadInputError, match="did you mean permuted"):
            Placebo(trained(), "permute").check()
        with pytest.raises(BadInputError, match="placebo of a placebo"):
            Placebo(Placebo(trained())).check()
        with pytest.raises(BadInputError, match=r"source\.seed"):
            Placebo(trained(), seed=-1).check()

    def test_all_kinds_pass_their_check(self):
        for how in ("permuted", "shuffled_labels", "noise"):
            Placebo(trained(), how).check()

    def test_numpys_and_torchs_states_are_left_alone(self, file, maker):
        placebo = Placebo(Checkpoint(ARCHITECTURE, file))
        np.random.seed(0)
        placebo.load(maker, 0)
        after = np.random.rand()
        np.random.seed(0)
        assert np.random.rand() == after
