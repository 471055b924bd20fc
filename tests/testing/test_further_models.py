"""A component that asks more than one language model, under examination."""

from __future__ import annotations

from typing import Any

from harness.api import Conversation, Recommendation, RecommenderSetup
from harness.llm.api import ChatMessage, ChatRequest
from harness.testing import check_recommender


class Asking:
    """Asks its second model and recommends in catalogue order."""

    names: Any = {"second": "hf:/some/where"}

    def more_llms(self) -> Any:
        return self.names

    def prepare(self, setup: RecommenderSetup) -> None:
        self.second, self.ids = setup.more_llms["second"], setup.catalogue.ids

    async def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        said = await self.second.chat(ChatRequest((ChatMessage("user", f"{conversation.turn}"),)))
        return Recommendation(tuple(i for i in self.ids if i not in conversation.rejected)[:k], said.text or "These.")


class Wrong(Asking):
    """Names a number."""

    names: Any = {"second": 7}


def test_a_second_model_is_there_under_its_name() -> None:
    report = check_recommender(Asking)
    report.raise_if_failed()
    assert report.world.endswith("with a stub in place of a language model")


def test_further_models_that_are_no_texts_break_the_declaration() -> None:
    failed = {finding.clause: finding.what for finding in check_recommender(Wrong).of("failed")}
    assert "more_llms() must give names and models" in failed["declares"]
