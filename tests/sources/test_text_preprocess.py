"""Texts become tokens: padded, cut, thinned out, and the same every time."""

import copy

import numpy as np
import pytest
import torch

from small_models import TEXTS, bytes_without_padding, wordpieces
from transfergrid.data.text import TextExamples
from transfergrid.data.views import Prepared, take
from transfergrid.records.errors import BadInputError
from transfergrid.sources.preprocessing.text import SPECIAL, TextPreprocess
from transfergrid.testing.tiny_text import WordTokenizer

PAIRS = [("a dog barks", "at night"), ("why is the sky", "the cat sat on the mat")]


@pytest.fixture(scope="module")
def bert() -> TextPreprocess:
    return TextPreprocess.of(wordpieces(), 40)


@pytest.fixture(scope="module")
def gpt() -> TextPreprocess:
    return TextPreprocess.of(bytes_without_padding(), 40)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tokens(inputs: dict[str, torch.Tensor], row: int) -> list[int]:
    return inputs["input_ids"][row][inputs["attention_mask"][row] == 1].tolist()


class TestPrepare:
    def test_gives_the_tokenizers_own_tokens(self, bert, gpt):
        for preprocess in (bert, gpt):
            prepared = preprocess.prepare(TEXTS)
            for row, text in enumerate(TEXTS):
                assert tokens(prepared, row) == preprocess.tokenizer(text)["input_ids"]
            for name in preprocess.names:
                assert prepared[name].dtype == torch.int64
                assert prepared[name].shape == prepared["words"].shape
            assert prepared["words"].dtype == torch.int16

    def test_pads_on_the_right(self, bert, gpt):
        for preprocess in (bert, gpt):
            mask = preprocess.prepare(TEXTS)["attention_mask"]
            assert torch.equal(mask, mask.sort(dim=1, descending=True).values)
            assert mask.sum(1).max() == mask.shape[1] > mask.sum(1).min()

    def test_numbers_words_and_nothing_else(self, bert):
        prepared = bert.prepare(["cat sat, quietly"])
        words = prepared["words"][0].tolist()
        assert words[0] == words[-1] == SPECIAL
        found = bert.tokenizer("cat sat, quietly").word_ids()
        assert words[1:-1] == found[1:-1]
        assert sorted(set(words[1:-1])) == [0, 1, 2, 3]

    def test_pairs_have_types_and_words_of_their_own(self, bert):
        prepared = bert.prepare(PAIRS)
        first, second = PAIRS[0]
        assert tokens(prepared, 0) == bert.tokenizer(first, second)["input_ids"]
        types, words = prepared["token_type_ids"][0], prepared["words"][0]
        kept = words != SPECIAL
        assert set(words[kept & (types == 0)].tolist()) == {0, 1, 2}
        assert set(words[kept & (types == 1)].tolist()) == {3, 4}

    def test_cuts_and_counts_what_is_too_long(self, gpt):
        short = TextPreprocess(gpt.identity, 6, gpt.tokenizer)
        prepared = short.prepare(["a dog", " ".join(TEXTS)])
        assert prepared["input_ids"].shape == (2, 6)
        assert prepared["cut"].tolist() == [False, True]
        assert short.cut(prepared) == 1
        assert short.cut(take(prepared, torch.tensor([0]))) == 0

    def test_cut_texts_keep_their_special_tokens(self, bert):
        short = TextPreprocess(bert.identity, 6, bert.tokenizer)
        row = tokens(short.prepare([" ".join(TEXTS)]), 0)
        assert len(row) == 6
        assert (row[0], row[-1]) == (2, 3)

    def test_an_empty_text_is_one_token(self, gpt):
        prepared = gpt.prepare(["", "a dog"])
        assert prepared["attention_mask"].sum(1)[0] == 1
        assert prepared["words"][0, 0] == SPECIAL
        assert gpt.finish(prepared, "strong", rng())["attention_mask"].sum(1).min() >= 1

    def test_of_nothing_is_nothing(self, bert):
        prepared = bert.prepare([])
        assert all(len(value) == 0 for value in prepared.values())
        assert bert.finish(prepared, "none", None).keys() == set(bert.names)

    @pytest.mark.parametrize("raw", [[1], [("a", "b", "c")], ["a", ("a", "b")], [("a", 2)], [None]])
    def test_what_is_no_text_is_told(self, bert, raw):
        with pytest.raises(BadInputError, match="a text must be a string, or all pairs"):
            bert.prepare(raw)


