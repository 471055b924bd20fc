"""The clauses about what a plugin announces: its descriptor and its options."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from harness import options
from harness.errors import HarnessError, UsageError
from harness.registry import Entry, Registry
from harness.testing.clauses import Clause, Ledger, Stop, shown, told

HEAVY = (
    "accelerate", "bm25s", "datasets", "jax", "openai", "pandas", "ray", "scipy", "sklearn", "spacy", "tensorflow", "torch",
    "transformers", "vllm",
)  # fmt: skip
"""Packages whose import takes long enough to be felt in `harness list`."""
CLAUSES = (
    Clause("summary", "is announced with a one-line summary", "Component(name, target, summary='...')", must=False),
    Clause(
        "light", "can be listed without heavy imports", "Import heavy packages in the component's module, not in the plugin's"
    ),
    Clause("imports", "its class can be imported", "Component.target is 'package.module:Class'"),
    Clause("documented", "its class says what it does", "Write a docstring; `harness show NAME` prints it", must=False),
    Clause("announced", "its descriptor and its class say the same", "Component(..., knowledge=...) repeats the class's level"),
    Clause(
        "observes",
        "its package isn't told what is hidden from it",
        "Put observers into a package of their own: harness_dialogue_finished is told the targets of every dialogue",
        must=False,
    ),
    Clause(
        "survives",
        "doesn't end the process that it runs in",
        "Raise an exception where it calls os._exit or abort; a crash in native code is a bug of that library",
    ),
    Clause(
        "leaves-options",
        "leaves its options as they are",
        "Make the options struct frozen=True: the fingerprint and the manifest hold what was asked for",
    ),
    Clause(
        "options",
        "its options have defaults, build, and can be recorded",
        "A msgspec.Struct with a default for each field, of texts, numbers, lists and dicts; options=None when there are none",
    ),
    Clause(
        "options-by-text",
        "its options can be given as texts",
        "Use str, int, float, bool, Literal, tuple[str, ...], or these with None",
        must=False,
    ),
)


def check_declaration(ledger: Ledger, registry: Registry, entry: Entry, given: Mapping[str, Any]) -> tuple[type[Any], Any]:
    """The class and its options, built from `given`. Raises Stop when there is no class, UsageError for wrong `given`."""
    component = entry.component
    ledger.tried("summary")
    if not component.summary.strip():
        ledger.breach("summary", "the summary is empty")
    ledger.tried("imports")
    try:
        cls = registry.load(entry)
    except HarnessError as error:
        raise ledger.stop("imports", str(error)) from error
    ledger.tried("documented")
    if not (cls.__doc__ or "").strip():
        ledger.breach("documented", f"{component.target} has no docstring")
    ledger.tried("announced")
    if entry.kind == "simulator":
        level = getattr(cls, "knowledge", None)
        if component.knowledge is None:
            ledger.breach("announced", f"the descriptor doesn't say its knowledge, the class says {shown(level)}", mild=True)
        elif component.knowledge != level:
            ledger.breach("announced", f"the descriptor says {component.knowledge}, the class {shown(level)}")
    elif component.knowledge is not None:
        ledger.breach("announced", f"a {entry.kind} has no knowledge level, the descriptor says {component.knowledge}")
    if entry.kind in ("recommender", "simulator"):
        ledger.tried("observes")
        if any("harness_dialogue_finished" in p.hooks for p in registry.plugins if p.distribution == entry.distribution):
            ledger.breach("observes", f"{entry.distribution} implements harness_dialogue_finished")
    else:
        ledger.skip("observes", "nothing is hidden from it")
    return cls, _options(ledger, registry, entry, given)


def _options(ledger: Ledger, registry: Registry, entry: Entry, given: Mapping[str, Any]) -> Any:
    ledger.tried("options")
    try:
        kind = registry.options_type(entry)
    except HarnessError as error:
        raise ledger.stop("options", str(error)) from error
    if kind is None:
        ledger.skip("options-by-text", "it has none")
        return options.build(registry, entry, given)
    for field in msgspec.structs.fields(kind):
        if field.required:
            ledger.breach("options", f"option {field.name} has no default")
    if not ledger.broken("options"):
        try:
            defaults = options.build(registry, entry, {})
            recorded = options.as_dict(defaults)
            msgspec.json.encode(recorded)
        except (Exception, SystemExit) as error:
            raise ledger.stop("options", f"the defaults don't build: {told(error)}") from error
        _by_text(ledger, registry, entry, recorded, defaults)
    elif {f.name for f in msgspec.structs.fields(kind) if f.required} - set(given):
        raise Stop
    return options.build(registry, entry, given)


def _by_text(ledger: Ledger, registry: Registry, entry: Entry, recorded: Mapping[str, Any], defaults: Any) -> None:
    """Each default, said on the command line, must give the default."""
    ledger.tried("options-by-text")
    for name, value in recorded.items():
        text = value if isinstance(value, str) else json.dumps(value)
        try:
            built = options.build(registry, entry, {name: text})
        except UsageError as error:
            ledger.breach("options-by-text", str(error))
            continue
        if getattr(built, name) != getattr(defaults, name):
            ledger.breach("options-by-text", f"{name}={text} gives {shown(getattr(built, name))}")
