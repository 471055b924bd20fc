"""`http`: a recommender that is served anywhere, in any language. See docs/http-recommender.md for the protocol.

json     POST {"protocol": 1, "conversation": {...}, "titles": {...}, "k": 10} -> {"items": [...], "text": "..."}
openai   a chat endpoint as OpenAI's: the dialogue goes there as chat messages, titles are read from the answer
"""

from __future__ import annotations

import asyncio
import threading
from typing import Annotated, Any, Final, Literal

import msgspec

from harness.api import Conversation, Recommendation, RecommenderSetup, Usage
from harness.errors import ComponentFault, HarnessError, RefusedError, TransportError, UsageError, described
from harness.grounding import THRESHOLD, Grounder
from harness.leakgate import LeakGate
from harness.llm import openai_answers
from harness.llm.api import Completion
from harness.llm.metering import add

from .. import prompting
from ..facets import noun_of
from . import naming
from .chatting import PromptPath
from .reply import QUESTION, reply, title_with_year
from .wire import Wire

PROTOCOL: Final = 1
_SHOWN: Final = 120


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The server and how it is asked. Keys come from the environment only."""

    url: Annotated[str, msgspec.Meta(description="the server's address; of mode openai that up to /v1")] = ""
    mode: Annotated[
        Literal["json", "openai"],
        msgspec.Meta(description="json: the harness's own protocol; openai: a chat endpoint as OpenAI's"),
    ] = "json"
    timeout: Annotated[
        float, msgspec.Meta(gt=0, description="seconds for one request; a server that takes longer is asked again")
    ] = 60.0
    header_env: Annotated[
        tuple[str, ...], msgspec.Meta(description="headers as HEADER=NAME, NAME being the environment variable with the value")
    ] = ()
    key_env: Annotated[
        str, msgspec.Meta(description="an environment variable whose value is sent as Authorization: Bearer VALUE")
    ] = ""
    served: Annotated[str, msgspec.Meta(description="what is served there, with its version, for the fingerprint")] = ""
    send_catalogue: Annotated[
        bool, msgspec.Meta(description="mode json: send the catalogue to url/catalogue before the run")
    ] = False
    threshold: Annotated[
        float, msgspec.Meta(ge=0, le=100, description="least similarity, in percent, of a title that is spelled otherwise")
    ] = THRESHOLD
    model: Annotated[str, msgspec.Meta(description="mode openai: the model's name")] = ""
    prompt: PromptPath = ""
    system: Annotated[bool, msgspec.Meta(description="mode openai: send the prompt as a system message")] = True
    extra_body: Annotated[
        dict[str, Any], msgspec.Meta(description="mode openai: JSON object put over the request; null takes a field away")
    ] = msgspec.field(default_factory=dict)


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a server answers in mode json. `items` are catalogue ids; a server that knows titles only gives `titles`."""

    items: list[str] | None = None
    titles: list[str] | None = None
    text: str = ""
    reasoning: str | None = None
    scores: list[float] | None = None
    state: Any = None
    usage: Usage | None = None


