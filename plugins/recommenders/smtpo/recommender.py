"""`smtpo`: the dual-view retriever finds candidates every turn, a reasoning language model puts them into order."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from harness import artifacts
from harness.api import Catalogue, Conversation, Item, Recommendation, RecommenderSetup
from harness.llm.api import ChatModel, ChatRequest, Completion

from ...answers import malformed
from ...facets import noun_of
from ...smtpo.cards import stated
from ..chatting import MaxTokens, PromptPath, Temperature, chat_model
from ..evidence import ListOptions, excluded_ids
from ..reading import Reader
from ..reply import QUESTION, reply, title_with_year
from .chain import Chain, MalformedChain, identifier, parse, pattern
from .prompt import Form, Order, Prompter, Prompting

if TYPE_CHECKING:
    from ..dualview.retriever import Retriever

KIND: Final = "smtpo-recommender"
RETRIEVER: Final = "smtpo-retriever"
RECORDED: Final = 100
"""Candidates that the record keeps, for candidate-recall@100."""


class Options(ListOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The trained parts, and what of them to use. What is None is as the model was trained."""

    artifact: Annotated[str, msgspec.Meta(description="bundle with the parts retriever, sft and rl: a name or a folder")] = (
        "smtpo-tiny"
    )
    stage: Annotated[Literal["sft", "rl"], msgspec.Meta(description="which weights of the bundle: after SFT, or after RL")] = (
        "rl"
    )
    retriever: Annotated[str, msgspec.Meta(description="another retriever: name or folder; empty: the bundle's")] = ""
    views: Annotated[
        Literal["both", "semantic", "collaborative"] | None, msgspec.Meta(description="ablation: views of the retriever")
    ] = None
    candidates: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=99)] | None, msgspec.Meta(description="candidates that the model is shown")
    ] = None
    form: Annotated[Form | None, msgspec.Meta(description="of the prompt; worded: for a model chosen by --rec-llm")] = None
    order: Annotated[Order | None, msgspec.Meta(description="in which candidates are shown")] = None
    prompt: PromptPath = ""
    constrained: Annotated[
        bool, msgspec.Meta(description="hold the model to the form of the chain while it writes; the backend must be able to")
    ] = False
    temperature: Temperature = 0.0
    max_tokens: MaxTokens = None


class Smtpo:
    """SMTPO's recommender (arXiv 2604.03671): retrieve, then preference -> match -> score -> rank -> explanation -> answer.

    The chain's form is strict (`chain.py`): an answer that breaks it is the recommender's fault, it is neither mended nor asked
    for again. Where the model answers with fewer items than the list may hold, the retriever's next ones follow. The chain is
    recorded as reasoning, the retrieved ids as candidates.
    """

    how: Prompting
    llm: ChatModel
    catalogue: Catalogue
    reader: Reader
    prompter: Prompter
    retriever: Retriever

    def __init__(self, options: Options) -> None:
        """Raises UsageError or DataError for an artefact that isn't there or doesn't fit."""
        self._options = options
        self._found = artifacts.find(options.artifact, options.stage, KIND)
        bundle, part = (options.retriever, "") if options.retriever else (options.artifact, "retriever")
        self._retriever_found = artifacts.find(bundle, part, RETRIEVER)
        how = Prompting.load(self._found.path)
        given = {name: value for name in ("form", "candidates", "order") if (value := getattr(options, name)) is not None}
        self.how = msgspec.structs.replace(how, **given)

    @classmethod
    def assembled(
        cls,
        options: Options,
        how: Prompting,
        retriever: Retriever,
        llm: ChatModel,
        catalogue: Catalogue,
        reader: Reader | None = None,
    ) -> Smtpo:
        """From parts in memory, ready to recommend: for training, where the artefact is still to be made."""
        made = cls.__new__(cls)
        made._options, made.how = options, how
        made._ready(retriever, llm, catalogue, reader)
        return made

    def default_llm(self) -> str:
        """The trained weights."""
        return f"hf:{self._found.path}"

    def revision(self) -> dict[str, Any]:
        """What the artefacts hold, and how the model is asked."""
        prompter = Prompter(self.how, "title", self._options.prompt)
        return {
            "retriever": self._retriever_found.revision(),
            "recommender": self._found.revision(),
            "prompting": msgspec.to_builtins(self.how),
            **(prompter.worded.revision() if self.how.form == "worded" else {}),
        }

    def prepare(self, setup: RecommenderSetup) -> None:
        """Loads the retriever and encodes the catalogue."""
        from ..dualview.retriever import Retriever

        retriever = Retriever.load(self._retriever_found.path, setup.catalogue, setup.training, views=self._options.views)
        self._ready(retriever, chat_model(setup, "smtpo"), setup.catalogue, None)

    def _ready(self, retriever: Retriever, llm: ChatModel, catalogue: Catalogue, reader: Reader | None) -> None:
        self.retriever, self.llm, self.catalogue = retriever, llm, catalogue
        self.reader = reader or Reader(catalogue)
        self.prompter = Prompter(self.how, noun_of(catalogue), self._options.prompt)

    async def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        found = self.retrieve(conversation, max(RECORDED, k))
        if not found:
            return Recommendation(text=QUESTION, candidates=())
        shown = self.shown(conversation, found)
        asked = min(self.how.answer, len(shown))
        completion = await self.llm.chat(self.request(conversation, shown))
        chain = read(completion, len(shown), asked)
        chosen = [shown[number - 1] for number in chain.answer]
        items = list({item.id: item for item in (*chosen, *found)}.values())[:k]
        because = because_of(chain, chosen[0])
        return Recommendation(
            tuple(item.id for item in items),
            reply(items, because),
            reasoning=readable(chain, shown),
            candidates=tuple(item.id for item in found[:RECORDED]),
        )

    def retrieve(self, conversation: Conversation, k: int) -> list[Item]:
        """The k best items of the whole catalogue, best first."""
        excluded = excluded_ids(conversation, self._options)
        return [self.catalogue[self.catalogue.position(i)] for i, _ in self.retriever.recall(conversation, k, exclude=excluded)]

    def shown(self, conversation: Conversation, found: Sequence[Item]) -> list[Item]:
        """The candidates in the order in which the model sees them."""
        shown = list(found[: self.how.candidates])
        if self.how.order == "shuffled":
            random.Random(f"{conversation.seed} {conversation.turn} candidates").shuffle(shown)
        return shown

    def request(self, conversation: Conversation, shown: Sequence[Item]) -> ChatRequest:
        """What the model is asked about these candidates."""
        asked = min(self.how.answer, len(shown))
        messages = self.prompter.messages(conversation, stated(conversation, self.reader), shown, asked)
        tokens = self._options.max_tokens or (100 + 16 * len(shown) if self.how.form == "compact" else 400 + 40 * len(shown))
        return ChatRequest(
            messages,
            max_tokens=tokens,
            temperature=self._options.temperature,
            seed=conversation.seed + conversation.turn,
            stop=("</answer>",) if self.how.form == "worded" and not self._options.constrained else (),
            pattern=pattern(len(shown), asked) if self._options.constrained else None,
        )