class TestFinish:
    def test_trims_to_the_longest_of_the_batch(self, bert):
        prepared = bert.prepare(TEXTS)
        lengths = prepared["attention_mask"].sum(1)
        shortest = take(prepared, lengths.argmin().view(1))
        inputs = bert.finish(shortest, "none", None)
        assert inputs.keys() == set(bert.names)
        assert all(value.shape == (1, lengths.min()) for value in inputs.values())
        assert tokens(inputs, 0) == tokens(prepared, int(lengths.argmin()))

    @pytest.mark.parametrize(("augmentation", "chance"), [("light", 0.1), ("strong", 0.25)])
    def test_leaves_out_whole_words_as_often_as_it_says(self, bert, augmentation, chance):
        prepared = bert.prepare([TEXTS[3]] * 500)
        words = prepared["words"][0]
        inputs = bert.finish(prepared, augmentation, rng())
        whole = {w: prepared["input_ids"][0][words == w].tolist() for w in range(words.max() + 1)}
        left = 0
        for row in range(500):
            kept = tokens(inputs, row)
            assert (kept[0], kept[-1]) == (2, 3)
            rest = kept[1:-1]
            for pieces in whole.values():  # in order, each word entirely or not at all
                if rest[: len(pieces)] == pieces:
                    rest = rest[len(pieces) :]
                else:
                    left += 1
            assert rest == []
        share = left / (500 * len(whole))
        assert abs(share - chance) < 4 * (chance * (1 - chance) / (500 * len(whole))) ** 0.5

    def test_some_word_always_stays(self, gpt):
        prepared = gpt.prepare(["cat"] * 200)
        whole = tokens(prepared, 0)
        inputs = gpt.finish(prepared, "strong", rng())
        assert all(tokens(inputs, row) == whole for row in range(200))

    def test_some_word_of_each_text_of_a_pair_always_stays(self, bert, gpt):
        """Without a guard for each, a text of one word is left out of every fourth pair."""
        pairs = [("cat", "a dog barks"), ("a dog barks", "cat"), ("cat", ""), ("", "cat")]
        for preprocess in (bert, gpt):
            prepared = preprocess.prepare(pairs * 100)
            inputs = preprocess.finish(prepared, "strong", rng())
            cat = preprocess.tokenizer("cat", add_special_tokens=False)["input_ids"]
            shorter = 0
            for row in range(400):
                kept = tokens(inputs, row)
                begins = [i for i in range(len(kept)) if kept[i : i + len(cat)] == cat]
                other = len(kept) - len(cat) - len(preprocess.tokenizer("", "")["input_ids"])
                assert begins
                assert other > 0 or row % 4 > 1
                shorter += len(kept) < len(tokens(prepared, row))
            assert shorter > 50

    def test_what_is_left_is_moved_together_and_padded(self, bert):
        inputs = bert.finish(bert.prepare(TEXTS * 20), "strong", rng())
        mask = inputs["attention_mask"]
        assert torch.equal(mask, mask.sort(dim=1, descending=True).values)
        assert mask.sum(1).max() == mask.shape[1]
        assert (inputs["input_ids"][mask == 0] == bert.padding).all()
        assert (inputs["token_type_ids"][mask == 0] == 0).all()

    def test_types_move_with_their_tokens(self, bert):
        plain = bert.finish(bert.prepare(PAIRS), "none", None)
        thinned = bert.finish(bert.prepare(PAIRS * 50), "strong", rng())
        for row in range(100):
            known = list(
                zip(tokens(plain, row % 2), plain["token_type_ids"][row % 2].tolist(), strict=False)
            )
            length = int(thinned["attention_mask"][row].sum())
            kinds = thinned["token_type_ids"][row][:length].tolist()
            remaining = iter(known)
            kept = zip(tokens(thinned, row), kinds, strict=True)
            assert all(pair in remaining for pair in kept)  # as a subsequence

    def test_is_a_function_of_the_generator(self, bert):
        prepared = bert.prepare(TEXTS)
        one, same, other = (bert.finish(prepared, "strong", rng(seed)) for seed in (1, 1, 2))
        assert torch.equal(one["input_ids"], same["input_ids"])
        assert [tokens(one, r) for r in range(4)] != [tokens(other, r) for r in range(4)]
        plain = bert.finish(prepared, "none", None)
        for inputs in (bert.finish(prepared, "strong", None), bert.finish(prepared, "none", rng())):
            assert torch.equal(inputs["input_ids"], plain["input_ids"])

    def test_a_misspelt_augmentation_is_told(self, bert):
        with pytest.raises(BadInputError, match="did you mean strong"):
            bert.finish(bert.prepare(TEXTS), "stong", None)


