"""`smtpo-search`: the language model before reinforcement learning, frozen, and a beam search over imagined dialogues.

What training against a user simulator is to be compared with: instead of learning from the simulator, ask it while
recommending. After GRSU (arXiv 2504.20458), whose code is public in part: a label-free simulated user scores items
(coarse) and criticises lists by attributes (fine), the best lists are gone on with, and all lists of the tree rank the items.

One real turn, in this order:
1. The conversation is the root. `roots` lists are written for it.
2. The imagined seeker says how probable it is that each item is taken; a list is worth the mean of that (or the best).
3. The `beam` best lists are criticised in words, all of their items are turned down, and `width` lists are written for what
   follows; and so on, for `depth` levels.
4. Items are ranked by their scores over all lists of the tree, those that were not gone on with too.

The imagined seeker is a copy of the model that speaks as `smtpo-sft`. It reads the public conversation alone, as the
recommender does. The next real turn starts a new tree.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from harness.api import Conversation, Item, Message, Recommendation, RecommenderSetup
from harness.errors import ComponentFault, RefusedError, UsageError

from ...smtpo.user.model import trained
from ..chatting import Temperature
from ..reply import QUESTION, reply
from . import recommender as smtpo
from .chain import Chain
from .imagined import ImaginedSeeker, overheard
from .tree import Node, Ranking, Reward, kept, ranked, reward

SEEKER: Final = "seeker"
"""By this name the imagined seeker's language model is asked for."""
_SEEDS: Final = 2**31

T = TypeVar("T")
Unusable = ComponentFault | RefusedError
"""An answer that can't be used; what else may go wrong with a model ends the turn."""


class Options(smtpo.Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far to search, and with what. Defaults are small [inferred]; GRSU's code has width 4, beam 4, depth 5, 16 roots."""

    artifact: Annotated[
        str, msgspec.Meta(description="bundle with the parts retriever, simulator and sft: a name or a folder")
    ] = "smtpo-tiny"
    stage: Annotated[Literal["sft", "rl"], msgspec.Meta(description="which weights of the bundle write the lists")] = "sft"
    width: Annotated[int, msgspec.Meta(ge=1, le=32, description="lists that are written for each node gone on with")] = 2
    beam: Annotated[int, msgspec.Meta(ge=1, le=32, description="nodes of a level that are gone on with")] = 2
    depth: Annotated[int, msgspec.Meta(ge=1, le=10, description="levels of lists; 1: no imagined answer, lists are scored")] = 2
    roots: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=256)] | None,
        msgspec.Meta(description="lists of the first level; none: width times width, as GRSU, and width where beam is 1"),
    ] = None
    variants: Annotated[
        Literal["sampled", "shifted"],
        msgspec.Meta(
            description="how the lists of a node differ. sampled: drawn at the temperature; shifted: greedy, each is written "
            "of candidates that come a list's length later than those of the one before"
        ),
    ] = "sampled"
    temperature: Temperature = 0.7
    reward: Annotated[Reward, msgspec.Meta(description="what a list is worth: mean or max of its items' scores")] = "mean"
    ranking: Annotated[
        Ranking, msgspec.Meta(description="of the items over all lists: mean or sum of their scores, or votes (how many lists)")
    ] = "mean"
    seeker: Annotated[str, msgspec.Meta(description="another artefact of the imagined seeker; empty: the bundle's")] = ""
    seeker_llm: Annotated[
        str, msgspec.Meta(description="another language model of the imagined seeker (openai:MODEL); empty: its artefact's")
    ] = ""

    @property
    def first(self) -> int:
        """Lists of the first level."""
        return self.roots or (self.width**2 if self.beam > 1 else self.width)


class State(msgspec.Struct, frozen=True):
    """Where lists are written: after the real conversation (`path` is empty), or after an imagined answer."""

    path: tuple[int, ...]
    conversation: Conversation
    """As the recommender's model sees it: real turns and imagined ones are alike."""
    overheard: tuple[Message, ...]
    """As the imagined seeker sees it; what is imagined is marked by its lists."""
    found: Sequence[Item]
    """What the retriever finds, best first."""


