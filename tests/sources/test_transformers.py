"""Text models of transformers keep the backbone contract, family by family."""

import copy

import pytest
import torch

from small_models import DECODERS, FAMILIES, TEXTS, described, pretrained
from transfergrid.records.errors import BadInputError
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
                if k:
                    assert all(map(torch.equal, boundary, backbone.boundaries(inputs)[k - 1]))
                    told = backbone.steered(inputs, lambda i, h, k=k: 0.5 * h if i == k else h)
                    if k < len(backbone.blocks()):
                        halved = backbone.suffix(k)((0.5 * boundary[0], *boundary[1:]))
                        assert torch.equal(told, halved), k
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