def read(completion: Completion, candidates: int, k: int) -> Chain:
    """The chain of an answer. Raises ComponentFault "malformed"."""
    text = completion.text
    if completion.finish != "length" and "<answer>" in text and "</answer>" not in text:
        text += "</answer>"  # a stop string is not part of the text
    try:
        return parse(text, candidates, k)
    except MalformedChain as error:
        raise malformed(completion, error) from None


def readable(chain: Chain, shown: Sequence[Item]) -> str:
    """The chain with titles, one step per line, for reports and chats."""
    names = {number: f"{identifier(number)} {title_with_year(item)}" for number, item in enumerate(shown, 1)}
    matches = "; ".join(
        f"{names[m.candidate]}: {', '.join(m.matched) or '-'}{' / against: ' + ', '.join(m.violated) if m.violated else ''}"
        for m in chain.matches
    )
    scores = ", ".join(f"{identifier(candidate)} {score}" for candidate, score in chain.scores)
    lines = (
        f"preference: likes {', '.join(chain.likes) or '-'}; dislikes {', '.join(chain.dislikes) or '-'}",
        f"match: {matches or '-'}",
        f"score: {scores or '-'}",
        f"rank: {' > '.join(names[n] for n in chain.rank) or '-'}",
        f"explanation: {_explained(chain, shown) or '-'}",
    )
    return "\n".join(lines)


def _explained(chain: Chain, shown: Sequence[Item]) -> str:
    """The explanation with titles. A tokenizer in which values are whole tokens gives them back without the blanks around."""
    text = chain.explanation
    if re.search(r"\]\w", text):
        values = {value for item in shown for held in item.attributes.values() for value in held} | {*chain.likes}
        known = "|".join(re.escape(value) for value in sorted(values, key=len, reverse=True))
        text = re.sub(rf"\s*(\[C\d+\]|\||{known})\s*" if known else r"\s*(\[C\d+\]|\|)\s*", r" \1 ", text, flags=re.IGNORECASE)
    titles = {identifier(number): title_with_year(item) for number, item in enumerate(shown, 1)}
    return " ".join(re.sub(r"\[C\d+\]", lambda found: titles.get(found.group(), found.group()), text).split())


def because_of(chain: Chain, best: Item) -> str | None:
    """A clause for the reply: what the chain says the seeker likes and the first item has."""
    held = {value.casefold(): value for values in best.attributes.values() for value in values}
    found = [held[like.casefold()] for like in chain.likes if like.casefold() in held]
    return f"you asked for {' and '.join(found)}" if found else None
