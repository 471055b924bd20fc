"""One dialogue: the multi-turn loop. It knows no registry, no file and no other dialogue.

context -> recommender: text + ranked list -> simulator: text + action -> recommender ... until accept, quit or T turns
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol

import msgspec

from harness.api import (
    AttemptRecord,
    Catalogue,
    Conversation,
    DialogueRecord,
    Feedback,
    Knowledge,
    Message,
    Scenario,
    StopReason,
    TurnRecord,
)
from harness.checks import check_feedback, check_recommendation, spent
from harness.errors import ComponentFault, TransportExhausted

Recommend = Callable[[Conversation, int], Awaitable[Any]]
Reply = Callable[[Conversation, Knowledge], Awaitable[Any]]
WITHHELD_ORDER = "[text withheld]"
"""What a simulator reads at a further try in place of a recommender's order to it."""
Seeds = Callable[[str, int], int]
"""(role, attempt) -> seed"""


class Rules(msgspec.Struct, frozen=True):
    """The protocol's knobs that a dialogue needs; their meaning is in `config.RunConfig`."""

    max_turns: int
    k: int
    leak_policy: Literal["redact", "keep", "stop"] = "redact"
    max_text: int = 20_000
    simulator_retries: int = 2
    success_k: int = 10
    stop_on_success: bool = False
    final_reply: bool = False


class _Gated(Protocol):
    @property
    def text(self) -> str: ...
    @property
    def leaks(self) -> tuple[str, ...]: ...
    @property
    def items(self) -> tuple[str, ...]: ...


class Gate(Protocol):
    """The leak gate, as far as a dialogue knows it."""

    def check(self, text: str, *, hidden: Any, policy: Literal["redact", "keep", "stop"] = "redact") -> _Gated: ...


