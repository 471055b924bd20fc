"""`persona`: profile-llm with three traits of character, conformity, patience and verbosity.

A trait that isn't set is drawn per scenario. The draw depends on the run's seed, the human context and the taste, on nothing
that is said in the dialogue: a scenario's seeker is the same person for every recommender and in every trial and retry, so that
paired comparisons compare like with like and no faulty answer is exchanged for another character's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from random import Random
from typing import Annotated, ClassVar, Final, Literal

import msgspec

from harness.api import Conversation, Knowledge

from .. import quoting
from .profile_llm import Options as ProfileOptions
from .profile_llm import ProfileLlm

LEVELS: Final = ("low", "medium", "high")
TRAITS: Final = ("conformity", "patience", "verbosity")
Level = Literal["draw", "low", "medium", "high"]


class Options(ProfileOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `persona`."""

    conformity: Annotated[Level, msgspec.Meta(description="how readily it takes what is praised; draw: by the seed")] = "draw"
    patience: Annotated[Level, msgspec.Meta(description="how many lists it looks at before it quits; draw: by the seed")] = (
        "draw"
    )
    verbosity: Annotated[Level, msgspec.Meta(description="how much it says per turn; draw: by the seed")] = "draw"


class Persona(ProfileLlm):
    """See the module."""

    name: ClassVar[str] = "persona"
    needed: ClassVar[tuple[str, ...]] = ("wanted", "unwanted", *TRAITS)

    def __init__(self, options: Options | None = None) -> None:
        self.traits_said = options or Options()
        super().__init__(self.traits_said, "persona.v1")
        self._words = {trait: self.prompt.table(trait, LEVELS) for trait in TRAITS}

    def traits(self, conversation: Conversation, knowledge: Knowledge) -> dict[str, str]:
        """The level of each trait in this dialogue."""
        person = msgspec.json.encode((quoting.context_of(conversation), knowledge), order="deterministic")
        rng = Random(f"{self.setup.seed}:{hashlib.sha256(person).hexdigest()}")
        drawn = {trait: rng.choice(LEVELS) for trait in TRAITS}  # all of them, so that setting one leaves the others
        said = {trait: getattr(self.traits_said, trait) for trait in TRAITS}
        return {trait: drawn[trait] if said[trait] == "draw" else said[trait] for trait in TRAITS}

    def knows(self, conversation: Conversation, knowledge: Knowledge) -> Mapping[str, str]:
        levels = self.traits(conversation, knowledge)
        return {**super().knows(conversation, knowledge), **{trait: self._words[trait][levels[trait]] for trait in TRAITS}}
