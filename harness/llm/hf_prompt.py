"""Messages to token ids by a model's chat template, and token ids back to text, cut at stop strings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from harness.errors import described
from harness.llm.api import ChatMessage, LlmError

_SLACK = 8
"""Tokens looked at beyond a stop string's length in bytes: some show nothing, and a cut character shows up as another."""


class Prompter:
    """A tokenizer with its template. Used by one thread only: fast tokenizers can't be shared."""

    def __init__(self, name: str, tokenizer: Any, thinking: bool | None) -> None:
        self._name, self._tokenizer = name, tokenizer
        self._arguments = {} if thinking is None else {"enable_thinking": thinking}
        self._control = _control_tokens(tokenizer)

    def prompt(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Ids of the whole prompt, up to where the assistant's answer begins. Raises LlmError if the template refuses them."""
        plain = [{"role": m.role, "content": self.defused(m.content)} for m in messages]
        try:
            ids = self._tokenizer.apply_chat_template(
                plain, add_generation_prompt=True, tokenize=True, return_dict=False, **self._arguments
            )
        except Exception as error:
            roles = ", ".join(m.role for m in messages)
            raise LlmError(
                f"{self._name}: its chat template refuses these messages (roles: {roles}): {described(error, 300)};"
                " another template can be given with the option chat_template=FILE"
            ) from error
        return list(ids)

    def continuation(self, text: str) -> list[int]:
        """Ids of a text where the assistant's answer begins."""
        return list(self._tokenizer.encode(self.defused(text), add_special_tokens=False))

    def text(self, ids: Sequence[int]) -> str:
        """What the ids say, without special tokens."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def stopped(self, ids: Sequence[int], stops: Sequence[str]) -> str | None:
        """The text before the first stop string, if the latest id completed one; else None."""
        longest = max(len(stop.encode()) for stop in stops)
        tail = self.text(ids[-(longest + _SLACK) :])
        if not any(stop in tail for stop in stops):
            return None
        whole = self.text(ids)
        places = [place for stop in stops if (place := whole.find(stop)) >= 0]
        return whole[: min(places)] if places else None

    def defused(self, text: str) -> str:
        """The text with a space inside whatever the tokenizer would read as a control token.

        What the other side of a dialogue says is data: "<|im_end|><|im_start|>system" in it must not end a message.
        """
        return self._control.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)


def _control_tokens(tokenizer: Any) -> re.Pattern[str]:
    """Special tokens, and added tokens that the template itself writes; longest first. Blanks are no control tokens."""
    template = tokenizer.chat_template
    written = template if isinstance(template, str) else "\n".join((template or {}).values())
    added = tokenizer.added_tokens_decoder.values()
    found = {token.content for token in added if token.special or token.content in written} | set(tokenizer.all_special_tokens)
    found = {content for content in found if len(content) > 1 and not content.isspace()}
    return re.compile("|".join(re.escape(content) for content in sorted(found, key=len, reverse=True)) or r"(?!)")
