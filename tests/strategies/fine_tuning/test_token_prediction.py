"""The heads of real language models, as they came with the weights."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from small_models import TEXTS, described
from transfergrid.records.errors import ImpossibleError
from transfergrid.records.training import Training
from transfergrid.sources.transformers import TransformersArchitecture, TransformersSource
from transfergrid.strategies.closed_form.logistic_probe import LogisticProbe
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.fine_tuning.further_pretraining import FurtherPretraining
from transfergrid.strategies.fine_tuning.token_prediction import MaskedHead, NextHead
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny_text import TinyTextDomain


def loaded(root, family, made):
    """Return a model of transformers with its head, and its weights as a source of ours."""
    folder = described(root, family)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"mask_token": "[MASK]"})
    tokenizer.save_pretrained(folder)
    torch.manual_seed(5)
    model = made.from_config(AutoConfig.from_pretrained(folder)).eval()
    for parameter in model.parameters():  # biases and norms too
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    source = TransformersSource(
        TransformersArchitecture(folder=str(folder)), domain=TinyTextDomain(shift=0.4)
    )
    return model, source


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_logits_of_hidden_tokens_are_those_of_transformers(tmp_path, family):
    model, source = loaded(tmp_path, family, AutoModelForMaskedLM)
    backbone = source.initial().eval()
    language = backbone.language()
    inputs = backbone.preprocess.finish(backbone.preprocess.prepare(TEXTS), "none", None)
    head = MaskedHead(16, 90, language.head)
    with torch.no_grad():
        found = head(language.hidden(inputs), language.table)
        expected = model(**{name: inputs[name] for name in backbone.names}).logits
    assert not language.causal
    assert language.mask == backbone.preprocess.tokenizer.mask_token_id
    assert language.mask in language.special
    real = inputs["attention_mask"] == 1
    assert torch.allclose(found[real], expected[real], atol=1e-3)
    other = MaskedHead(16, 90, {})(language.hidden(inputs), language.table)
    assert not torch.allclose(other[real], expected[real], atol=0.1)


def test_logits_of_next_tokens_are_those_of_transformers(tmp_path):
    model, source = loaded(tmp_path, "gpt2", AutoModelForCausalLM)
    backbone = source.initial().eval()
    language = backbone.language()
    inputs = backbone.preprocess.finish(backbone.preprocess.prepare(TEXTS), "none", None)
    with torch.no_grad():
        found = NextHead()(language.hidden(inputs), language.table)
        expected = model(**{name: inputs[name] for name in backbone.names}).logits
    assert language.causal
    real = inputs["attention_mask"] == 1
    assert torch.allclose(found[real], expected[real], atol=1e-4)


WORDS = " ".join(TEXTS).replace(",", "").replace("?", "").split()


class KnownWords(TinyTextDomain):
    """Words that the tokenizer knows."""

    def _texts(self, name, each):
        texts, labels = super()._texts(name, each)
        for i, text in enumerate(texts):
            texts[i] = " ".join(WORDS[int(word[1:]) % len(WORDS)] for word in text.split())
        return texts, labels


@pytest.mark.parametrize(
    ("family", "made"), [("bert", AutoModelForMaskedLM), ("gpt2", AutoModelForCausalLM)]
)
def test_reading_lowers_the_loss_of_tokens_and_moves_the_backbone(tmp_path, family, made):
    _, source = loaded(tmp_path, family, made)
    plan = Training(steps=80, batch_size=16, lr=0.01, schedule="constant")
    arguments = {"then": LogisticProbe(), "share": 1.0, "masked": 0.3, "lr_factor": 1.0}
    bench = Bench(FurtherPretraining, arguments, training=plan, domain=KnownWords, source=source)
    run = bench.run(3)
    losses = run.fitted.curves["train_loss"]
    assert losses[-10:].mean() < 0.9 * losses[:10].mean()
    start = source.initial().state_dict()
    assert any(not torch.equal(v, run.state[f"backbone.{n}"]) for n, v in start.items())


def test_embeddings_of_another_width_are_impossible(tmp_path):
    _, source = loaded(tmp_path, "electra", AutoModelForMaskedLM)
    bench = Bench(
        FurtherPretraining, {"then": FullFinetuning()}, domain=TinyTextDomain, source=source
    )
    with pytest.raises(ImpossibleError, match="embeddings of another width"):
        bench.set_up(3)