class Http:
    """Asks a server for each turn. Its lists count as given: nothing is left out of them or put in.

    Titles, in both modes, are grounded to the catalogue as llm-zeroshot's are. In mode openai a numbered list (or JSON) is the
    ranked list; an answer without one recommends the titles that its text names and the dialogue hasn't named before.
    """

    def __init__(self, options: Options) -> None:
        """Raises UsageError with what to set. Sends nothing."""
        self._options = options
        self._wire = Wire(options.url, timeout=options.timeout, header_env=options.header_env, key_env=options.key_env)
        self._prompt = prompting.load(__package__, "http-openai.v1", options.prompt)
        self._prompt.check({"system": ()}, {"noun", "k"})
        if options.mode == "openai" and not options.model:
            raise UsageError("recommender http in mode openai needs the model's name: --rec-opt model=NAME")
        if options.mode == "openai" and options.send_catalogue:
            raise UsageError("recommender http sends the catalogue in mode json only: leave send_catalogue away")

    def revision(self) -> dict[str, Any]:
        """The prompt where one is sent. What is served can't be seen from here: the option `served` says it."""
        return dict(self._prompt.revision()) if self._options.mode == "openai" and self._options.system else {}

    def prepare(self, setup: RecommenderSetup) -> None:
        """Raises UsageError where the server doesn't take the catalogue."""
        self._catalogue = setup.catalogue
        self._noun = noun_of(setup.catalogue)
        self._grounder = Grounder(setup.catalogue, setup.training, self._options.threshold)
        self._links = LeakGate(setup.catalogue) if self._options.mode == "openai" else None
        if self._options.send_catalogue:
            self._send_catalogue(setup)

    async def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        if self._options.mode == "openai":
            return await self._chat(conversation, k)
        request = {
            "protocol": PROTOCOL,
            "conversation": conversation,
            "titles": self._titles(conversation),
            "k": k,
        }
        return self._read(await self._wire.post(msgspec.json.encode(request)))

    async def close(self) -> None:
        await self._wire.close()

    # ---------------------------------------------------------------------------------------------------------- json

    def _read(self, content: bytes) -> Recommendation:
        try:
            answer = msgspec.json.decode(content, type=Answer)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise _malformed(f"not of the protocol ({error})", content) from None
        if answer.items is not None and answer.titles is not None:
            raise ComponentFault("malformed", "the server's answer has both items and titles; it must have one of them")
        ids = answer.items if answer.titles is None else [self._grounder.ground(title) for title in answer.titles]
        return Recommendation(
            tuple(ids or ()),
            answer.text,
            reasoning=answer.reasoning,
            scores=None if answer.scores is None else tuple(answer.scores),
            state=answer.state,
            usage=answer.usage,
        )

    def _titles(self, conversation: Conversation) -> dict[str, str]:
        """Titles of all ids in the conversation, for servers that don't have the catalogue."""
        ids = dict.fromkeys(i for m in conversation.messages for i in (*m.items, *m.ranked, *m.rejected))
        return {i: title_with_year(item) for i in ids if (item := self._catalogue.get(i)) is not None}

    def _send_catalogue(self, setup: RecommenderSetup) -> None:
        body = msgspec.json.encode({"protocol": PROTOCOL, "k": setup.k, "items": list(setup.catalogue)})
        failure: list[BaseException] = []

        def work() -> None:
            try:
                asyncio.run(self._post_catalogue(body))
            except BaseException as error:  # noqa: BLE001  it is raised again below
                failure.append(error)

        thread = threading.Thread(target=work, name="http-catalogue")  # the caller's thread may run a loop already
        thread.start()
        thread.join()
        for error in failure:
            if isinstance(error, (HarnessError, ComponentFault, TransportError)):
                raise UsageError(f"recommender http could not send the catalogue: {described(error)}") from error
            raise error

    async def _post_catalogue(self, body: bytes) -> None:
        try:
            await self._wire.post(body, "/catalogue")
        finally:
            await self._wire.close()

    # -------------------------------------------------------------------------------------------------------- openai

    async def _chat(self, conversation: Conversation, k: int) -> Recommendation:
        messages = [
            {"role": "assistant" if message.role == "recommender" else "user", "content": message.text}
            for message in conversation.messages
        ]
        if self._options.system:
            system = self._prompt.text("system", noun=self._noun, k=str(k))
            messages.insert(0, {"role": "system", "content": system})
        body = {"model": self._options.model, "messages": messages, "temperature": 0.0, "seed": conversation.seed % 2**31}
        body = {name: value for name, value in {**body, **self._options.extra_body}.items() if value is not None}
        completion = self._completion(await self._wire.post(msgspec.json.encode(body), "/chat/completions"))
        # By the meter, so that an answer which turns out to be unusable is charged as well.
        add(completion.usage)
        items, text, reasoning = self._understood(completion, conversation)
        return Recommendation(items, text, reasoning=reasoning)

    def _completion(self, content: bytes) -> Completion:
        """Raises ComponentFault for what is no chat completion, RefusedError for one without a text."""
        try:
            raw = msgspec.json.decode(content, type=dict[str, Any])
            if isinstance(raw.get("error"), dict) and "choices" not in raw:
                raise openai_answers.error_in(raw, self._wire.url)
            return openai_answers.completion(raw, self._wire.url)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise _malformed(f"not a chat completion ({error})", content) from None
        except RefusedError as error:
            if isinstance(error.usage, Usage):
                add(error.usage)
            raise
        except TransportError as error:
            if error.retry_after is None and "error" not in raw:
                raise _malformed("not a chat completion", content) from error
            raise

    def _understood(self, completion: Completion, conversation: Conversation) -> tuple[tuple[str, ...], str, str | None]:
        """(ids, text, reasoning) of an answer in the asked form, or in any other."""
        try:
            answer = naming.read(completion)
        except ComponentFault as fault:
            if fault.kind != "malformed":
                raise
            known = {*conversation.mentioned, *conversation.rejected}
            assert self._links is not None  # noqa: S101  narrows the type; made in prepare
            named = self._links.check(completion.text, hidden=()).items
            return tuple(i for i in named if i not in known), completion.text, None
        items = tuple(dict.fromkeys(map(self._grounder.ground, answer.titles)))
        shown = [item for item in map(self._catalogue.get, items) if item is not None]
        return items, answer.text or (reply(shown) if shown else QUESTION), answer.reasoning


def _malformed(why: str, content: bytes) -> ComponentFault:
    start = " ".join(content[:_SHOWN].decode("utf-8", "replace").split())
    return ComponentFault("malformed", f"the server's answer is {why}: {start!r}")
