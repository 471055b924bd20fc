"""The isolated process once its walls stand: imports the recommender, prepares it, and answers calls (`serving`)."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from harness.api import Catalogue, RecommenderSetup
from harness.assembly import Part, blaming, resolve
from harness.batching import is_async
from harness.config import Choice
from harness.errors import DataError, HarnessError, LlmError, PluginError, UsageError, described
from harness.isolation import messages
from harness.isolation.proxy import Line, ProxyModel
from harness.isolation.refusing import explain_network, explained
from harness.isolation.serving import Serving
from harness.models import more_models, own_model
from harness.registry import Registry

_orders = msgspec.msgpack.Decoder(messages.Order).decode
_KINDS: tuple[type[HarnessError], ...] = (UsageError, DataError, LlmError, PluginError)


class Link:
    """The worker's end of the pipe. Frames may be sent from any thread."""

    def __init__(self, link: socket.socket) -> None:
        self._link, self._lock = link, threading.Lock()

    def read(self) -> messages.Order:
        """The next order; ends the process when there are no more."""
        message: messages.Order = _orders(self._exactly(int.from_bytes(self._exactly(4), "big")))
        return message

    def _exactly(self, count: int) -> bytes:
        content = bytearray(count)
        view = memoryview(content)
        while view:
            got = self._link.recv_into(view)
            if not got:
                os._exit(0)
            view = view[got:]
        return bytes(content)

    def send(self, message: messages.Answer) -> None:
        """Raises what `messages.frame` raises, and ValueError for more than the harness would read."""
        content = messages.frame(message)
        if len(content) - 4 > messages.MOST:
            raise ValueError(f"it has {len(content) - 4:,} bytes, the limit is {messages.MOST:,}")
        with self._lock:
            self._link.sendall(content)


def work(sock: socket.socket, *, network: bool = False) -> None:
    """Open, prepare, and answer calls until the harness hangs up."""
    link = Link(sock)
    if not network:
        explain_network()
    opening = link.read()
    if not isinstance(opening, messages.Open):
        raise TypeError(type(opening).__name__)
    opened = _told(link, lambda: _open(opening))
    if opened is None:
        return
    part, instance, answer = opened
    link.send(answer)
    order = link.read()
    if not isinstance(order, messages.Prepare):
        raise TypeError(type(order).__name__)
    line = Line(link.send)
    models: dict[str, Any] = {which: ProxyModel(which, *about, line) for which, about in order.llms.items()}
    catalogue = Catalogue(order.catalogue)
    setup = RecommenderSetup(catalogue, order.training, order.k, order.seed, None, models.pop("", None), models)
    if _told(link, lambda: _prepare(part, instance, setup)) is None:
        return
    link.send(messages.Prepared())
    asyncio.run(Serving(link, instance, order, catalogue, line).serve())


def _told(link: Link, step: Callable[[], Any]) -> Any:
    """What the step gives; None after the harness was told why it failed."""
    try:
        return step()
    except HarnessError as error:
        kind: Any = next(k.__name__ for k in (*_KINDS, HarnessError) if isinstance(error, k))
        kind = "PluginError" if kind == "HarnessError" else kind
        link.send(messages.Failed(kind, explained(error, described(error)), isinstance(error, _Unknown)))
        return None


class _Unknown(PluginError):
    """No such recommender here."""


def _open(order: messages.Open) -> tuple[Part, Any, messages.Opened]:
    registry = Registry()
    try:
        registry.find("recommender", order.name)
    except PluginError as error:
        raise _Unknown(str(error)) from None
    part = resolve(registry, "recommender", Choice(order.name, order.options))
    instance = part.create()
    with blaming(part.entry, "failed in default_llm()"):
        llm = own_model(instance)
    with blaming(part.entry, "failed in more_llms()"):
        further = more_models(instance)
    maximum = getattr(instance, "max_batch", None) or None
    if maximum is not None and (not isinstance(maximum, int) or maximum < 1):
        raise PluginError(f"max_batch of recommender {type(instance).__name__} must be a whole number above 0")
    batched = getattr(instance, "recommend_batch", None) is not None
    if not batched and getattr(instance, "recommend", None) is None:
        raise PluginError(f"recommender {type(instance).__name__} has neither recommend() nor recommend_batch()")
    serial = bool(getattr(instance, "serial", False)) and not is_async(getattr(instance, "recommend", None))
    return (
        part,
        instance,
        messages.Opened(
            part.entry.component,
            part.revision(instance),
            batched,
            serial,
            maximum,
            llm,
            further,
            documented=bool((part.cls.__doc__ or "").strip()),
        ),
    )


def _prepare(part: Part, instance: Any, setup: RecommenderSetup) -> bool:
    method = getattr(instance, "prepare", None)
    if method is not None:
        with blaming(part.entry, "failed in prepare()"):
            outcome = method(setup)
            if inspect.isawaitable(outcome):
                if inspect.iscoroutine(outcome):
                    outcome.close()
                raise TypeError("prepare must be a plain method, not async")
    return True
