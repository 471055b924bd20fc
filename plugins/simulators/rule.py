"""`rule`: a seeker that knows its taste as attributes, criticises what is shown by them and accepts what satisfies them.

One turn, in this order:
1. Items are shown and one satisfies the need: accept the best of them. An item satisfies the need when it shares a value with
   each of enough facets (the share `accept` of those that the need names and the catalogue has), is none of the disliked
   items and has no disliked attribute. Items that the seeker has seen, or that the context mentions, are declined unless
   `accept_seen` (the variant `all` has targets among them).
2. Items are shown otherwise: turn down all of them, name one for a disliked attribute, confirm a liked attribute of the
   closest one, and reveal up to `reveal` liked attributes not said yet (and at times a disliked one).
3. Nothing is shown: answer the question about an attribute ("Which director do you like?"), or reveal as in 2.

The default of `accept` was chosen among 1/3, 1/2, 2/3, 3/4 and 1 by the F1 of accepted items against the targets on validation
splits: 3/4 is best on cinema, equal to 1 and far better than 2/3 on ReDial and INSPIRED; on OpenDialKG, whose needs have four
facets, 1 is better by 0.05.

What the seeker's side of the context says counts as said. Noise (`eps`) changes what is said; acceptance follows the true need.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Annotated

import msgspec

from harness.api import Attributes, Conversation, Feedback, Item, Knowledge, KnowledgeLevel, SimulatorSetup
from harness.text import fold

from ..facets import asked_families, families_of, same_family
from . import speech
from .noise import Look, Taste, Value
from .speech import Reply, Voice

_OPEN_QUESTION = ("which", "what", "who", "whose", "any", "favorite", "favourite", "preferred")
_READ_AT_MOST = 2_000
"""Characters of a recommender's text that are searched for a question, from its end."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `rule`, `rule-target` and `shuffled`."""

    eps: Annotated[float, msgspec.Meta(ge=0, le=1, description="probability that a stated attribute is false")] = 0.0
    reveal: Annotated[int, msgspec.Meta(ge=0, description="liked attributes revealed per turn")] = 1
    reveal_disliked: Annotated[
        float, msgspec.Meta(ge=0, le=1, description="probability per turn that a disliked attribute is revealed too")
    ] = 0.25
    accept: Annotated[
        float,
        msgspec.Meta(
            ge=0, le=1, description="share of the need's facets that an item must match to be accepted (not rule-target)"
        ),
    ] = 0.75
    accept_seen: Annotated[
        bool,
        msgspec.Meta(description="may accept an item that the seeker has seen or that the context mentions (not rule-target)"),
    ] = False
    patience: Annotated[
        int, msgspec.Meta(ge=0, description="quit after so many turns in a row without an item of a liked attribute; 0: never")
    ] = 0
    noun: Annotated[
        str, msgspec.Meta(description="what one item is called; empty: film, book or title, by the catalogue's facets")
    ] = ""


class Memory(msgspec.Struct, frozen=True, omit_defaults=True):
    """What rides in the state: values of the need said so far, and turns in a row without a liked attribute."""

    said: tuple[Value, ...] = ()
    misses: int = 0


