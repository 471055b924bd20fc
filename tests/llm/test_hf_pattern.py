"""Answers held to a regular expression: the best of what the pattern allows is chosen, and neighbours notice nothing."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import regex
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.api import Catalogue, Item
from harness.errors import LlmError
from harness.llm import ChatMessage, ChatRequest, Completion
from harness.llm.hf import HfModel
from harness.llm.hf_load import HfOptions
from harness.llm.hf_pattern import Patterns
from harness_plugins.recommenders.smtpo import chain
from harness_plugins.smtpo import tiny
from tests.llm import tiny_model

SENTENCE = r"(?:yes|no), (?:it is|they are) [a-z]{3,9}\."


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@contextmanager
def opened(folder: Path, **options: Any) -> Iterator[HfModel]:
    model = HfModel(str(folder), HfOptions(threads=1, **options))
    try:
        yield model
    finally:
        asyncio.run(model.close())


def requests(count: int, **fields: Any) -> list[ChatRequest]:
    """Different prompts, one seed each."""
    return [
        ChatRequest((ChatMessage("user", tiny_model.sentence(4 + 5 * n % 30, n)),), **({"max_tokens": 30, "seed": n} | fields))
        for n in range(count)
    ]


def answers(model: HfModel, asked: Sequence[ChatRequest]) -> list[Completion]:
    async def work() -> list[Completion]:
        return await asyncio.gather(*map(model.chat, asked))

    return asyncio.run(work())


def searched(folder: Path, request: ChatRequest) -> str:
    """The greedy answer by trying every token of the vocabulary against the pattern; one forward pass of transformers each."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    plain = [{"role": m.role, "content": m.content} for m in request.messages]
    ids = tokenizer.apply_chat_template(plain, add_generation_prompt=True, return_dict=False)
    tokens = [tokenizer.decode([n]) if n not in tokenizer.all_special_ids else None for n in range(len(tokenizer))]
    pattern, said = regex.compile(request.pattern or ""), ""
    for _ in range(request.max_tokens):
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1]
        best = max(
            (n for n, token in enumerate(tokens) if token and pattern.fullmatch(said + token, partial=True)),
            key=lambda n: float(logits[n]),
            default=None,
        )
        ends = pattern.fullmatch(said) is not None
        if best is None or (ends and logits[tokenizer.eos_token_id] > logits[best]):
            break
        ids, said = [*ids, best], said + str(tokens[best])
    return said


@pytest.mark.parametrize("pattern", [SENTENCE, r"[a-z ]{5,60}", r"(?:ab?c|[^a-m]{2,4})+"])
def test_the_best_allowed_token_is_taken_at_every_step(tiny_folder: Path, pattern: str) -> None:
    asked = requests(3, pattern=pattern)
    with opened(tiny_folder) as model:
        got = answers(model, asked)
    with torch.inference_mode():
        assert [answer.text for answer in got] == [searched(tiny_folder, request) for request in asked]


def test_rows_without_a_pattern_are_as_they_were_and_held_ones_do_not_depend_on_company(tiny_folder: Path) -> None:
    for fields in ({}, {"temperature": 1.0, "top_p": 0.9}):
        free, held = requests(12, **fields), requests(12, pattern=SENTENCE, **fields)
        mixed = [(held if n % 2 else free)[n] for n in range(12)]
        with opened(tiny_folder) as model:
            got = answers(model, mixed)
        with opened(tiny_folder) as model:
            alone = [answers(model, [request])[0] for request in mixed]
        assert got == alone
        told = [answer for n, answer in enumerate(got) if n % 2]
        assert all(re.fullmatch(SENTENCE, answer.text) and answer.finish == "stop" for answer in told)
        assert len({answer.text for answer in told}) > 1


def test_the_limit_and_stop_strings_still_cut(tiny_folder: Path) -> None:
    with opened(tiny_folder) as model:
        cut, whole, stopped = answers(
            model,
            [requests(1, pattern=SENTENCE, **more)[0] for more in ({"max_tokens": 4}, {}, {"stop": ("are", " is")})],
        )
    assert cut.finish == "length"
    assert whole.text.startswith(cut.text)
    assert whole.finish == stopped.finish == "stop"
    assert stopped.text in ("yes, it", "yes, they ", "no, it", "no, they ")


def test_logits_beyond_the_vocabulary_and_a_second_end_token(tmp_path: Path) -> None:
    tokenizer = tiny_model.make_tokenizer()
    model = tiny_model.make_model(vocabulary=len(tokenizer) + 45)
    model.generation_config.eos_token_id = [2, tokenizer.convert_tokens_to_ids("<|start|>")]
    with opened(tiny_model.save(tmp_path, model, tokenizer)) as loaded:
        for answer in answers(loaded, requests(8, pattern=r"(?:[a-z]{1,3} ){1,12}", temperature=2.0)):
            assert answer.finish == "length" or re.fullmatch(r"(?:[a-z]{1,3} ){1,12}", answer.text)


def test_what_cannot_be_done_is_said(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tiny_folder) as model:
        for pattern, reason in (("a(b", "unclosed group"), ("(?=a)b", "look-around"), ("é+", "no token of the model")):
            with pytest.raises(LlmError, match=reason):
                answers(model, requests(1, pattern=pattern))
        assert answers(model, requests(1, pattern=SENTENCE))[0].finish == "stop"
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with opened(tiny_folder) as model, pytest.raises(LlmError, match=r"crs-harness\[constrain\]"):
        answers(model, requests(1, pattern=SENTENCE))


def test_the_tokens_that_a_tokenizer_has_for_the_form_are_allowed() -> None:
    films = Catalogue([Item("a", "A", 1990, {"genre": ("Horror", "Sci-Fi"), "country": ("Japan",)})])
    marks = [*map(chain.identifier, range(1, 3)), *chain.MARKS, "\n"]
    tokenizer = tiny.make_tokenizer(["some text 0123456789", "has horror"] * 3, films, marks, 400)
    ends = frozenset([tokenizer.eos_token_id])
    guide = Patterns("tiny", SimpleNamespace(tokenizer=tokenizer, end_tokens=ends)).guide(chain.pattern(2, 2))  # type: ignore[arg-type]
    matches = (chain.Match(2, ("Horror",), ("Japan",)),)
    text = chain.render(chain.Chain(("Horror", "Sci-Fi"), ("Japan",), matches, ((2, 8),), (2, 1), "[C02] has Horror", (2, 1)))
    complete = False
    for token in tokenizer.encode(text):
        assert not complete
        bits = np.zeros(guide.width, np.uint8)
        guide.fill(bits)
        assert np.unpackbits(bits, bitorder="little")[token], tokenizer.convert_ids_to_tokens(token)
        complete = guide.take(token)
    assert complete


def test_nonsense_in_the_form_of_a_chain_is_read_but_for_repeated_candidates(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "_FREE", 12)  # a random model uses up whatever it may say
    monkeypatch.setattr(chain, "_ENTRY_FREE", 8)
    read = 0
    with opened(tiny_folder) as model:
        for answer in answers(model, requests(8, pattern=chain.pattern(30, 1), max_tokens=600, temperature=1.0)):
            assert answer.finish == "stop"
            try:
                assert len(chain.parse(answer.text, 30, 1).answer) == 1
                read += 1
            except chain.MalformedChain as error:
                assert "names a candidate twice" in str(error)  # noqa: PT017
    assert read
