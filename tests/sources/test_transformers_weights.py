"""Weights of text models: from where, which fit, and what stands for them in an identity."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from small_models import described, pretrained, rewritten
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import config_of
from transfergrid.records.identity import config_digest
from transfergrid.sources.placebo import Placebo
from transfergrid.sources.transformers import TransformersArchitecture, TransformersSource


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return pretrained(tmp_path_factory.mktemp("bert"), "bert")


class TestWeights:
    def test_a_folders_weights_are_loaded(self, bert):
        source = TransformersSource(TransformersArchitecture(folder=str(bert)))
        one, two = source.initial(), source.initial()
        assert one.fingerprint() == two.fingerprint()
        assert one.fingerprint() != source.architecture.build().fingerprint()
        assert one.notes["weights_left_out"] == ["pooler.dense.bias", "pooler.dense.weight"]
        assert one.training

    @pytest.mark.parametrize("wrapper", ["", "module.", "model."])
    def test_a_file_with_head_and_wrapper_gives_the_folders_weights(self, bert, tmp_path, wrapper):
        plain = TransformersSource(TransformersArchitecture(folder=str(bert)))
        config = AutoConfig.from_pretrained(bert)
        whole = AutoModelForSequenceClassification.from_config(config)
        state = plain.initial().network.state_dict()
        whole.bert.load_state_dict(state, strict=False)
        wrapped = {wrapper + name: value for name, value in whole.state_dict().items()}
        torch.save(wrapped, tmp_path / "weights.bin")
        source = TransformersSource(plain.architecture, str(tmp_path / "weights.bin"))
        loaded = source.initial()
        assert loaded.fingerprint() == plain.initial().fingerprint()
        assert "classifier.weight" in str(loaded.notes["weights_left_out"])

    def test_another_models_weights_are_refused_in_one_line(self, bert, tmp_path):
        other = pretrained(tmp_path, "distilbert")
        architecture = TransformersArchitecture(folder=str(bert))
        source = TransformersSource(architecture, str(other / "model.safetensors"))
        with pytest.raises(
            BadInputError, match=r"does not fit.*another architecture: .*missing \(.*unexpected \("
        ) as error:
            source.initial()
        assert "\n" not in str(error.value)

    def test_shapes_that_differ_are_told(self, bert, tmp_path):
        wide = pretrained(tmp_path, "bert", intermediate_size=32)
        source = TransformersSource(
            TransformersArchitecture(folder=str(bert)), str(wide / "model.safetensors")
        )
        with pytest.raises(
            BadInputError, match=r"bert: 9 of another shape .*\(32, 16\) for \(24, 16\)"
        ):
            source.initial()

    def test_sharded_weights_are_read_as_one(self, bert, tmp_path):
        from transformers import AutoModel

        parts = described(tmp_path, "bert")
        AutoModel.from_pretrained(bert).save_pretrained(parts, max_shard_size="6KB")
        assert not (parts / "model.safetensors").exists()
        whole, sharded = (
            TransformersSource(TransformersArchitecture(folder=str(f))) for f in (bert, parts)
        )
        same = sharded.initial().state_dict()
        assert all(torch.equal(v, same[n]) for n, v in whole.initial().state_dict().items())
        next(parts.glob("model-*.safetensors")).unlink()
        with pytest.raises(BadInputError, match=r"no weights.*not all their parts"):
            sharded.check()

    def test_halved_weights_are_computed_with_in_full(self, bert, tmp_path):
        from safetensors.torch import load_file, save_file

        halved = Path(shutil.copytree(bert, tmp_path / "halved"))
        weights = load_file(bert / "model.safetensors")
        save_file({n: v.bfloat16() for n, v in weights.items()}, halved / "model.safetensors")
        rewritten(halved / "config.json", dtype="bfloat16", torch_dtype="bfloat16")
        source = TransformersSource(TransformersArchitecture(folder=str(halved)))
        for backbone in (source.initial(), source.architecture.build()):
            assert {value.dtype for value in backbone.state_dict().values()} == {torch.float32}
        words = source.initial().get_parameter("network.embeddings.word_embeddings.weight")
        assert torch.equal(words, weights["embeddings.word_embeddings.weight"].bfloat16().float())

    def test_a_placebo_has_the_same_values_elsewhere(self, bert):
        source = TransformersSource(TransformersArchitecture(folder=str(bert)))
        real = source.initial().state_dict()
        fake = Placebo(source).load(None, 0).state_dict()  # type: ignore[arg-type]
        words = "network.embeddings.word_embeddings.weight"
        assert not torch.equal(real[words], fake[words])
        assert torch.equal(real[words].flatten().sort()[0], fake[words].flatten().sort()[0])


class TestIdentity:
    def test_an_architecture_is_its_config_and_tokenizer(self, bert, tmp_path):
        """Wherever it lies, whatever its weights, and whoever wrote it."""
        twin = Path(shutil.copytree(bert, tmp_path / "twin"))
        rewritten(twin / "config.json", architectures=["BertForMaskedLM"], _name_or_path="x/y")
        torch.save({}, twin / "optimizer.pt")
        one, two = (TransformersArchitecture(folder=str(f)) for f in (bert, twin))
        assert one.content() == two.content()
        assert config_digest(config_of(one)) == config_digest(config_of(two))
        rewritten(twin / "config.json", hidden_act="relu")
        assert one.content() != two.content()

    def test_a_source_is_its_weights_too(self, bert, tmp_path):
        from safetensors.torch import load_file, save_file

        twin = Path(shutil.copytree(bert, tmp_path / "twin"))
        one, two = (
            TransformersSource(TransformersArchitecture(folder=str(f))) for f in (bert, twin)
        )
        assert config_digest(config_of(one)) == config_digest(config_of(two))
        weights = load_file(twin / "model.safetensors")
        save_file(weights | {"pooler.dense.bias": torch.ones(16)}, twin / "model.safetensors")
        os.utime(twin / "model.safetensors", (1, 1))
        assert config_digest(config_of(one)) != config_digest(config_of(two))

    def test_the_card_moves_nothing(self, bert):
        architecture = TransformersArchitecture(folder=str(bert))
        plain = TransformersSource(architecture)
        told = TransformersSource(architecture, card={"licence": "MIT"})
        assert config_digest(config_of(plain)) == config_digest(config_of(told))


def test_the_card_is_read_from_the_readme(bert, tmp_path):
    folder = pretrained(tmp_path, "bert")
    front = "---\nlicense: apache-2.0\ndatasets:\n- snli\n- glue\n---\n# A model\n"
    (folder / "README.md").write_text(front)
    source = TransformersSource(
        TransformersArchitecture(folder=str(folder)), card={"origin": "here", "licence": "MIT"}
    )
    expected = {"origin": "here", "licence": "MIT", "trained_on": ["snli", "glue"]}
    assert source.known_card() == expected
    (folder / "README.md").write_text("--- broken: [yaml\n---\n")
    assert source.known_card() == {"origin": "here", "licence": "MIT"}
