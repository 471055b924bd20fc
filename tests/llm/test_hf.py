"""A local model: what it says is what the weights say, alone or among others, and its limits and errors are plain."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.errors import LlmError, RefusedError
from harness.llm import ChatMessage, ChatRequest, Completion
from harness.llm.build import build
from harness.llm.hf import HfModel
from harness.llm.hf_load import HfOptions
from harness.llm.layers import Layers
from tests.llm import tiny_model
from tests.llm.asking import ask, quick, run


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine cost more than they bring."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@contextmanager
def opened(folder: Path, **options: Any) -> Iterator[HfModel]:
    """A model that is closed in the end."""
    model = HfModel(str(folder), HfOptions(threads=1, **options))
    try:
        yield model
    finally:
        asyncio.run(model.close())


def requests(count: int = 20, **fields: Any) -> list[ChatRequest]:
    """Different prompts of 20 to 120 tokens, with the same instructions, and limits of 3 to 30."""
    system = ChatMessage("system", tiny_model.sentence(30, 0))
    return [
        ChatRequest(
            (system, ChatMessage("user", tiny_model.sentence(5 + 7 * n % 60, n + 1))),
            **{"max_tokens": 3 + 5 * n % 28, "seed": n} | fields,
        )
        for n in range(count)
    ]


async def at_once(model: Any, asked: Sequence[ChatRequest]) -> list[Completion]:
    return await asyncio.gather(*map(model.chat, asked))


async def one_by_one(model: Any, asked: Sequence[ChatRequest]) -> list[Completion]:
    return [await model.chat(request) for request in asked]


def generated(folder: Path, asked: Sequence[ChatRequest]) -> list[list[int]]:
    """The greedy answers by transformers' own generate, one prompt at a time."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    answers = []
    for request in asked:
        plain = [{"role": m.role, "content": m.content} for m in request.messages]
        ids = tokenizer.apply_chat_template(plain, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        out = model.generate(**ids, max_new_tokens=request.max_tokens, do_sample=False, pad_token_id=0)
        answers.append(out[0, ids["input_ids"].shape[1] :].tolist())
    return answers


def changed(folder: Path, to: Path, **generation: Any) -> Path:
    """A copy of a saved model with other generation settings."""
    shutil.copytree(folder, to)
    settings = json.loads((to / "generation_config.json").read_text())
    (to / "generation_config.json").write_text(json.dumps(settings | generation))
    return to


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2", "gemma2"])
def test_greedy_texts_are_those_of_transformers_alone_and_in_a_batch(kind, tmp_path):
    """gemma2 has a window of 16 tokens in every second layer, gpt2 learnt positions."""
    window = {"sliding_window": 16} if kind == "gemma2" else {}
    folder = tiny_model.make(tmp_path, kind, **window)
    asked = requests(8)
    with opened(folder) as model:
        together = run(at_once(model, asked))
        alone = run(one_by_one(model, asked))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert [a.text for a in together] == [tokenizer.decode(g, skip_special_tokens=True) for g in generated(folder, asked)]
    assert together == alone
    assert len({a.text for a in together}) > 5


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_no_text_depends_on_what_else_is_computed(tiny_folder, temperature):
    """Alone; all at once; in other order; in a batch of three; with little memory; coming one by one; without prefixes."""
    asked = [
        r if n % 3 else ask(tiny_model.sentence(9, n), max_tokens=9)
        for n, r in enumerate(requests(16, temperature=temperature, top_p=0.9))
    ]

    async def trickling(model: HfModel) -> list[Completion]:
        tasks = []
        for request in asked:
            tasks.append(asyncio.create_task(model.chat(request)))
            await asyncio.sleep(0.003)
        return await asyncio.gather(*tasks)

    with opened(tiny_folder) as model:
        alone = run(one_by_one(model, asked))
        assert run(at_once(model, asked)) == alone
        assert run(at_once(model, asked[::-1]))[::-1] == alone
    with opened(tiny_folder, max_batch=3) as model:
        assert run(at_once(model, asked[::-1]))[::-1] == alone
    with opened(tiny_folder, max_batch_tokens=300) as model:
        assert run(at_once(model, asked)) == alone
    with opened(tiny_folder, prefix_cache=False) as model:
        assert run(trickling(model)) == alone


def test_a_seed_chooses_the_sampled_text(tiny_folder):
    with opened(tiny_folder) as model:
        asked = [ask("a film", max_tokens=12, temperature=1.0, seed=seed) for seed in (1, 2, 1, 3)]
        one, two, again, three = (answer.text for answer in run(at_once(model, asked)))
    assert one == again
    assert len({one, two, three}) == 3


def test_what_waits_is_computed_together(tiny_folder):
    """32 questions of 12 tokens each take about as many forward passes as one of them."""
    with opened(tiny_folder) as model:
        passes: list[int] = []
        model._worker.load().model.register_forward_pre_hook(
            lambda module, args, kwargs: passes.append(len(kwargs["input_ids"])), with_kwargs=True
        )
        run(at_once(model, requests(32, max_tokens=12)))
    assert len(passes) <= 24
    assert sum(passes) >= 12 * 32 - 32


def test_a_dialogues_next_turn_computes_only_what_is_new(tiny_folder):
    async def play(model: HfModel) -> tuple[list[str], list[int]]:
        texts, fresh = [], []
        handle = model._worker.load().model.register_forward_pre_hook(
            lambda module, args, kwargs: fresh.append(kwargs["input_ids"].shape[1]), with_kwargs=True
        )
        messages = [ChatMessage("system", tiny_model.sentence(80, 1)), ChatMessage("user", "hello")]
        for turn in range(3):
            answer = await model.chat(ChatRequest(tuple(messages), max_tokens=8))
            texts.append(answer.text)
            messages += [ChatMessage("assistant", answer.text), ChatMessage("user", tiny_model.sentence(4, turn))]
        handle.remove()
        return texts, fresh

    with opened(tiny_folder) as kept, opened(tiny_folder, prefix_cache=False) as forgotten:
        (texts, few), (same, many) = run(play(kept)), run(play(forgotten))
    assert texts == same
    assert sum(many) > 2 * sum(few)
    assert sorted(few)[-2] < 40, "only the first prompt was computed whole"


def test_stop_strings_cut_and_end(tiny_folder):
    with opened(tiny_folder) as model:
        whole = run(model.chat(ask("a film", max_tokens=30)))
        stop, other = whole.text[12:15], whole.text[20:24]
        cut = run(model.chat(ask("a film", max_tokens=30, stop=(other, stop, "", "not in it at all"))))
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish == "stop"
    assert cut.usage.completion_tokens < whole.usage.completion_tokens == 30
    assert whole.finish == "length"


def test_end_tokens_of_the_generation_settings_end_an_answer(tiny_folder, tmp_path):
    with opened(tiny_folder) as model:
        whole = run(model.chat(ask("a film", max_tokens=30)))
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    ids = generated(tiny_folder, [ask("a film", max_tokens=30)])[0]
    at = next(n for n in range(5, 30) if ids[n] not in ids[:n])
    with opened(changed(tiny_folder, tmp_path / "m", eos_token_id=[2, ids[at]])) as model:
        ended = run(model.chat(ask("a film", max_tokens=30)))
    assert whole.text.startswith(ended.text)
    assert ended.text == tokenizer.decode(ids[:at])
    assert (ended.finish, ended.usage.completion_tokens) == ("stop", at + 1)


def test_usage_counts_tokens(tiny_folder):
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    expected = len(tokenizer.encode("<|start|>user\na film<|end|>\n<|start|>assistant\n"))
    with opened(tiny_folder) as model:
        usage = run(model.chat(ask("a film", max_tokens=7))).usage
    assert (usage.calls, usage.prompt_tokens, usage.completion_tokens) == (1, expected, 7)


def test_scores_are_the_sums_of_log_probabilities(tiny_folder):
    """Against one plain forward pass for each continuation."""
    messages = (ChatMessage("user", "a film"),)
    # Some differ in their last token alone, some begin as others end.
    texts = ["I", "I love robots", " yes", "no thanks, something else please", "", "I love", "I love films", "I love robots"]
    tokenizer, weights = AutoTokenizer.from_pretrained(tiny_folder), AutoModelForCausalLM.from_pretrained(tiny_folder)
    prompt = tokenizer.encode("<|start|>user\na film<|end|>\n<|start|>assistant\n")

    def expected(text: str) -> float:
        tail = tokenizer.encode(text)
        with torch.no_grad():
            logs = weights(torch.tensor([prompt + tail])).logits[0].double().log_softmax(-1)
        return sum(float(logs[len(prompt) + n - 1, token]) for n, token in enumerate(tail))

    with opened(tiny_folder) as model:
        scores = run(model.score(messages, texts))
        assert run(model.score(messages, [])) == []
    assert scores == pytest.approx([expected(text) for text in texts], abs=1e-4)
    assert scores[4] == 0.0
    assert scores.usage.prompt_tokens == len(prompt) + sum(len(tokenizer.encode(text)) for text in texts)


def test_scores_are_the_same_to_the_last_bit_whoever_else_asks(tiny_folder):
    asked = [
        ((ChatMessage("user", tiny_model.sentence(4 + 9 * n, n)),), [tiny_model.sentence(1 + k % 4, k) for k in range(9)])
        for n in range(6)
    ]

    async def together(model: HfModel) -> list[list[float]]:
        chats = asyncio.gather(*map(model.chat, requests(8)))
        scores = await asyncio.gather(*(model.score(*one) for one in asked))
        await chats
        return scores

    with opened(tiny_folder) as model:
        alone = [run(model.score(*one)) for one in asked]
        assert run(together(model)) == alone
    with opened(tiny_folder, exact=False) as model:
        for batched, scores in zip(run(together(model)), alone, strict=True):
            assert batched == pytest.approx(scores, abs=1e-4)


def test_a_prompt_that_is_too_long_is_refused_and_a_long_answer_is_cut(tmp_path):
    folder = tiny_model.make(tmp_path, max_position_embeddings=64)
    with opened(folder) as model:
        with pytest.raises(RefusedError, match=r"the prompt has \d+ tokens, and hf:.* reads 64 at most"):
            run(model.chat(ask(tiny_model.sentence(90, 1))))
        with pytest.raises(RefusedError, match="prompt and continuation have"):
            run(model.score((ChatMessage("user", "a"),), [tiny_model.sentence(90, 1)]))
        answer = run(model.chat(ask("a film", max_tokens=500)))
    assert answer.finish == "length"
    assert answer.usage.prompt_tokens + answer.usage.completion_tokens == 64


def test_one_bad_question_does_not_touch_its_neighbours(tmp_path):
    folder = tiny_model.make(tmp_path, max_position_embeddings=256)
    asked = [ask("a film", max_tokens=5), ask(tiny_model.sentence(400, 1), max_tokens=5), ask("music", max_tokens=5)]

    async def all_of(model: HfModel) -> list[Any]:
        return await asyncio.gather(*map(model.chat, asked), return_exceptions=True)

    with opened(folder) as model:
        first, refused, last = run(all_of(model))
    assert isinstance(refused, RefusedError)
    assert first.text
    assert last.text


def test_a_cancelled_question_leaves_and_the_others_stay(tiny_folder):
    async def work(model: HfModel) -> list[Completion]:
        long = asyncio.create_task(model.chat(ask("music", max_tokens=1_500)))
        rest = asyncio.gather(*map(model.chat, requests(6)))
        await asyncio.sleep(0.02)
        long.cancel()
        answers = await rest
        with pytest.raises(asyncio.CancelledError):
            await long
        return [*answers, await model.chat(ask("space", max_tokens=4))]

    with opened(tiny_folder) as model:
        cancelled = run(work(model))
        assert cancelled[:-1] == run(one_by_one(model, requests(6)))
        assert model._worker.choices < 1_000


def test_closing_fails_what_is_open_and_the_next_question_opens_again(tiny_folder):
    async def work() -> None:
        model = HfModel(str(tiny_folder))
        running = asyncio.create_task(model.chat(ask("music", max_tokens=1_500)))
        await asyncio.sleep(0.05)
        await model.close()
        with pytest.raises(LlmError, match="closed"):
            await running
        again = await model.chat(ask())
        await model.close()
        assert again == await model.chat(ask())
        await model.close()

    run(work())


def test_bfloat16_computes_and_says_that_it_is_not_exact(tiny_folder):
    with opened(tiny_folder, dtype="bfloat16") as model:
        answers = run(at_once(model, requests(6)))
        assert all(answer.text for answer in answers)
        assert run(model.score((ChatMessage("user", "a"),), ["yes"]))[0] < 0
        assert (model.revision()["dtype"], model.revision()["exact"]) == ("bfloat16", False)


def test_logits_that_are_no_numbers_end_the_run(tmp_path):
    tokenizer = tiny_model.make_tokenizer()
    broken = tiny_model.make_model(vocabulary=len(tokenizer))
    with torch.no_grad():
        broken.model.norm.weight.fill_(math.nan)
    with opened(tiny_model.save(tmp_path, broken, tokenizer)) as model:
        with pytest.raises(LlmError, match=r"hf:.*: its logits are no numbers"):
            run(model.chat(ask()))
        with pytest.raises(LlmError, match="no numbers"):
            run(model.score((ChatMessage("user", "a"),), ["yes"]))


def test_the_options_of_the_command_line_speak_for_the_component(tiny_folder):
    layers = Layers(quick())
    model = build(f"hf:{tiny_folder}", {"max_tokens": "4", "temperature": "0.5", "threads": "1"}, layers)
    assert build(f"hf:{tiny_folder}", {"max_tokens": "4", "temperature": "0.5", "threads": "1"}, layers) is model

    async def work() -> Completion:
        answer = await model.chat(ask("a film", max_tokens=50))
        await model.close()
        return answer

    assert run(work()).usage.completion_tokens == 4


def test_tokens_per_forward_pass_stay_under_the_limit(tiny_folder):
    """max_batch_tokens bounds rows x longest sequence in every pass, whatever comes."""
    sizes: list[int] = []
    with opened(tiny_folder, max_batch_tokens=400) as model:
        model._worker.load().model.register_forward_pre_hook(
            lambda module, args, kwargs: sizes.append(kwargs["attention_mask"].numel()), with_kwargs=True
        )
        run(at_once(model, requests(20)))
    assert max(sizes) <= 400
