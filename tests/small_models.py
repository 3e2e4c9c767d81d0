"""Folders of transformers models with tiny random weights and tokenizers trained on the spot."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

TEXTS = [
    "the cat sat on the mat, quietly",
    "a dog barks at night",
    "why is the sky so blue?",
    "what a fine film this is, and how long",
]
SHARED = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}
ENCODERS: dict[str, dict[str, Any]] = {
    "bert": SHARED,
    "distilbert": {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24}
    | {"max_position_embeddings": 40},
    "roberta": SHARED | {"pad_token_id": 0, "type_vocab_size": 1},
    "electra": SHARED | {"embedding_size": 8},
    "mpnet": SHARED | {"pad_token_id": 0},
    "deberta-v2": SHARED
    | {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"]}
    | {"conv_kernel_size": 3, "norm_rel_ebd": "layer_norm", "share_att_key": True}
    | {"type_vocab_size": 0, "position_biased_input": False},
    "albert": SHARED | {"embedding_size": 8},
    "modernbert": SHARED
    | {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3}
    | {"bos_token_id": 2, "eos_token_id": 3, "local_attention": 4}
    | {"global_attn_every_n_layers": 2},
}
DECODERS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 40}
    | {"bos_token_id": 0, "eos_token_id": 0},
    "llama": SHARED | {"num_key_value_heads": 1, "pad_token_id": None},
}
FAMILIES = ENCODERS | DECODERS


def wordpieces() -> PreTrainedTokenizerFast:
    """A tokenizer as BERT has it."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    made.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=60, special_tokens=special, show_progress=False)
    )
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = ["input_ids", "token_type_ids", "attention_mask"]
    roles = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=made, model_input_names=names, **roles)


def bytes_without_padding() -> PreTrainedTokenizerFast:
    """A tokenizer as GPT-2 has it: no special tokens, none for padding."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<|endoftext|>"]
    made.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=80, special_tokens=special, show_progress=False)
    )
    names = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=made, model_input_names=names, eos_token=special[0]
    )


def described(root: Path, family: str, **changes: Any) -> Path:
    """Write config and tokenizer of a family; return the folder."""
    folder = root / family
    tokenizer = bytes_without_padding() if family in DECODERS else wordpieces()
    tokenizer.save_pretrained(folder)
    config = AutoConfig.for_model(family, **({"vocab_size": 90} | FAMILIES[family] | changes))
    config.save_pretrained(folder)
    return folder


def pretrained(root: Path, family: str, **changes: Any) -> Path:
    """Write weights too."""
    folder = described(root, family, **changes)
    torch.manual_seed(7)
    AutoModel.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    return folder


def rewritten(file: Path, **changes: Any) -> None:
    """Change values of a JSON file."""
    values = json.loads(file.read_text())
    file.write_text(json.dumps(values | changes))
