"""The sentences of the rule-based seekers: paraphrases per dialogue act, and the reply under construction.

Three things hold for every sentence. A wish has no negation before it in its clause and a refusal has one, so that polarity
can be read back. A title closes its clause before a wish begins ("Not Airplane! I'd like ..."), because titles hold
negations and full stops of their own. And the fixed words are plain ones, since many a common word is a film's title or
somebody's last name.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from types import MappingProxyType
from typing import Final, Literal

from harness.api import Catalogue, Conversation, Item, Statement
from harness.text import normalise

from ..facets import noun_of
from .noise import Noise, Taste
from .wording import phrase, twin_titles

Manner = Literal["new", "again", "answer", "critique", "confirm"]

# np is a plural noun phrase ("horror films"), title a film that was shown.
WANTED: Final = MappingProxyType(
    {
        "new": (
            "I'd like {np}.",
            "I'm looking for {np}.",
            "I usually enjoy {np}.",
            "Could you find {np}?",
            "I'm in the mood for {np}.",
            "I prefer {np}.",
        ),
        "again": (
            "As I said, I'd like {np}.",
            "Again, {np} please.",
            "I'm still looking for {np}.",
            "I'd still prefer {np}.",
        ),
        "answer": ("Yes, I'd like {np}.", "Yes, I enjoy {np}.", "Yes, {np} please."),
        "critique": ("Not {title}. I'd like {np}.", "Not {title}. I'm looking for {np}."),
        "confirm": ("{title} is nearly right. I do like {np}.", "{title} is almost right. I enjoy {np}."),
    }
)
UNWANTED: Final = MappingProxyType(
    {
        "new": ("I don't like {np}.", "Please no {np}.", "I'm not into {np}.", "I'd avoid {np}.", "I don't want {np}."),
        "again": ("As I said, I don't like {np}.", "Again, no {np} please.", "I'd still avoid {np}."),
        "answer": ("No, I don't like {np}.", "No, I'm not into {np}."),
        "critique": (
            "Not {title}, I don't like {np}.",
            "Please not {title}, I'm not into {np}.",
            "Not {title}, no {np} please.",
        ),
        "confirm": ("{title} is nearly right. I don't like {np} though.", "{title} is almost right. I'd avoid {np} though."),
    }
)
NONE_OF_THESE: Final = ("None of these.", "None of these is right.", "Hmm, none of these.", "These aren't right.")
NOT_THIS: Final = ("Not {title}.", "Hmm, not {title}.")
NOT_LIKED: Final = ("Not {title}, I didn't enjoy that.", "Please not {title}, I didn't like that.")
SEEN: Final = ("Not {title}, I've seen that.", "Not {title}, I know that already.")
ACCEPT: Final = ("{title} sounds right, thanks!", "Yes, {title}. Thanks!", "I'll watch {title}, thank you.")
QUIT: Final = ("I'll stop here, thanks.", "Let's stop here.", "This isn't working, I'll stop here.")
NO_PREFERENCE: Final = ("I have no preference about the {family}.", "The {family} doesn't matter.", "Any {family} is okay.")
NO_ANSWER: Final = ("I can't say, please recommend something.", "I have no preference, please recommend something.")


def with_title(template: str, title: str) -> str:
    """Fill in {title}; a title that ends in a stop of its own ("Airplane!") gets no second one."""
    if title.endswith((".", "!", "?")):
        template = template.replace("{title}.", "{title}")
    return template.replace("{title}", title)


class Voice:
    """What all replies of a run share: what an item is called, how twins are told apart, and the noise."""

    def __init__(self, catalogue: Catalogue, noun: str = "", eps: float = 0.0) -> None:
        self.noun = noun or noun_of(catalogue)
        self.noise = Noise(eps, catalogue)
        self._twins = twin_titles(catalogue)

    def name(self, item: Item) -> str:
        """An item's title, with its year where another item has the same title."""
        return self._twins.get(item.id, item.title)


class Reply:
    """One reply under construction: sentences in order, the statements that they make, and the values voiced by them.

    A value is stated once per reply. The noise changes what is said, never what is remembered as said. `secrets` are
    normalised phrases (the targets' titles) that no title and no value in the reply may hold.
    """

    def __init__(self, voice: Voice, conversation: Conversation, taste: Taste, secrets: Sequence[str] = ()) -> None:
        self.rng = Random(f"{conversation.seed}:{conversation.turn}")
        self.statements: list[Statement] = []
        self.voiced: list[tuple[str, str]] = []
        """Facet and value of the need behind each statement, before the noise."""
        self._sentences: list[str] = []
        self._used: set[str] = set()
        self._voice, self._taste, self._seed = voice, taste, conversation.seed
        self._secrets = [f" {secret} " for secret in secrets if secret]

    def may_say(self, name: str) -> bool:
        """Whether a title or value holds no secret ("Toy Story 2" holds "Toy Story")."""
        if not self._secrets:
            return True
        words = f" {normalise(name)} "
        return not any(secret in words for secret in self._secrets)

    def say(self, templates: Sequence[str], *, item: Item | None = None, family: str | None = None) -> None:
        """Add a sentence that states no attribute."""
        template = self.rng.choice(templates)
        if family is not None:
            template = template.replace("{family}", family)
        self._sentences.append(template if item is None else with_title(template, self._voice.name(item)))

    def state(self, facet: str, value: str, polarity: Literal[1, -1], manner: Manner, item: Item | None = None) -> bool:
        """Add a sentence that states a wish or a refusal. False where it is left out: the value holds a secret, or stands in
        this reply already (under another facet it may stand again with the same sign: one who directs and plays)."""
        said = self._voice.noise.spoken(Statement(facet, value, polarity), self._taste, self._seed)
        if not self.may_say(said.value) or any(
            said.value == other.value and (said.facet == other.facet or said.polarity != other.polarity)
            for other in self.statements
        ):
            return False
        templates = (WANTED if said.polarity > 0 else UNWANTED)[manner]
        template = self._choice(templates)
        if item is not None:
            template = with_title(template, self._voice.name(item))
            head, _, tail = template.rpartition("{np}")
            self._sentences.append(head + phrase(said.facet, (said.value,), self._voice.noun) + tail)
        else:
            self._sentences.append(_capital(template.replace("{np}", phrase(said.facet, (said.value,), self._voice.noun))))
        self.statements.append(said)
        self.voiced.append((facet, value))
        return True

    def state_all(self, facet: str, values: Sequence[str]) -> None:
        """Add one sentence that wishes for several values of a facet, without noise."""
        said = [value for value in values if self.may_say(value)]
        if said:
            template = self._choice(WANTED["new"])
            self._sentences.append(_capital(template.replace("{np}", phrase(facet, said, self._voice.noun))))
            self.statements += [Statement(facet, value) for value in said]

    def _choice(self, templates: Sequence[str]) -> str:
        """A template that this reply has not used yet, as long as there is one."""
        template = self.rng.choice([t for t in templates if t not in self._used] or templates)
        self._used.add(template)
        return template

    @property
    def text(self) -> str:
        return " ".join(self._sentences)


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