class TestTokenizers:
    def test_without_a_padding_token_are_not_given_one(self, gpt):
        before = len(gpt.tokenizer)
        prepared = gpt.prepare(TEXTS)
        assert gpt.tokenizer.pad_token_id is None
        assert len(gpt.tokenizer) == before
        ends = gpt.tokenizer.eos_token_id
        assert (prepared["input_ids"][prepared["attention_mask"] == 0] == ends).all()

    def test_that_are_slow_take_each_token_for_a_word(self):
        slow = TextPreprocess.of(WordTokenizer(), 9)
        prepared = slow.prepare(["w3 w1 w2", "w5"])
        assert prepared["words"].tolist() == [[0, 1, 2], [0, SPECIAL, SPECIAL]]

    def test_that_see_one_word_in_a_text_take_each_token_for_a_word(self):
        whole = bytes_without_padding()
        from tokenizers import pre_tokenizers

        whole.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
        preprocess = TextPreprocess.of(whole, 40)
        words = preprocess.prepare([TEXTS[0]])["words"][0]
        assert words.tolist() == list(range(len(words)))
        pair = preprocess.prepare([(TEXTS[0], TEXTS[1]), (TEXTS[1], "")])
        assert pair["words"][0].tolist() == list(range(len(pair["words"][0])))
        assert pair["second"][0] == len(words)


@pytest.mark.parametrize("raw", [TEXTS, PAIRS])
def test_prepared_part_by_part_is_as_if_together(monkeypatch, bert, gpt, raw):
    monkeypatch.setattr("transfergrid.data.views.AT_ONCE", 1)
    for preprocess in (bert, gpt):
        split = Prepared(TextExamples(raw, np.zeros(len(raw), dtype=np.int64)), preprocess)
        found, expected = split.rows(np.arange(len(raw))), preprocess.prepare(raw)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


class TestEquality:
    def test_is_that_of_the_inputs_made(self, bert, gpt):
        twin = copy.deepcopy(bert.tokenizer)
        twin.padding_side = "left"  # nothing that is asked for here
        same = TextPreprocess.of(twin, 40)
        same.prepare(TEXTS)
        assert same == bert
        assert hash(same) == hash(bert)
        assert TextPreprocess.of(twin, 39) != bert
        assert gpt != bert
        twin.truncation_side = "left"  # another part of what is too long
        assert TextPreprocess.of(twin, 40) != bert
        twin.truncation_side = bert.tokenizer.truncation_side
        assert TextPreprocess.of(twin, 40) == bert
        twin.add_tokens(["quietly"])
        assert TextPreprocess.of(twin, 40) != bert

    def test_a_copy_is_the_same_object(self, bert):
        assert copy.deepcopy(bert) is bert
