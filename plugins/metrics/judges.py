"""Judges: metrics that ask a language model how well a recommender talked. Optional, and never part of a run's default metrics.

A judge reads the public dialogue and the titles that were listed, never the name of a system. Its answer is a JSON object with
the reason first; an answer of another form is `unscored`, with the reason, and is never guessed at. A recommender that broke
down before its first message gets the lowest score without a question: a failure stays in the denominator.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec

from harness import DialogueView, MetricSetup, Unscored
from harness.errors import ComponentFault, UsageError
from harness.llm.api import ChatMessage, ChatModel, ChatRequest, Completion

from .. import prompting, quoting
from ..answers import unwrapped
from ..facets import noun_of
from . import transcripts

_ALWAYS: Final = ("noun", "before")
_TARGETS: Final = 5
"""Wanted titles that the persuasiveness prompt names."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of every judge."""

    prompt: Annotated[
        str, msgspec.Meta(description="path of another prompt file (TOML); empty: the one that comes with it")
    ] = ""
    max_tokens: Annotated[int, msgspec.Meta(ge=16, description="tokens that an answer may have, its reason included")] = 300
    show: Annotated[int, msgspec.Meta(ge=0, description="titles of a list that the judge sees, from the top")] = 10


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model's answer with a score. The bounds are checked by the metric."""

    score: int
    reason: str = ""


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model's answer to a comparison."""

    better: Literal["A", "B", "tie"]
    reason: str = ""


class _Judge:
    level: Literal["turn", "dialogue", "run"] = "dialogue"
    family = "judge"
    higher_is_better = True
    bounds: tuple[float, float] = (1.0, 5.0)
    name: ClassVar[str]
    file: ClassVar[str]
    """The prompt file that comes with it."""
    placeholders: ClassVar[tuple[str, ...]] = ()
    """What its prompt's texts may hold beside `noun` and `before`."""
    needed: ClassVar[tuple[str, ...]] = ("dialogue",)
    """What the user text must hold."""

    def __init__(self, options: Options | None = None) -> None:
        """Raises UsageError for an unusable prompt file."""
        self.options = options or Options()
        self.prompt = prompting.load(__package__, self.file, self.options.prompt)
        self.prompt.check({"system": (), "user": self.needed}, {*_ALWAYS, *self.needed, *self.placeholders})
        self.llm: ChatModel | None = None

    def revision(self) -> dict[str, Any]:
        return {**self.prompt.revision(), "max_tokens": self.options.max_tokens, "show": self.options.show}

    def prepare(self, setup: MetricSetup) -> None:
        """Raises UsageError where no model was chosen."""
        if setup.llm is None:
            raise UsageError(
                f"metric {self.name} asks a language model: choose one with --judge-llm openai:MODEL (or hf:MODEL), or with "
                "--llm for every role of a run"
            )
        self.llm = setup.llm
        self.catalogue = setup.catalogue
        self._noun = noun_of(setup.catalogue)

    async def score(self, view: DialogueView) -> float | Unscored:
        if view.scenario is None:
            return Unscored("needs the scenario: what was said before is not at hand")
        if not any(turn.played for turn in view.turns):
            return self.bounds[0]
        values = {"before": transcripts.before(view, self.catalogue), **self.values(view)}
        verdict = _decoded(await self.ask(values, self.schema()), Verdict)
        if isinstance(verdict, Unscored):
            return verdict
        low, high = self.bounds
        if not low <= verdict.score <= high:
            return Unscored(f"unparsable: the score is not from {low:g} to {high:g}")
        return float(verdict.score)

    def values(self, view: DialogueView) -> dict[str, str]:
        """What fills the placeholders."""
        return {"dialogue": transcripts.dialogue(view, self.catalogue, self.options.show)}

    def schema(self) -> dict[str, Any]:
        """The JSON schema of an answer, in the subset that servers can hold a model to."""
        low, high = map(int, self.bounds)
        return _schema("score", {"type": "integer", "enum": list(range(low, high + 1))})

    async def ask(self, values: dict[str, str], schema: dict[str, Any]) -> Completion:
        """One question at temperature 0: the same dialogue gives the same request."""
        if self.llm is None:
            raise UsageError(f"{self.name} was not prepared")
        values = {"noun": self._noun, **values}
        messages = tuple(ChatMessage(role, self.prompt.text(role, **values)) for role in ("system", "user"))
        return await self.llm.chat(ChatRequest(messages, max_tokens=self.options.max_tokens, temperature=0.0, schema=schema))


