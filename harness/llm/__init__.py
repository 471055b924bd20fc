"""Chat models: any OpenAI-compatible endpoint, local transformers, scripted; with cache, budget and accounting around each."""

from harness.llm.api import ChatMessage, ChatModel, ChatRequest, Completion, LlmError, RefusedError, Scores

__all__ = ["ChatMessage", "ChatModel", "ChatRequest", "Completion", "LlmError", "RefusedError", "Scores"]
