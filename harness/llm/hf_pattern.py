"""Regular expressions that a local model's answers must match: which tokens may come next, by `llguidance`.

Its automaton is built as texts reach new states, and all rows with one pattern share it. Special tokens are never part of a
text, so they are never allowed in one; the tokens that end an answer are allowed where the pattern is matched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import described
from harness.llm.api import LlmError
from harness.llm.hf_load import Loaded

if TYPE_CHECKING:
    import torch

KEPT = 256
"""Patterns that are kept for the next request with the same one."""


class Patterns:
    """Compiled patterns for one model's tokenizer. Used by one thread only."""

    def __init__(self, name: str, loaded: Loaded) -> None:
        self._name, self._loaded = name, loaded
        self._tokenizer: Any = None
        self._known: dict[str, Any] = {}

    def guide(self, pattern: str) -> Guide:
        """A fresh guide for one answer. Raises LlmError for a pattern, or a tokenizer, that can't be used."""
        matcher = self._known.get(pattern)
        if matcher is None:
            if len(self._known) >= KEPT:
                del self._known[next(iter(self._known))]
            matcher = self._known[pattern] = self._compiled(pattern)
        return Guide(matcher.deep_copy(), self._tokenizer.vocab_size)

    def _compiled(self, pattern: str) -> Any:
        try:
            import llguidance
        except ImportError:
            raise LlmError(
                f"{self._name}: to hold a local model to a pattern, the package llguidance is needed:"
                " pip install 'crs-harness[constrain]'"
            ) from None
        if self._tokenizer is None:
            self._tokenizer = self._read_tokenizer()
        # Without no_forcing, where only one text can follow, only one way to cut it into tokens would be allowed.
        grammar = '%llguidance {"no_forcing": true}\nstart: /' + llguidance.regex_to_lark(pattern, "") + "/"
        matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise LlmError(f"{self._name}: the pattern can't be used: {_reason(matcher)}")
        return matcher

    def _read_tokenizer(self) -> Any:
        import llguidance.hf

        tokenizer, ends = self._loaded.tokenizer, sorted(self._loaded.end_tokens)
        try:
            plain = llguidance.hf.from_tokenizer(tokenizer, eos_token=ends or None, slices=[])
            known = _Vocabulary(tokenizer, plain, ends)
            return llguidance.LLTokenizer(llguidance.TokenizerWrapper(known), eos_token=ends or None)
        except Exception as error:
            raise LlmError(
                f"{self._name}: llguidance can't read its tokenizer ({described(error, 300)}), so it can't be held to a pattern"
            ) from error


class _Vocabulary:
    """What each token adds to a text, in the form that llguidance takes.

    Its own reading of a tokenizer takes every added token that looks like a tag for a special one. "<think>" mostly is none: it
    is text, and a model that has it as a token doesn't spell it.
    """

    def __init__(self, tokenizer: Any, plain: Any, ends: Sequence[int]) -> None:
        added = tokenizer.added_tokens_decoder
        special = {n for n, token in added.items() if token.special} | set(tokenizer.all_special_ids) | set(ends)
        size = len(tokenizer)
        self.special_token_ids = sorted(n for n in special if n < size)
        self.tokens = [
            f"<special {n}>".encode()
            if n in special
            else str(tokenizer.convert_ids_to_tokens(n)).replace("▁", " ").encode()
            if n in added
            else plain.decode_bytes([n])
            for n in range(size)
        ]
        self.eos_token_id = ends[0] if ends else plain.eos_token
        self.bos_token_id = None
        self._plain = plain

    def __call__(self, text: bytes) -> list[int]:
        ids: list[int] = self._plain.tokenize_bytes(text)
        return ids


class Guide:
    """Follows one answer through its pattern."""

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        self._matcher = matcher
        self.width = (vocabulary + 31) // 32 * 4
        """Bytes that `fill` fills: a bit per token, in whole words of 32."""

    def fill(self, bits: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        """Set the bits of the tokens that may come next, the lowest first. Raises LlmError if there are none."""
        self._matcher.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes)
        if self._matcher.is_error() or not bits.any():
            raise LlmError(f"no token of the model can go on with the pattern ({_reason(self._matcher)})")

    def take(self, token: int) -> bool:
        """The answer goes on with this token, one that was allowed. True: the pattern is matched, and nothing may follow."""
        if not self._matcher.consume_token(token):
            raise LlmError(f"the pattern can't be followed ({_reason(self._matcher)})")
        return bool(self._matcher.is_stopped())


def allowed(guides: Sequence[Guide | None], like: torch.Tensor) -> torch.Tensor | None:
    """Tokens that may come next, a mask like the logits [rows, vocabulary]; rows without a guide may go on with any.

    None where no row has a guide.
    """
    held = [n for n, guide in enumerate(guides) if guide is not None]
    if not held:
        return None
    import torch

    bits = np.zeros((len(held), max(guides[n].width for n in held)), np.uint8)  # type: ignore[union-attr]
    for row, n in zip(bits, held, strict=True):
        guides[n].fill(row)  # type: ignore[union-attr]
    # Unpacked where the logits are: an eighth of the bytes to carry over.
    powers = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8, device=like.device)
    told = ((torch.from_numpy(bits).to(like.device)[..., None] & powers) != 0).flatten(1)
    may = torch.ones(like.shape, dtype=torch.bool, device=like.device)
    columns = min(told.shape[1], like.shape[1])
    index = torch.tensor(held, device=like.device)
    may[index] = torch.nn.functional.pad(told[:, :columns], (0, like.shape[1] - columns))
    return may


def _reason(matcher: Any) -> str:
    """What llguidance says, without its state."""
    said: str = matcher.get_error().partition("<state>")[0]
    return " ".join(said.split())[:300] or "its tokens can't spell what comes next"