class Dialogue:
    """Plays one scenario once. After a cancellation, `record("cancelled")` still gives what was played."""

    def __init__(
        self,
        scenario: Scenario,
        trial: int,
        *,
        rules: Rules,
        catalogue: Catalogue,
        seeds: Seeds,
        recommend: Recommend,
        reply: Reply | None,
        knowledge: Knowledge,
        gate: Gate,
        is_injection: Callable[[str], bool] = lambda text: False,
    ) -> None:
        self._scenario, self._trial, self._rules = scenario, trial, rules
        self._catalogue, self._seeds, self._knowledge = catalogue, seeds, knowledge
        self._recommend, self._reply, self._gate, self._is_injection = recommend, reply, gate, is_injection
        self._messages: list[Message] = list(scenario.context)
        self._turns: list[TurnRecord] = []
        self._faults: list[AttemptRecord] = []
        self._seconds = {"recommender": 0.0, "simulator": 0.0}
        self._shown: dict[str, None] = {}
        self._public = {i for m in scenario.context for i in (*m.items, *m.ranked)}

    async def play(self) -> DialogueRecord:
        """To the end. Never raises for what a component did; raises what the harness itself got wrong."""
        rules = self._rules
        recommender_state: Any = None
        simulator_state: Any = None
        for turn in range(1, rules.max_turns + 1):
            # ---- the recommender's move
            conversation = Conversation(tuple(self._messages), turn, self._seeds("recommender", 0), recommender_state)
            started = time.perf_counter()
            raw: Any = None
            try:
                raw = await self._recommend(conversation, rules.k)
                checked = check_recommendation(raw, self._catalogue, rules.k, rules.max_text)
            except ComponentFault as fault:
                self._fault("recommender", fault, turn, raw=raw)
                return self.record("recommender_fault")
            except TransportExhausted as failure:
                return self._incomplete("recommender", failure, turn)
            finally:
                self._seconds["recommender"] += time.perf_counter() - started
            given = checked.recommendation
            recommender_state = given.state
            played = TurnRecord(
                text=given.text,
                items=given.items,
                unknown=checked.unknown,
                repeated=checked.repeated,
                dropped=checked.dropped,
                reasoning=given.reasoning,
                injection=self._is_injection(given.text),
                recommender_usage=given.usage,
                candidates=given.candidates,
            )
            self._turns.append(played)
            if given.items and checked.unknown == len(given.items):
                shown = ", ".join(given.items[:3])
                self._fault("recommender", ComponentFault("out_of_catalogue", f"no id is in the catalogue: {shown}"), turn)
                return self.record("recommender_fault")
            # Unknown ids are no items: nobody can see, accept or reject them.
            ranked = given.items
            if checked.unknown or checked.repeated:
                ranked = tuple(dict.fromkeys(i for i in ranked if self._catalogue.get(i) is not None))
            self._shown.update(dict.fromkeys(ranked))
            self._messages.append(Message("recommender", given.text, ranked=ranked))
            # ---- the seeker's move
            success = rules.stop_on_success and any(t in given.items[: rules.success_k] for t in self._scenario.need.targets)
            last = turn == rules.max_turns or success
            if self._reply is None or (last and not rules.final_reply):
                if success:
                    return self.record("accepted")
                continue
            answer = await self._ask(turn, ranked, simulator_state)
            if not isinstance(answer, Feedback):
                return self.record(answer)
            simulator_state = answer.state
            hidden = [t for t in self._scenario.need.targets if t not in self._shown and t not in self._public]
            gated = self._gate.check(answer.text, hidden=hidden, policy=rules.leak_policy)
            # A kept leak is in the text that everybody reads; it is public from now on.
            mentions = gated.items if rules.leak_policy == "redact" else (*gated.items, *gated.leaks)
            self._turns[-1] = msgspec.structs.replace(
                played,
                user_text=gated.text,
                action=answer.action,
                accepted=answer.accepted,
                rejected=answer.rejected or (),
                statements=answer.statements,
                user_items=mentions,
                leaks=gated.leaks,
                user_injection=self._is_injection(gated.text),
                simulator_usage=answer.usage,
            )
            if gated.leaks and rules.leak_policy == "stop":
                return self.record("leak")
            self._public.update(mentions)
            if success or answer.action == "accept":
                return self.record("accepted")
            if answer.action == "quit":
                return self.record("quit")
            self._messages.append(Message("seeker", gated.text, items=mentions, rejected=answer.rejected or ()))
        return self.record("max_turns")

    async def _ask(self, turn: int, ranked: tuple[str, ...], state: Any) -> Feedback | StopReason:
        """The simulator's answer, tried again after a fault with another seed; each failed try stays in the record.

        A void dialogue is in no score, so a recommender must not be able to void one: what it wrote as an order to the
        simulator, which may be why the answer was unusable, is withheld from the further tries.
        """
        assert self._reply is not None  # noqa: S101  narrows the type; the caller has looked
        messages = tuple(self._messages)
        for attempt in range(self._rules.simulator_retries + 1):
            if attempt == 1:
                messages = tuple(map(self._without_orders, messages))
            conversation = Conversation(messages, turn, self._seeds("simulator", attempt), state)
            started = time.perf_counter()
            raw: Any = None
            try:
                raw = await self._reply(conversation, self._knowledge)
                return check_feedback(raw, ranked, self._shown, self._rules.max_text)
            except ComponentFault as fault:
                self._fault("simulator", fault, turn, attempt, raw)
            except TransportExhausted as failure:
                self._incomplete("simulator", failure, turn)
                return "transport"
            finally:
                self._seconds["simulator"] += time.perf_counter() - started
        return "simulator_fault"

    def _without_orders(self, message: Message) -> Message:
        if message.role == "recommender" and self._is_injection(message.text):
            return msgspec.structs.replace(message, text=WITHHELD_ORDER)
        return message

    def _fault(
        self, role: Literal["recommender", "simulator"], fault: ComponentFault, turn: int, attempt: int = 0, raw: Any = None
    ) -> None:
        usage = fault.usage or spent(raw)
        self._faults.append(AttemptRecord(role, fault.kind, str(fault)[:2000], attempt, turn, role, usage))

    def _incomplete(self, role: Literal["recommender", "simulator"], failure: TransportExhausted, turn: int) -> DialogueRecord:
        attempts, usage = failure.attempts, failure.usage
        self._faults.append(AttemptRecord("transport", "transport", str(failure)[:2000], attempts, turn, role, usage))
        return self.record("transport")

    def record(self, stop: StopReason) -> DialogueRecord:
        """The record of what was played so far."""
        return DialogueRecord(
            scenario=self._scenario.id,
            source=self._scenario.source,
            trial=self._trial,
            stop=stop,
            targets=self._scenario.need.targets,
            turns=tuple(self._turns),
            faults=tuple(self._faults),
            seconds={role: round(seconds, 6) for role, seconds in self._seconds.items()},
        )