class Rule:
    """See the module. Stateless between turns; every draw comes from (conversation.seed, turn)."""

    knowledge: KnowledgeLevel = "profile"
    serial = True
    """Computing threads would only take turns: one call at a time is faster."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    def prepare(self, setup: SimulatorSetup) -> None:
        self._catalogue = setup.catalogue
        self._voice = Voice(setup.catalogue, self.options.noun, self.options.eps)
        self._facets = frozenset(facet for item in setup.catalogue for facet in item.attributes)
        self._families = families_of(setup.catalogue)

    def reply(self, conversation: Conversation, knowledge: Knowledge) -> Feedback:
        taste = self.taste(knowledge)
        ranked = tuple(dict.fromkeys(conversation.messages[-1].ranked)) if conversation.messages else ()
        shown = [taste.look(item) for item in map(self._catalogue.get, ranked) if item is not None]
        memory = self._remember(conversation, taste)
        reply = Reply(self._voice, conversation, taste, self.secrets(knowledge))

        accepted = self.choose(shown, taste, knowledge, conversation)
        if accepted:
            reply.say(speech.ACCEPT, item=accepted[0])
            return Feedback(
                reply.text,
                "accept",
                accepted=tuple(item.id for item in accepted),
                rejected=(),
                statements=(),
                state=msgspec.to_builtins(memory),
            )
        matched = any(look.liked for look in shown)
        misses = 0 if matched or not taste.liked else memory.misses + 1
        if 0 < self.options.patience <= misses:
            reply.say(speech.QUIT)
            state = msgspec.to_builtins(Memory(memory.said, misses))
            return Feedback(reply.text, "quit", rejected=ranked, statements=(), state=state)

        question = conversation.messages[-1].text[-_READ_AT_MOST:] if conversation.messages else ""
        order = self._order(taste, shown, conversation.seed)
        if ranked:
            self._react(reply, shown, knowledge, memory)
            asked = asked_families(question, self._families) if "?" in question else ()
            self._reveal(reply, order, taste, memory, asked)
        elif not self._answer(reply, question, order, taste, memory):
            self._reveal(reply, order, taste, memory, ())
        if not reply.text:
            reply.say(speech.NO_ANSWER)
        said = tuple(dict.fromkeys((*memory.said, *reply.voiced)))
        state = msgspec.to_builtins(Memory(said, misses))
        return Feedback(reply.text, rejected=ranked, statements=tuple(reply.statements), state=state)

    # ------------------------------------------------------------------------------ what `rule-target` sees differently

    def taste(self, knowledge: Knowledge) -> Taste:
        """The attributes that the seeker talks about."""
        return Taste.of(knowledge.liked_attributes, knowledge.disliked_attributes)

    def choose(self, shown: Sequence[Look], taste: Taste, knowledge: Knowledge, conversation: Conversation) -> tuple[Item, ...]:
        """The item to accept: of those that satisfy the need the one that matches most facets, then most values, then the
        highest ranked. Empty where none does."""
        if not shown or not taste.liked:
            return ()
        declined = set(knowledge.disliked_items)
        if not self.options.accept_seen:
            declined.update(knowledge.seen_items)
            before = len(conversation.messages) - 2 * conversation.turn + 1  # the context, without the turns of this dialogue
            declined.update(i for message in conversation.messages[: max(before, 0)] for i in message.items)
        needed = self.options.accept * sum(facet in self._facets for facet in taste.liked)
        best: Item | None = None
        best_match = (0, 0)
        for look in shown:
            match = (len({facet for facet, _ in look.liked}), len(look.liked))
            # The tolerance makes 2/3 of three facets two facets, whatever the rounding.
            if match > best_match and match[0] >= needed - 1e-9 and look.item.id not in declined and not look.disliked:
                best, best_match = look.item, match
        return (best,) if best is not None else ()

    def secrets(self, knowledge: Knowledge) -> Sequence[str]:
        """Normalised phrases that the reply must not hold."""
        return ()

    def urgent(self, taste: Taste, shown: Sequence[Look]) -> set[Value]:
        """Liked values to reveal before the others."""
        return set()

    # ----------------------------------------------------------------------------------------------------- acts of a turn

    def _react(self, reply: Reply, shown: Sequence[Look], knowledge: Knowledge, memory: Memory) -> None:
        """Criticise one item and confirm one liked attribute of the closest other item."""
        criticised = self._criticise(reply, shown, knowledge, memory)
        by_match = sorted((look for look in shown if look.liked), key=lambda look: -len(look.liked))
        closest = next((look for look in by_match if reply.may_say(look.item.title)), None)
        confirmed = False
        if closest is not None and closest is not criticised:
            values = _fresh(closest.liked, memory) or closest.liked
            confirmed = reply.state(*reply.rng.choice(values), 1, "confirm", closest.item)
        if criticised is None and not confirmed:
            by_title = bool(shown) and reply.may_say(shown[0].item.title) and reply.rng.random() < 0.3
            if by_title:
                reply.say(speech.NOT_THIS, item=shown[0].item)
            else:
                reply.say(speech.NONE_OF_THESE)

    def _criticise(self, reply: Reply, shown: Sequence[Look], knowledge: Knowledge, memory: Memory) -> Look | None:
        """Name the highest item with a disliked attribute, one not said yet before the others; else one that is known."""
        faulty = sorted((look for look in shown if look.disliked), key=lambda look: not _fresh(look.disliked, memory))
        for look in faulty:
            values = _fresh(look.disliked, memory) or look.disliked
            if reply.may_say(look.item.title) and reply.state(*reply.rng.choice(values), -1, "critique", look.item):
                return look
        for known, templates in ((knowledge.disliked_items, speech.NOT_LIKED), (knowledge.seen_items, speech.SEEN)):
            for look in shown:
                if look.item.id in known and reply.may_say(look.item.title):
                    reply.say(templates, item=look.item)
                    return look
        return None

    def _reveal(self, reply: Reply, order: Sequence[Value], taste: Taste, memory: Memory, asked: Sequence[str]) -> None:
        """State what was not said yet, asked facets first; say something again where everything has been said."""
        if self.options.reveal == 0:
            return
        hidden = [value for value in order if value not in memory.said and value not in reply.voiced]
        if asked:
            first = _answering(taste.liked, asked)
            hidden.sort(key=lambda value: value[0] not in first)
        self._state_some(reply, hidden, memory, self.options.reveal)
        refused = [v for v in _values(taste.disliked) if v not in memory.said and v not in reply.voiced]
        if refused and reply.rng.random() < self.options.reveal_disliked:
            reply.state(*reply.rng.choice(refused), -1, "new")
        if not reply.statements and order:
            reply.state(*reply.rng.choice(order), 1, "again")

    def _answer(self, reply: Reply, question: str, order: Sequence[Value], taste: Taste, memory: Memory) -> bool:
        """Answer a question about values of the need ("Do you like horror?") or about facets. False where none is asked."""
        families = asked_families(question, self._families)
        folded = fold(question)
        # "You like comedies; which director?" asks for a director, "Do you like comedies?" for a word on comedies.
        if not (families and any(_names(folded, word) for word in _OPEN_QUESTION)):
            for value in _values(taste.liked):
                if _names(folded, value[1]):
                    return reply.state(*value, 1, "answer")
            for value in _values(taste.disliked):
                if _names(folded, value[1]):
                    return reply.state(*value, -1, "answer")
        if not families:
            return False
        facets = _answering(taste.liked, families)
        known = [value for value in order if value[0] in facets]
        known.sort(key=lambda value: value in memory.said)
        self._state_some(reply, known, memory, max(1, self.options.reveal))
        if not known:
            reply.say(speech.NO_PREFERENCE, family=families[0])
        return True

    def _state_some(self, reply: Reply, values: Sequence[Value], memory: Memory, limit: int) -> None:
        for value in values:
            if limit == 0:
                return
            limit -= reply.state(*value, 1, "again" if value in memory.said else "new")

    # ------------------------------------------------------------------------------------------------------------- memory

    def _remember(self, conversation: Conversation, taste: Taste) -> Memory:
        if conversation.state is not None:
            return msgspec.convert(conversation.state, Memory)
        told = fold(" . ".join(m.text for m in conversation.messages if m.role == "seeker"))
        values = (*_values(taste.liked), *_values(taste.disliked))
        return Memory(tuple(value for value in values if _names(told, value[1])))

    def _order(self, taste: Taste, shown: Sequence[Look], seed: int) -> list[Value]:
        """Liked values in this dialogue's order of revealing: facets take turns, both shuffled."""
        rng = Random(f"{seed}:order")
        queues = [[(facet, value) for value in values] for facet, values in taste.liked.items()]
        for queue in queues:
            rng.shuffle(queue)
        rng.shuffle(queues)
        longest = max(map(len, queues), default=0)
        order = [queue[place] for place in range(longest) for queue in queues if place < len(queue)]
        urgent = self.urgent(taste, shown)
        return sorted(order, key=lambda value: value not in urgent) if urgent else order


def _values(attributes: Attributes) -> Iterator[Value]:
    return ((facet, value) for facet, values in attributes.items() for value in values)


def _answering(attributes: Attributes, families: Sequence[str]) -> set[str]:
    """The facets that answer a question about any of these families."""
    return {facet for facet in attributes for asked in families if same_family(facet, asked)}


def _fresh(values: Sequence[Value], memory: Memory) -> list[Value]:
    return [value for value in values if value not in memory.said]


def _names(folded: str, value: str) -> bool:
    """Whether a folded text holds a value as whole words, in the same punctuation. One or two letters ("us") say nothing."""
    wanted = fold(value)
    if len(wanted) < 3:
        return False
    place = folded.find(wanted)
    while place >= 0:
        end = place + len(wanted)
        if not folded[place - 1 : place].isalnum() and not folded[end : end + 1].isalnum():
            return True
        place = folded.find(wanted, place + 1)
    return False
