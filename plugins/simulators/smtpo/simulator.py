"""`smtpo-sft` and `smtpo-base`: a seeker that knows no target and goes by what a language model has learned from others.

One turn, in this order:
1. Target prediction: the model says of each shown item, "Would the user accept it?", Yes or No. The log-odds, calibrated, are
   the probability that this is what the seeker is after (pointwise, as GRSU scores items).
2. Accept rule: the best item is accepted from one threshold on; items below another are turned down.
3. Attribute alignment (option `align`): which values are wanted, unwanted, matched by the list, missing in it, as JSON.
4. Feedback generation: one reply, with the alignment as its notes.

After SMTPO (Xiang, Pan and Wei, arXiv 2604.03671), whose prompts and weights are not public: prompts, calibration and
thresholds are this project's own.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from harness.api import Conversation, Feedback, Knowledge, KnowledgeLevel, SimulatorSetup

from ... import prompting
from ...facets import noun_of
from ...smtpo.user.decision import Decision, decide
from ...smtpo.user.mind import Mind
from ...smtpo.user.model import Trained, trained
from ...smtpo.user.view import Viewer
from ..chat_seeker import chat_model
from .noise import NoisyText


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `smtpo-sft` and `smtpo-base`."""

    artifact: Annotated[
        str, msgspec.Meta(description="name or path of the trained simulator (a folder, or a bundle with the part simulator)")
    ] = "smtpo-tiny"
    prompt: Annotated[
        str, msgspec.Meta(description="path of another prompt file (TOML); empty: the one that the model was trained with")
    ] = ""
    accept: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=1)] | None,
        msgspec.Meta(description="accept from this probability on; null: as calibrated on validation"),
    ] = None
    keep: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=1)] | None,
        msgspec.Meta(description="turn down items below this probability; null: as calibrated, 1: all of them"),
    ] = None
    align: Annotated[
        bool | None,
        msgspec.Meta(description="ask for the attribute alignment first and give it to the reply; null: if it was learned"),
    ] = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2, description="of the reply; 0: greedy")] = 0.0
    eps: Annotated[float, msgspec.Meta(ge=0, le=1, description="probability that a stated attribute is false")] = 0.0
    show: Annotated[int, msgspec.Meta(ge=1, description="items of a list that the seeker looks at, from the top")] = 10
    max_tokens: Annotated[int, msgspec.Meta(ge=8, description="tokens that a reply or an alignment may have")] = 160


class SmtpoSft:
    """See the module. Stateless; the log-odds of items already judged ride in the state where the prompt allows it."""

    knowledge: KnowledgeLevel = "label_free"
    name: ClassVar[str] = "smtpo-sft"
    untrained: ClassVar[bool] = False

    def __init__(self, options: Options | None = None) -> None:
        """Raises UsageError or DataError for an artefact that isn't there or doesn't fit."""
        self.options = options or Options()
        self.artefact: Trained = trained(self.options.artifact, untrained=self.untrained)

    def default_llm(self) -> str | None:
        """The artefact's own model; None where the artefact holds only settings."""
        return self.artefact.llm

    def revision(self) -> dict[str, Any]:
        return {**self.artefact.revision(), **self._load_prompt().revision()}

    def prepare(self, setup: SimulatorSetup) -> None:
        """Raises UsageError where no model was chosen and the artefact has none."""
        self._prompt = self._load_prompt()
        changed = {name: value for name in ("accept", "keep") if (value := getattr(self.options, name)) is not None}
        self._decision: Decision = msgspec.structs.replace(self.artefact.decision, **changed)
        self._aligned = self.artefact.aligned if self.options.align is None else self.options.align
        self._viewer = Viewer(setup.catalogue, setup.training, turns=setup.max_turns, look=self.options.show)
        self._noise = NoisyText(self.options.eps, setup.catalogue)
        self._mind = Mind(
            chat_model(setup, self.name),
            self._prompt,
            self._viewer,
            temperature=self.options.temperature,
            max_tokens=self.options.max_tokens,
        )

    def _load_prompt(self) -> prompting.Prompt:
        return self.artefact.load_prompt(self.options.prompt)

    async def reply(self, conversation: Conversation, knowledge: Knowledge) -> Feedback:
        view = self._viewer.view(conversation)
        known = _known(conversation.state) if self._mind.steady else {}
        new = await self._mind.judge(view, [item for item in view.shown if item.id not in known])
        judged = known | new
        state = {"judged": judged} if self._mind.steady else None
        verdict = decide(self._decision, {item.id: judged[item.id] for item in view.shown})
        if verdict.accepted:
            text = self._prompt.text("accept", noun=noun_of(self._viewer.catalogue))
            return Feedback(text, "accept", accepted=verdict.accepted, rejected=(), state=state)
        # What was said once is known; said in every turn it drowns what else was asked for.
        said = {statement.value for statement in view.said}
        plan = (await self._mind.align(view)).without(said).plan() if self._aligned else ""
        text = self._noise.said(await self._mind.feedback(view, plan), conversation.seed)
        return Feedback(text, rejected=verdict.rejected, state=state)


class SmtpoBase(SmtpoSft):
    """The same without fine-tuning, the ablation: the model that the training started from, or any chat model."""

    name: ClassVar[str] = "smtpo-base"
    untrained: ClassVar[bool] = True


def _known(state: Any) -> dict[str, float]:
    """What an earlier turn has judged."""
    return dict(state["judged"]) if isinstance(state, dict) else {}
