"""Tiny chat models made and saved on the spot: a byte-level BPE tokenizer with a chat template, and weights that are random.

Their answers are nonsense, but the same nonsense at every call, so they serve wherever a test needs a real local model.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message.role }}\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
WORDS = (
    "I you we they like love hate want watch saw need would could a an the some film films movie movies story plot scary funny"
    " sad old new great boring slow long short recommend about with from for and or but not no yes please thanks tonight"
    " something else director actor genre comedy drama horror space robot ocean island winter summer family detective music"
).split()


def sentence(words: int, seed: int) -> str:
    """Made text, in words that the tokenizer knows."""
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def make_tokenizer(*, every_byte: bool = False) -> Any:
    """A fast tokenizer of some hundred tokens. <|start|> and <|end|> are its control tokens; <|end|> ends an answer.

    It knows printable ASCII and drops the rest, so that nonsense is readable; with `every_byte` it knows all texts.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    ascii_only = [*map(chr, range(33, 127)), "Ġ", "Ċ"]  # as a byte-level vocabulary writes them
    trainer = trainers.BpeTrainer(
        vocab_size=1_000,
        special_tokens=["<|pad|>", "<|start|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if every_byte else ascii_only,
        show_progress=False,
    )
    tokenizer.train_from_iterator([sentence(12, n) for n in range(400)], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>")
    fast.add_special_tokens({"additional_special_tokens": ["<|start|>"]})
    fast.chat_template = TEMPLATE
    return fast


def make_model(kind: str = "llama", *, vocabulary: int, hidden: int = 64, layers: int = 2, seed: int = 0, **more: Any) -> Any:
    """A randomly initialised model of that type ("llama", "qwen2", "gpt2", "gemma2", ...), in float32.

    The default has about 0.1 million parameters. Weights are spread wider than for training, so that answers vary more.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes: dict[str, Any] = {"vocab_size": vocabulary, "initializer_range": 0.12, "bos_token_id": None, "eos_token_id": 2}
    if kind == "gpt2":
        sizes |= {"n_embd": hidden, "n_layer": layers, "n_head": 4, "n_positions": 1024}
    else:
        sizes |= {
            "hidden_size": hidden,
            "intermediate_size": 3 * hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": hidden // 4,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": True,
            "pad_token_id": 0,
        }
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **(sizes | more))).eval()


def make(folder: Path, kind: str = "llama", **sizes: Any) -> Path:
    """Save a tiny model with its tokenizer; returns the folder, for `hf:FOLDER`."""
    tokenizer = make_tokenizer()
    return save(folder, make_model(kind, vocabulary=len(tokenizer), **sizes), tokenizer)


def save(folder: Path, model: Any, tokenizer: Any) -> Path:
    """Both in one folder, weights as safetensors, without a progress bar."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    logging.enable_progress_bar()
    return folder
