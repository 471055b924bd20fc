"""Questions of an isolated recommender, asked by the harness: keys, cache and purse stay on this side."""

from __future__ import annotations

from typing import Any

from harness.errors import RefusedError, TransportError, described
from harness.isolation.messages import Asked, Heard
from harness.llm.api import ChatModel
from harness.llm.metering import meter
from harness.llm.redact import redact


async def answered(model: ChatModel, question: Asked, seconds: float) -> Heard:
    """Ask, and say what it has cost. `seconds` are what the call has left. Raises BudgetExceeded and LlmError, which end the
    run; a failed transport and a refusal are answers too."""
    with meter(seconds) as spent:
        try:
            if question.request is not None:
                completion = await model.chat(question.request)
                heard: dict[str, Any] = {"text": completion.text, "finish": completion.finish, "usage": completion.usage}
            else:
                scores = await model.score(question.messages, question.continuations)
                usage = getattr(scores, "usage", None)
                heard = {"scores": list(scores)} | ({"usage": usage} if usage is not None else {})
        except TransportError as error:
            text = redact(described(error))
            heard = {"error": "transport", "message": text, "retry_after": error.retry_after, "final": error.final}
        except RefusedError as error:
            heard = {"error": "refused", "message": redact(described(error))}
            heard |= {"usage": error.usage} if error.usage is not None else {}
    return Heard(question.id, spent=spent.total, **heard)
