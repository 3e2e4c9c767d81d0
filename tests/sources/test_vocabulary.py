"""Another tokenizer for a text model, whose known tokens keep their embeddings."""

import pytest
import torch
from tokenizers import decoders

from small_models import FAMILIES, pretrained
from transfergrid.sources.backbones import vocabulary
from transfergrid.sources.transformers import TransformersArchitecture, TransformersSource
from transfergrid.strategies import ImpossibleError
from transfergrid.testing.tiny import TinyArchitecture
from transfergrid.testing.tiny_text import TinyTextArchitecture

TEXTS = ["moon and mooncake", ("the cake of the moon", "a moonlit cake"), "cakes by moonlight"]


def loaded(folder):
    return TransformersSource(TransformersArchitecture(folder=str(folder))).initial()


@pytest.fixture(params=["bert", "gpt2"])
def folder(request, tmp_path):
    return pretrained(tmp_path, request.param)


def test_known_tokens_keep_their_rows_and_others_have_the_mean_of_their_pieces(folder):
    backbone, before = loaded(folder), loaded(folder)
    if folder.name == "gpt2":  # as the real one has it
        backbone.preprocess.tokenizer.backend_tokenizer.decoder = decoders.ByteLevel()
    old, words = before.preprocess.tokenizer, before.network.get_input_embeddings().weight
    backbone.take_vocabulary(backbone.learned_vocabulary(lambda: TEXTS, 330))
    new, rows = backbone.preprocess.tokenizer, backbone.network.get_input_embeddings().weight
    assert rows.shape == (len(new), words.shape[1])
    known = old.get_vocab().keys() & new.get_vocab().keys()
    assert known
    for token in known:
        assert torch.equal(rows[new.get_vocab()[token]], words[old.get_vocab()[token]])
    wholes = {t for t in new.get_vocab() if t.endswith("moon") and t not in old.get_vocab()}
    assert "moon" in wholes
    for whole in wholes:
        text = whole.replace("Ġ", " ").removeprefix("##")
        pieces = old(text, add_special_tokens=False)["input_ids"]
        mean = sum(words[i] for i in pieces) / len(pieces)
        torch.testing.assert_close(rows[new.get_vocab()[whole]], mean)
    assert backbone.notes["vocabulary"] == {"tokens": len(new), "known": len(known)}


def test_it_runs_on_the_new_tokens_and_is_cut_between_its_layers(folder):
    backbone = loaded(folder)
    identity = backbone.preprocess.identity
    backbone.take_vocabulary(backbone.learned_vocabulary(lambda: TEXTS, 330))
    assert backbone.preprocess.identity != identity
    prepared = backbone.preprocess.prepare(["a mooncake", "moonlight by the moon and the cake"])
    inputs = backbone.preprocess.finish(prepared, "none", None)
    with torch.no_grad():
        whole = backbone.eval().embed(inputs)
        assert torch.equal(backbone.suffix(2)(backbone.prefix(2)(inputs)), whole)
    assert backbone.fingerprint() != loaded(folder).fingerprint()


def test_the_same_texts_make_the_same_tokens_and_their_text_an_equal_tokenizer(folder):
    one, other = loaded(folder), loaded(folder)
    told = one.learned_vocabulary(lambda: TEXTS, 330)
    assert told == other.learned_vocabulary(lambda: TEXTS, 330)
    one.take_vocabulary(told)
    other.take_vocabulary(one.vocabulary())
    assert one.preprocess == other.preprocess


def test_special_tokens_stay(folder):
    backbone = loaded(folder)
    before = backbone.preprocess.tokenizer.special_tokens_map
    backbone.take_vocabulary(backbone.learned_vocabulary(lambda: TEXTS, 330))
    assert backbone.preprocess.tokenizer.special_tokens_map == before


def test_where_there_is_none_it_is_impossible(tmp_path):
    with pytest.raises(ImpossibleError, match="takes no texts"):
        TinyArchitecture().build().learned_vocabulary(lambda: [], 10)
    with pytest.raises(ImpossibleError, match="cannot be trained anew"):
        vocabulary.told(TinyTextArchitecture().build().preprocess.tokenizer, "tiny")


def test_positions_that_count_from_padding_are_refused_where_it_moves(tmp_path, monkeypatch):
    family = next(name for name in FAMILIES if "roberta" in name)
    backbone = loaded(pretrained(tmp_path, family))
    told = backbone.learned_vocabulary(lambda: TEXTS, 330)
    moved = vocabulary.made(told, backbone.preprocess.tokenizer)
    moved.pad_token = moved.unk_token
    monkeypatch.setattr(vocabulary, "made", lambda text, like: moved)
    with pytest.raises(ImpossibleError, match="counts positions from its padding"):
        backbone.take_vocabulary(told)