class Drawn(msgspec.Struct, frozen=True):
    """A list that was written for a state, of the candidates `shown`."""

    state: State
    path: tuple[int, ...]
    shown: Sequence[Item]
    chain: Chain

    @property
    def items(self) -> list[Item]:
        return [self.shown[number - 1] for number in self.chain.answer]

    @property
    def message(self) -> Message:
        """The recommender's turn that shows it."""
        return Message(
            "recommender",
            reply(self.items, smtpo.because_of(self.chain, self.items[0])),
            ranked=tuple(item.id for item in self.items),
        )

    @property
    def talk(self) -> Conversation:
        """What the imagined seeker sees: the list is the last message."""
        seen = self.state.conversation
        return Conversation((*self.state.overheard, self.message), len(self.path), seen.seed)


class Tree(msgspec.Struct):
    """What has been imagined so far."""

    nodes: list[Node] = []
    drawn: dict[tuple[int, ...], Drawn] = {}
    unusable: list[Unusable] = []
    asked: int = 0
    """Lists that were asked for."""
    judged: dict[str, float] = {}
    criticisms: list[str] = []


class SmtpoSearch(smtpo.Smtpo):
    """Beam search over imagined dialogues, and a ranking over all lists of the tree (after GRSU, arXiv 2504.20458).

    A list that breaks the form of the chain is left out of the tree, and so is what would follow a criticism that can't be
    read; only where no list of the first level is usable is it the recommender's fault. How many were left out is recorded.
    """

    _options: Options

    def __init__(self, options: Options) -> None:
        """Raises UsageError or DataError for an artefact that isn't there or doesn't fit, or for a search without a choice."""
        if options.variants == "sampled" and options.temperature == 0 and max(options.width, options.first) > 1:
            raise UsageError(
                "recommender smtpo-search: at temperature 0 all lists of a node are the same: give a temperature, or "
                "variants=shifted"
            )
        super().__init__(options)
        self._user = trained(options.seeker or options.artifact)

    def more_llms(self) -> dict[str, str]:
        """The imagined seeker's model. Raises UsageError without one."""
        spec = self._options.seeker_llm or self._user.llm
        if spec is None:
            raise UsageError(f"{self._user.artifact.path} holds no language model: choose one with seeker_llm=openai:MODEL")
        return {SEEKER: spec}

    def revision(self) -> dict[str, Any]:
        """That of `smtpo`, and the imagined seeker's artefact and prompt."""
        return {**super().revision(), SEEKER: {**self._user.revision(), **self._user.load_prompt().revision()}}

    def prepare(self, setup: RecommenderSetup) -> None:
        """Raises UsageError where the second model isn't given (--isolate)."""
        super().prepare(setup)
        llm = setup.more_llms.get(SEEKER)
        if llm is None:
            raise UsageError("recommender smtpo-search needs its second language model, which --isolate can't give it")
        self.seeker = ImaginedSeeker(
            llm,
            self._user.load_prompt(),
            self._user.decision,
            setup.catalogue,
            setup.training,
            self.reader,
            aligned=self._user.aligned,
            turns=self._options.depth,
        )

    async def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        found = self.retrieve(conversation, max(smtpo.RECORDED, k))
        if not found:
            return Recommendation(text=QUESTION, candidates=())
        tree = await self._grown(State((), conversation, overheard(conversation), found))
        if not tree.nodes:
            raise tree.unusable[0]
        order = ranked(tree.nodes, self._options.ranking)
        items = [self.catalogue[self.catalogue.position(i)] for i in dict.fromkeys((*order, *(item.id for item in found)))][:k]
        first = kept([node for node in tree.nodes if node.level == 1], 1, self._options.reward)[0]
        # Whatever a list was written of, and then what else was found for the real conversation.
        candidates = dict.fromkeys(item.id for drawn in tree.drawn.values() for item in drawn.shown)
        candidates.update(dict.fromkeys(item.id for item in found))
        return Recommendation(
            tuple(item.id for item in items),
            reply(items, smtpo.because_of(tree.drawn[first.path].chain, items[0])),
            reasoning=self._told(tree),
            candidates=tuple(candidates)[: smtpo.RECORDED],
        )

    async def _grown(self, root: State) -> Tree:
        """The whole tree. Raises what is wrong with a model rather than with an answer."""
        options, tree = self._options, Tree()
        states = [root]
        for level in range(1, options.depth + 1):
            width = options.first if level == 1 else options.width
            tree.asked += width * len(states)
            drawn, broken = await _usable([self._drawn(state, n) for state in states for n in range(width)])
            tree.unusable += broken
            lists = [one for one in drawn if one is not None]
            if not lists:
                break
            scores = await self.seeker.scores([one.talk for one in lists], [one.items for one in lists], tree.judged)
            nodes = [Node(one.path, one.message.ranked, held) for one, held in zip(lists, scores, strict=True)]
            tree.nodes += nodes
            tree.drawn.update({one.path: one for one in lists})
            if level == options.depth:
                break
            best = [tree.drawn[node.path] for node in kept(nodes, options.beam, options.reward)]
            states, broken = await _usable([self._answered(one) for one in best])
            tree.unusable += broken
            tree.criticisms += [state.conversation.messages[-1].text for state in states]
        return tree

    async def _drawn(self, state: State, number: int) -> Drawn | None:
        """A state's list of that number; None where no candidates are left for it. Raises ComponentFault "malformed"."""
        options, conversation = self._options, state.conversation
        shifted = options.variants == "shifted"
        shown = self.shown(conversation, state.found[number * self.how.answer :] if shifted else state.found)
        if not shown:
            return None
        path = (*state.path, number)
        request = self.request(conversation, shown)
        if shifted:
            request = msgspec.structs.replace(request, temperature=0.0)
        else:
            draw = random.Random(f"{conversation.seed} {conversation.turn} {path}")
            request = msgspec.structs.replace(request, seed=draw.randrange(_SEEDS))
        completion = await self.llm.chat(request)
        chain = smtpo.read(completion, len(shown), min(self.how.answer, len(shown)))
        return Drawn(state, path, shown, chain)

    async def _answered(self, drawn: Drawn) -> State:
        """What follows when the imagined seeker turns a list down. Raises ComponentFault."""
        text = await self.seeker.criticism(drawn.talk)
        shown = drawn.message
        answer = Message("seeker", text, rejected=shown.ranked)
        before = drawn.state.conversation
        conversation = Conversation((*before.messages, shown, answer), before.turn + 1, before.seed)
        found = self.retrieve(conversation, max(smtpo.RECORDED, len(shown.ranked)))
        return State(drawn.path, conversation, (*drawn.state.overheard, shown, answer), found)

    def _told(self, tree: Tree) -> str:
        """The tree in short and the chain of its best list, for reports and chats."""
        how = self._options.reward
        lines = [f"search: {len(tree.nodes)} lists of {tree.asked}; {len(tree.unusable)} answers could not be used"]
        for level in range(1, max(node.level for node in tree.nodes) + 1):
            worth = sorted((reward(node, how) for node in tree.nodes if node.level == level), reverse=True)
            lines.append(f"level {level}: {how} score {', '.join(f'{value:.3f}' for value in worth)}")
        lines += [f"imagined answer: {text}" for text in tree.criticisms]
        best = tree.drawn[kept(tree.nodes, 1, how)[0].path]
        return "\n".join((*lines, "the best list:", smtpo.readable(best.chain, best.shown)))


async def _usable(asked: Sequence[Coroutine[Any, Any, T]]) -> tuple[list[T], list[Unusable]]:
    """(what came back, in order, and the answers that can't be used). Raises anything else, once all have come back."""
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    values: list[T] = []
    broken: list[Unusable] = []
    for outcome in outcomes:
        if isinstance(outcome, (ComponentFault, RefusedError)):
            broken.append(outcome)
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            values.append(outcome)
    return values, broken
