"""A small world where every text is hostile: titles, contexts, replies, reasoning, faults. It is a plugin module."""

from __future__ import annotations

from collections.abc import Iterator

from harness import Component, hookimpl
from harness.api import Catalogue, Conversation, Feedback, Item, Knowledge, Message, Need, Recommendation, Scenario, Split

MARKUP = "</script><script>window.broken='reply'</script><img src=x onerror=\"window.broken='image'\">"
SCENARIOS = 70
ITEMS = 30


class World:
    def __init__(self, options: None) -> None:
        pass

    def load(self, split: str) -> Split:
        catalogue = Catalogue(
            Item(f"m{n}", f"Film {n} <b onmouseover=window.broken='title'>&amp; more</b>", 1950 + n) for n in range(ITEMS)
        )
        scenarios = [
            Scenario(
                f"s{n:03}",
                f"d{n // 2}",
                (Message("seeker", f"Wish {n}, {'quagga' if n == 41 else 'zebra'} {MARKUP}"),),
                Need((f"m{n % 7}",)),
            )
            for n in range(SCENARIOS)
        ]
        return Split(split, scenarios, (), catalogue)


class Hostile:
    """Scenario n: its list begins at item 0, so that the target stands at rank n % 7 + 1; scenarios 5 and 6 fail."""

    first = 0

    def __init__(self, options: None) -> None:
        pass

    def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        number = int(conversation.messages[0].text.split()[1].rstrip(","))
        if number in (5, 6):
            raise ValueError(f"no idea {MARKUP}")
        items = tuple(f"m{(self.first + n) % ITEMS}" for n in range(k))
        return Recommendation(items, f"Take these {MARKUP}", reasoning=f"because \u2028 {MARKUP}")


class Later(Hostile):
    """Begins its lists at item 3: targets 0 to 2 are never shown."""

    first = 3


class Mixed:
    """Accepts in even scenarios, gives up in scenario 9, else goes on."""

    knowledge = "label_free"

    def __init__(self, options: None) -> None:
        pass

    def reply(self, conversation: Conversation, knowledge: Knowledge) -> Feedback:
        number = int(conversation.messages[0].text.split()[1].rstrip(","))
        shown = conversation.messages[-1].ranked
        if number % 2 == 0:
            return Feedback(f"Fine {MARKUP}", "accept", accepted=shown[:1])
        return Feedback("Enough." if number == 9 else f"No {MARKUP}", "quit" if number == 9 else "continue", rejected=shown[:2])


@hookimpl
def harness_datasets() -> Iterator[Component]:
    yield Component("hostile-world", "hostile_world:World")


@hookimpl
def harness_recommenders() -> Iterator[Component]:
    yield Component("hostile", "hostile_world:Hostile")
    yield Component("later", "hostile_world:Later")


@hookimpl
def harness_simulators() -> Iterator[Component]:
    yield Component("mixed", "hostile_world:Mixed", knowledge="label_free")
