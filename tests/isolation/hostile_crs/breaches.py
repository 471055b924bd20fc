"""A recommender that keeps every clause of the protocol but those that it is told to break."""

import os
import random
import time

import msgspec

from harness import Conversation, Recommendation


class Options(msgspec.Struct, frozen=True):
    how: str = ""


class Breaker:
    """Lists the catalogue in its order."""

    def __init__(self, options: Options) -> None:
        self.how = options.how

    def prepare(self, setup) -> None:
        self.ids = [item.id for item in setup.catalogue]
        if self.how == "prepares":
            raise ValueError("I don't like this catalogue")
        if self.how == "same-elsewhere":
            self.ids = list(set(self.ids))
        if self.how == "prepares-untrained" and not setup.training:
            self.ids = [setup.training[0].id]

    def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        hows = self.how.split(",")
        how = hows[len(conversation.messages) % len(hows)]
        left = [each for each in self.ids if each not in conversation.rejected]
        text, state = "These?", {"turn": conversation.turn}
        if how == "no-exceptions":
            raise IndexError("nobody has said anything")
        if how == "valid-answer":
            return [left[:k]]
        if how == "not-empty":
            return Recommendation(())
        if how == "no-repeats":
            left = left[:1] * 2
        if how == "known-ids":
            left = ["elsewhere", *left]
        if how == "same-again":
            left = random.sample(left, len(left))
        if how == "state-json":
            state = {"self": self}
        if how == "in-time":
            time.sleep(60)
        if how == "survives":
            os._exit(3)
        if how == "honours-rejections":
            left = self.ids
        return Recommendation(tuple(left[:k]), text, state=state)
