"""A tiny chat model made and saved on the spot: a byte-level BPE tokenizer with a chat template, and random weights.

Its answers are nonsense, but the same ones at every call, so it serves wherever a test needs a real local model.
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


def make_tokenizer(vocabulary: int = 512) -> Any:
    """A fast tokenizer trained on made sentences: <|start|> and <|end|> are its control tokens, <|end|> ends an answer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    draw = random.Random(0)
    sentences = [" ".join(draw.choices(WORDS, k=12)) for _ in range(400)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|pad|>", "<|start|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>")
    fast.add_special_tokens({"additional_special_tokens": ["<|start|>"]})
    fast.chat_template = TEMPLATE
    return fast


def make_model(
    kind: str = "llama", *, vocabulary: int = 512, hidden: int = 64, layers: int = 2, seed: int = 0, **more: Any
) -> Any:
    """A randomly initialised model of that type ("llama", "qwen2", "gpt2", "gemma2" with a sliding window), in float32.

    The default has about 0.1 million parameters. Weights are spread wider than for training: answers vary more.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": 3 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": hidden // 4,
        "max_position_embeddings": 2048,
        "initializer_range": 0.12,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "pad_token_id": 0,
        "eos_token_id": 2,
    }
    if kind == "gpt2":
        sizes = {
            "vocab_size": vocabulary,
            "n_embd": hidden,
            "n_layer": layers,
            "n_head": 4,
            "n_positions": 1024,
            "initializer_range": 0.12,
        }
        sizes |= {"bos_token_id": None, "eos_token_id": 2}
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **(sizes | more))).eval()


def make(folder: Path, kind: str = "llama", **sizes: Any) -> Path:
    """Save a tiny model with its tokenizer; returns the folder, for `hf:FOLDER`."""
    make_model(kind, **sizes).save_pretrained(folder, safe_serialization=True)
    make_tokenizer(sizes.get("vocabulary", 512)).save_pretrained(folder)
    return folder
