"""The tiny language model: a Llama of about a million parameters with a tokenizer of its own, made on the spot.

It shares everything with a large model but its size: a transformers folder with a chat template, loaded by `hf:PATH`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import msgspec

from harness.api import Catalogue

PAD: Final = "<pad>"
END: Final = "</s>"
USER: Final = "<|user|>"
ASSISTANT: Final = "<|assistant|>"
_UNKNOWN: Final = "<unk>"
# No role but the assistant's turn needs an end: prompts here are one message.
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}" + ASSISTANT + "{{ message['content'] }}" + END + "{% else %}" + USER
    + "{{ message['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}" + ASSISTANT + "{% endif %}"
)  # fmt: skip


class TinySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Size and shape of the tiny model. Defaults: about 1.4 million parameters, a third of them embeddings."""

    width: Annotated[int, msgspec.Meta(ge=16, description="hidden size")] = 128
    layers: Annotated[int, msgspec.Meta(ge=1)] = 4
    heads: Annotated[int, msgspec.Meta(ge=1)] = 4
    kv_heads: Annotated[
        int, msgspec.Meta(ge=0, description="heads of keys and values, shared by groups of heads; 0: one per head")
    ] = 0
    inner: Annotated[int, msgspec.Meta(ge=16, description="size of the feed-forward layer")] = 384
    context: Annotated[int, msgspec.Meta(ge=64, description="longest sequence, in tokens")] = 1024
    pieces: Annotated[int, msgspec.Meta(ge=300, description="word pieces beside attribute values and marks")] = 1500


def make_tokenizer(texts: Iterable[str], catalogue: Catalogue, marks: Sequence[str], pieces: int) -> Any:
    """A lower-casing BPE tokenizer in which each attribute value of the catalogue and each of `marks` is one token.

    Other values, of a catalogue that it has not seen, are spelled by word pieces and, at the last, by bytes. Equal arguments
    give an equal tokenizer. `marks` keep their case.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token=_UNKNOWN, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="never"),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    values = [value for item in catalogue for held in item.attributes.values() for value in held]
    trainer = trainers.BpeTrainer(
        vocab_size=pieces,
        min_frequency=2,
        special_tokens=[PAD, _UNKNOWN, END, USER, ASSISTANT, *(f"<0x{byte:02X}>" for byte in range(256))],
        show_progress=False,
    )
    tokenizer.train_from_iterator((*texts, *sorted(set(values))), trainer)
    # A value stands for itself wherever it is written, whatever its case; blanks around it are not worth a token.
    tokenizer.add_tokens(
        [
            AddedToken(value, single_word=True, lstrip=True, normalized=True)
            for value in dict.fromkeys(sorted(values, key=str.lower))
        ]
    )
    tokenizer.add_tokens([AddedToken(mark, lstrip=True, rstrip=True, normalized=False) for mark in marks])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=_UNKNOWN,
        additional_special_tokens=[USER, ASSISTANT],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_model(tokenizer: Any, settings: TinySettings, seed: int) -> Any:
    """A randomly initialised LlamaForCausalLM for that tokenizer, embeddings tied; draws from its own generator."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        intermediate_size=settings.inner,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.kv_heads or settings.heads,
        max_position_embeddings=settings.context,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        initializer_range=0.02,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config.do_sample = False
    return model