class _Quality(_Judge):
    file = "quality.v1"
    placeholders = ("question", "scale")
    quality: ClassVar[str]

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        table = self.prompt.table(self.quality, ("question", *"12345"))
        self._question, self._scale = table["question"], "\n".join(f"{n} = {table[str(n)]}" for n in range(5, 0, -1))

    def values(self, view: DialogueView) -> dict[str, str]:
        return {**super().values(view), "question": self._question, "scale": self._scale}


class Relevance(_Quality):
    """Do messages and recommendations fit what the seeker wants? 1 to 5."""

    name, quality = "judge-relevance", "relevance"


class Style(_Quality):
    """Communication style: clear, to the point, in the right tone? 1 to 5."""

    name, quality = "judge-style", "style"


class Fluency(_Quality):
    """Is the recommender's language grammatical and natural? 1 to 5."""

    name, quality = "judge-fluency", "fluency"


class Flow(_Quality):
    """Conversational flow: does each message follow from the last, and does it get anywhere? 1 to 5."""

    name, quality = "judge-flow", "flow"


class Satisfaction(_Quality):
    """How satisfied would the seeker be on the whole? 1 to 5."""

    name, quality = "judge-satisfaction", "satisfaction"


class Persuasiveness(_Judge):
    """Does the recommender's explanation make the seeker want what it recommends? 0 to 2 (iEvaLM, EMNLP 2023).

    2: it recommends what the seeker was looking for, or makes its recommendation look better; 1: about as good; 0: worse. The
    hidden targets stand in the prompt. Where there are none (dialogues of real people), the seeker's own words are the measure.
    """

    bounds = (0.0, 2.0)
    name, file = "persuasiveness", "persuasiveness.v1"
    placeholders = ("measure", "wanted")

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self.prompt.check(
            {"system": ("measure",), "known": ("wanted",), "unknown": ()}, {*_ALWAYS, *self.needed, *self.placeholders}
        )

    def values(self, view: DialogueView) -> dict[str, str]:
        wanted = [item for item in map(self.catalogue.get, view.dialogue.targets) if item is not None]
        titles = ", ".join(f'"{quoting.title(item)}"' for item in wanted[:_TARGETS])
        measure = self.prompt.text("known", wanted=titles) if wanted else self.prompt.text("unknown")
        return {**super().values(view), "measure": measure}


class Preference(_Judge):
    """Which of two recommenders served the same seeker better (`harness compare A B --judge SPEC`)? It scores no single run."""

    bounds = (-1.0, 1.0)
    name, file = "judge-preference", "preference.v1"
    needed = ("first", "second")

    async def score(self, view: DialogueView) -> float | Unscored:
        return Unscored("a preference needs two runs: harness compare A B --judge SPEC")

    async def prefer(self, first: DialogueView, second: DialogueView) -> Literal["first", "second", "tie"] | Unscored:
        """One question, in this order. Both views are of one scenario."""
        if first.scenario is None or second.scenario is None:
            return Unscored("needs the scenario: what was said before is not at hand")
        values = {
            "before": transcripts.before(first, self.catalogue),
            "first": transcripts.dialogue(first, self.catalogue, self.options.show),
            "second": transcripts.dialogue(second, self.catalogue, self.options.show),
        }
        asked = _schema("better", {"type": "string", "enum": ["A", "B", "tie"]})
        choice = _decoded(await self.ask(values, asked), Choice)
        if isinstance(choice, Unscored):
            return choice
        return "tie" if choice.better == "tie" else "first" if choice.better == "A" else "second"


def _schema(name: str, kind: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"reason": {"type": "string"}, name: kind},
        "required": ["reason", name],
        "additionalProperties": False,
    }


def _decoded(completion: Completion, kind: type[Any]) -> Any:
    """The answer, or why it can't be read: in few words, so that equal reasons can be counted."""
    cut = "; it was cut off: give it more room (--metric NAME@max_tokens=N)" if completion.finish == "length" else ""
    try:
        answer, _ = unwrapped(completion)
        return msgspec.json.decode(answer, type=kind)
    except ComponentFault as fault:
        return Unscored(f"unparsable: {fault}{cut}")
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return Unscored(f"unparsable: {type(error).__name__ if isinstance(error, RecursionError) else error}{cut}")
