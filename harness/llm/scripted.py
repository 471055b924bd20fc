"""Answers from a file, for tests and demos: no model, no network, the same answer to the same request.

A file of JSON lines. A line with "match" answers when that text is found in the prompt's last message (as it stands, or as a
regular expression); "role" looks into the last message of that role instead. The first line that matches counts. Lines without
"match" are a list that answers everything else: which of them is a hash of the request, its seed included, so neither the
order nor the concurrency of requests plays a part.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from harness.api import Usage
from harness.errors import DataError, LlmError, RefusedError
from harness.llm.api import ChatMessage, ChatModel, ChatRequest, Completion, Scores
from harness.llm.layers import Layers


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A scripted model has no options."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the file. Exactly one of text, refuse and scores is given; of a list of texts the hash takes one."""

    match: str | None = None
    role: Literal["system", "user", "assistant"] | None = None
    text: str | list[str] | None = None
    refuse: str | None = None
    """Raise RefusedError with this reason."""
    scores: dict[str, float] | None = None
    """Log-probabilities of continuations, for `score`."""


def connect(model: str, options: Options, layers: Layers) -> ChatModel:
    """The scripted model with its layers."""
    return layers.wrap(ScriptedModel(model))


class ScriptedModel:
    """Plays a file. Counts a word as a token."""

    def __init__(self, path: str) -> None:
        """Raises DataError with file and line."""
        self.name = f"scripted:{path}"
        self._path = Path(path).expanduser()
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise DataError(f"scripted model {path}: {error.strerror or error}") from None
        self._hash = hashlib.sha256(content).hexdigest()
        self._rules = [
            (rule, _pattern(rule.match))
            for number, line in enumerate(content.splitlines(), start=1)
            if line.strip()
            for rule in [_parse(line, f"{path}:{number}")]
        ]
        if not self._rules:
            raise DataError(f'scripted model {path} holds no line; write one such as {{"text": "Hello."}}')

    async def chat(self, request: ChatRequest) -> Completion:
        if request.pattern is not None:
            raise LlmError(
                f"{self.name}: a scripted model can't be held to a pattern; switch that off in the component that asks for it"
                " (--rec-opt constrained=false, say), or choose another model"
            )
        number = _hash(request)
        rule = self._find(request.messages, number, scores=False)
        prompt = sum(len(m.content.split()) for m in request.messages)
        if rule.refuse is not None:
            raise RefusedError(rule.refuse, usage=Usage(1, prompt))
        text = rule.text if isinstance(rule.text, str) else (rule.text or [""])[number % len(rule.text or [""])]
        for stop in request.stop:
            text = text.partition(stop)[0]
        words = text.split()
        if len(words) > request.max_tokens:
            cut = re.match(rf"\s*(?:\S+\s+){{{request.max_tokens - 1}}}\S+", text)
            return Completion(cut.group() if cut else text, "length", Usage(1, prompt, request.max_tokens))
        return Completion(text, "stop", Usage(1, prompt, len(words)))

    async def score(self, messages: Sequence[ChatMessage], continuations: Sequence[str]) -> list[float]:
        rule = self._find(messages, _hash([messages, continuations]), scores=True)
        table = rule.scores or {}
        missing = [text for text in continuations if text not in table]
        if missing:
            raise LlmError(f'{self.name}: its "scores" say nothing of {missing[0]!r}')
        return Scores([table[text] for text in continuations], Usage(1, sum(len(m.content.split()) for m in messages)))

    def revision(self) -> dict[str, Any]:
        return {"backend": "scripted", "sha256": self._hash}

    async def close(self) -> None:
        """Nothing is open."""

    def _find(self, messages: Sequence[ChatMessage], number: int, *, scores: bool) -> Rule:
        usable = [(rule, pattern) for rule, pattern in self._rules if (rule.scores is not None) is scores]
        for rule, pattern in usable:
            if rule.match is not None:
                text = next((m.content for m in reversed(messages) if rule.role in (None, m.role)), None)
                if text is not None and (rule.match in text or (pattern is not None and pattern.search(text))):
                    return rule
        others = [rule for rule, _ in usable if rule.match is None]
        if not others:
            kind = "scores" if scores else "text"
            last = messages[-1].content[:200] if messages else ""
            raise LlmError(
                f'{self.name}: no line with "{kind}" matches {last!r}; a line without "match" answers everything else'
            )
        return others[number % len(others)]


def _parse(line: bytes, place: str) -> Rule:
    try:
        rule = msgspec.json.decode(line, type=Rule)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f'scripted model {place}: {error}; a line is {{"match": "...", "text": "..."}} or {{"text": "..."}}'
        ) from None
    if sum(value is not None for value in (rule.text, rule.refuse, rule.scores)) != 1 or rule.text == []:
        raise DataError(f'scripted model {place}: a line needs one of "text", "refuse" and "scores"')
    if rule.role is not None and rule.match is None:
        raise DataError(f'scripted model {place}: "role" says where "match" is looked for, and there is no "match"')
    return rule


def _pattern(match: str | None) -> re.Pattern[str] | None:
    try:
        return None if match is None else re.compile(match)
    except re.error:  # then it is meant as it stands
        return None


def _hash(what: Any) -> int:
    digest = hashlib.blake2b(msgspec.json.encode(what, order="deterministic"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
