"""The language model that the simulator's training starts from: a pretrained one, or a tiny one made for the prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from harness.api import Catalogue

from ...prompting import Prompt
from ...smtpo.tiny import TinySettings, make_model, make_tokenizer
from ...smtpo.user.alignment import NAMES

_MARK: Final = re.compile(r"<[-+!~]?[\w?]+>")


def tiny(prompt: Prompt, texts: Sequence[str], catalogue: Catalogue, settings: TinySettings, seed: int) -> tuple[Any, Any]:
    """(model, tokenizer): marks, of the prompt and in texts, and the pieces of an alignment's JSON are one token each."""
    from tokenizers import AddedToken

    tokenizer = make_tokenizer(texts, catalogue, (), settings.pieces)
    written = sorted({mark for text in texts for mark in _MARK.findall(text)})
    marks = [
        AddedToken(mark, lstrip=True, normalized=False)
        for mark in dict.fromkeys((*_MARK.findall(prompt.source), *written, *_json()))
    ]
    tokenizer.add_tokens(marks)
    _write_blanks(tokenizer, catalogue)
    return make_model(tokenizer, settings, seed), tokenizer


def pretrained(path: str) -> tuple[Any, Any]:
    """(model, tokenizer) of a transformers folder or name."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(path, torch_dtype="auto"), AutoTokenizer.from_pretrained(path)


def save(model: Any, tokenizer: Any, folder: Path, *, half: bool) -> None:
    """A whole transformers folder; `half`: weights in float16, which costs a tiny model nothing that can be measured. The model
    keeps its own number format: it may be trained on."""
    import torch

    kept = model.dtype
    (model.to(torch.float16) if half else model).save_pretrained(folder)
    model.to(kept)
    tokenizer.save_pretrained(folder)


def _json() -> list[str]:
    """What stands between the values of an alignment."""
    first, *others = NAMES
    pieces = ['","', f'{{"{first}":["', f'{{"{first}":[],', '"]}', "[]}"]
    for name in others:
        pieces += [
            f'"],"{name}":["',
            f'"{name}":["',
            f'"],"{name}":[],',
            f'"{name}":[],',
            f'"],"{name}":[]}}',
            f'"{name}":[]}}',
        ]
    return sorted(pieces, key=len, reverse=True)


def _write_blanks(tokenizer: Any, catalogue: Catalogue) -> None:
    """Let attribute values be decoded with the blank before them that their tokens have swallowed."""
    from tokenizers import Regex, decoders

    values = sorted({value.lower() for item in catalogue for held in item.attributes.values() for value in held})
    if not values:
        return
    # Matches the empty place before a token that is a value and nothing else.
    before = "(?=^(?:" + "|".join(map(re.escape, values)).replace("\\ ", " ") + ")$)"
    inner = tokenizer.backend_tokenizer
    inner.decoder = decoders.Sequence([decoders.Replace(Regex(before), " "), inner.decoder])
