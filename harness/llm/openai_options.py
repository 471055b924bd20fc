"""Options of the `openai` backend: where the server is, which key it gets, what is sent."""

from __future__ import annotations

import ipaddress
import os
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from harness.errors import LlmError, UsageError

OFFICIAL = "https://api.openai.com/v1"

Count = Annotated[int, msgspec.Meta(ge=0)]
Limit = Annotated[int, msgspec.Meta(ge=1)]
Temperature = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Field = Literal["temperature", "top_p", "seed", "stop", "response_format", "max_tokens"]
Structured = Literal["none", "vllm", "vllm-guided", "sglang"]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OpenAI-compatible server and how it is asked."""

    base_url: Annotated[
        str | None, msgspec.Meta(description="address of the server, up to /v1; none: $OPENAI_BASE_URL, else OpenAI's")
    ] = None
    key_env: Annotated[str, msgspec.Meta(description="the environment variable that holds the key; none: no key is sent")] = (
        "OPENAI_API_KEY"
    )
    organization: Annotated[str | None, msgspec.Meta(description="OpenAI organization id")] = None
    timeout: Annotated[
        float, msgspec.Meta(gt=0, description="seconds for one HTTP request, from connecting to the last byte")
    ] = 60.0
    max_retries: Annotated[
        Count | None, msgspec.Meta(description="tries after the first when the transport fails; none: the run's")
    ] = None
    temperature: Annotated[
        Temperature | None, msgspec.Meta(description="sent with every request instead of what the component asks")
    ] = None
    top_p: Annotated[Share | None, msgspec.Meta(description="sent with every request instead of what the component asks")] = (
        None
    )
    max_tokens: Annotated[
        Limit | None, msgspec.Meta(description="tokens of an answer at most, instead of what the component asks")
    ] = None
    limit_field: Annotated[
        Literal["auto", "max_tokens", "max_completion_tokens"],
        msgspec.Meta(description="how the limit is sent; auto: max_completion_tokens to OpenAI, max_tokens to others"),
    ] = "auto"
    omit: Annotated[
        tuple[Field, ...], msgspec.Meta(description="request fields that are not sent, for models that refuse them")
    ] = ()
    structured: Annotated[
        Structured,
        msgspec.Meta(
            description="how the server takes a pattern for an answer; vllm-guided: a vLLM that has no structured_outputs yet"
        ),
    ] = "none"
    extra_body: Annotated[dict[str, Any], msgspec.Meta(description="JSON object that is added to every request")] = {}

    def __post_init__(self) -> None:
        unknown = {"model", "messages", "stream", "n"} & self.extra_body.keys()
        if unknown:
            raise ValueError(f"extra_body can't set {', '.join(sorted(unknown))}")


def address_of(options: Options) -> str:
    """The server's address without a slash at the end. Raises UsageError for one that can't be right."""
    address = (options.base_url or os.environ.get("OPENAI_BASE_URL", "").strip() or OFFICIAL).rstrip("/")
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"base_url: {error}; write it as http://HOST:PORT/v1") from None
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(f"base_url={without_user(address)}: write it as http://HOST:PORT/v1")
    if parts.username or parts.password or parts.query:
        raise UsageError("base_url must hold no name, password or key: keys come from the environment (key_env=NAME)")
    for tail in ("/chat/completions", "/completions"):
        if address.endswith(tail):
            raise UsageError(f"base_url={address}: leave {tail} away")
    return address


def without_user(address: str) -> str:
    """The address without a name and password that may stand in it."""
    scheme, slashes, rest = address.partition("://")
    return scheme + slashes + rest.rpartition("@")[2]


def key_for(options: Options, address: str) -> str:
    """The key from the environment; "none" for one's own server. Raises LlmError with what to set."""
    name = options.key_env
    if name.lower() == "none":
        return "none"
    key = os.environ.get(name, "").strip()
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise LlmError(f"the environment variable {name} holds something that can't be a key (blanks or foreign characters)")
    if key:
        return key
    if options.key_env == "OPENAI_API_KEY" and is_own(address):
        return "none"
    where = "OpenAI" if is_official(address) else address
    raise LlmError(
        f"there is no key for {where}: set the environment variable {name}"
        + (", or name the one that holds it: key_env=NAME (none where no key is needed)" if name == "OPENAI_API_KEY" else "")
    )


def is_official(address: str) -> bool:
    """Whether that is OpenAI's own service."""
    host = urlsplit(address).hostname or ""
    return host == "openai.com" or host.endswith(".openai.com")


def is_own(address: str) -> bool:
    """Whether the server is on this machine or in this network: loopback and private addresses, names without a dot, .local."""
    host = urlsplit(address).hostname or ""
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal", ".lan"))
    return number.is_loopback or number.is_private


def is_loopback(address: str) -> bool:
    """Whether the server is on this machine."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
