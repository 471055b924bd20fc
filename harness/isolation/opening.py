"""Which package offers an isolated recommender: found by asking isolated processes, so that the harness imports none of it."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterable, Mapping
from typing import Any

from harness.api import API_VERSION
from harness.assembly import Part
from harness.config import RunConfig
from harness.errors import PluginError, UsageError
from harness.isolation.process import WALLS, Plan
from harness.isolation.reach import reach, relative
from harness.isolation.recommender import IsolatedRecommender
from harness.isolation.settings import Isolation
from harness.isolation.starting import Failure
from harness.registry import FIRST_PARTY, GROUP, Entry, Registry, canonical

PLUGINS = "HARNESS_PLUGINS"


def keep_out(configs: Iterable[RunConfig], others: Iterable[str] = ()) -> None:
    """Where a recommender is isolated, this process loads from now on the harness's own plugins only, and the packages that the
    user names in full for another role ("package:name"): merely listing a package's components would run its code here.

    `others` are names of metrics and controls. Raises UsageError for a package that is to be both isolated and loaded.
    """
    isolated = [config for config in configs if config.isolation is not None]
    if not isolated:
        return
    roles = [*others, *(c.dataset.name for c in isolated), *(c.simulator.name for c in isolated if c.simulator)]
    trusted = {canonical(name.rpartition(":")[0]) for name in roles if ":" in name} - {FIRST_PARTY}
    both = trusted & {canonical(config.recommender.name.rpartition(":")[0]) for config in isolated}
    if both:
        raise UsageError(
            f"{min(both)} offers the recommender that is to be isolated and another component of this run, which would be "
            "loaded into the harness itself: leave --isolate away if you trust it, or choose another component"
        )
    os.environ[PLUGINS] = ",".join(sorted(trusted)) or FIRST_PARTY


def open_isolated(registry: Registry, config: RunConfig, *, hash_seed: str = "0") -> tuple[Part, IsolatedRecommender]:
    """The recommender of a run, opened in a process of its own. Raises PluginError, UsageError, DataError or LlmError as
    resolving and making it here would have. `hash_seed` decides the order of sets there."""
    if config.isolation is None:
        raise UsageError("this run is not to be isolated")
    if os.name != "posix":
        raise UsageError("--isolate needs Linux, or another system with its kind of processes")
    name = config.recommender.name
    distribution, _, short = name.rpartition(":")
    ours = [e for e in registry.entries("recommender") if e.distribution == FIRST_PARTY and e.name == short]
    if ours and canonical(distribution or FIRST_PARTY) == FIRST_PARTY:
        return _opened(registry, config, FIRST_PARTY, ours[0].version, ours[0], hash_seed=hash_seed)
    unknown: list[str] = []
    found: list[tuple[Part, IsolatedRecommender]] = []
    for candidate, version in _offering(distribution).items():
        _refuse_loaded(registry, candidate)
        try:
            found.append(_opened(registry, config, candidate, version, hash_seed=hash_seed))
        except _Unknown as error:
            unknown.append(str(error))
    if len(found) > 1:
        full = ", ".join(f"{part.entry.distribution}:{short}" for part, _ in found)
        raise PluginError(f"recommender {name!r} is offered by several plugins; say which: {full}")
    if not found:
        registry.find("recommender", name)  # says what is near
        raise PluginError("; ".join(unknown) or f"unknown recommender {name!r}")
    return found[0]


def facts(recommender: Any) -> dict[str, Any] | None:
    """What a run's manifest says of isolation; None for a recommender that isn't isolated."""
    if not isinstance(recommender, IsolatedRecommender):
        return None
    isolation: Isolation = recommender.plan.isolation
    return {
        "walls": {name: text for name, text in WALLS.items() if name not in recommender.missing},
        "missing": recommender.missing,
        "uncovered": list(recommender.plan.reach.uncovered),
        "memory": isolation.memory,
        "network": isolation.network,
        "read": list(isolation.read),
    }


def gaps(isolation: Mapping[str, Any] | None) -> str:
    """What a user must know of the walls that don't stand, by what `facts` says of them; empty when all do."""
    if not isolation or not isolation["missing"]:
        return ""
    missing = "; ".join(f"{name}: {reason}" for name, reason in isolation["missing"].items())
    return f"the recommender is isolated, but not in every way ({missing})"


class _Unknown(PluginError):
    """That package has no such recommender."""


def _opened(
    registry: Registry, config: RunConfig, distribution: str, version: str, entry: Entry | None = None, *, hash_seed: str
) -> tuple[Part, IsolatedRecommender]:
    isolation = config.isolation or Isolation()
    given = config.recommender.options
    plan = Plan(isolation, reach(registry, isolation, given, config.dataset.options), distribution, relative(given), hash_seed)
    full = f"{distribution}:{config.recommender.name.rpartition(':')[2]}"
    try:
        recommender = IsolatedRecommender(
            full, dict(given), plan,
            timeout=config.transport.timeout, concurrency=max(64, config.transport.at_once), max_text=config.max_text,
        )  # fmt: skip
    except Failure as failure:
        raise (_Unknown(str(failure)) if failure.unknown else failure.error) from None
    if entry is None:
        component = recommender.opened.component
        if component.name != config.recommender.name.rpartition(":")[2]:
            raise PluginError(f"recommender {full} says that its name is {component.name!r}: that plugin must be mended")
        if component.api != API_VERSION:
            raise PluginError(f"recommender {full} is made for plugin API {component.api}, this harness has {API_VERSION}")
        entry = Entry("recommender", component, distribution, version)
        own = [*([recommender.opened.llm] if recommender.opened.llm else []), *recommender.opened.more_llms.values()]
        if recommender.opened.more_llms or (own and config.rec_llm is None):
            raise UsageError(
                f"recommender {full} brings a language model along ({', '.join(own)[:200]}), which the harness would load or "
                "pay for on its word: isolated, it may ask only the one that you name with --rec-llm"
            )
    # The class is never called: the instance stands in another process.
    return Part(entry, recommender.opened.revision["options"], IsolatedRecommender), recommender


def _refuse_loaded(registry: Registry, distribution: str) -> None:
    if any(canonical(plugin.distribution) == canonical(distribution) for plugin in registry.plugins):
        raise PluginError(
            f"plugin {distribution} is loaded in this process already, so isolating its recommender would keep nothing from "
            "it: another role of this run names it (choose another component), or harness.isolation.opening.keep_out was not "
            "called before the registry was made"
        )


def _offering(named: str) -> dict[str, str]:
    """Distributions with plugins, but the harness's own -> version; only the one that is named, if one is. Nothing is imported.

    One that HARNESS_DISABLE_PLUGINS leaves out is never loaded into the harness; named in full, it may be isolated.
    """
    disabled = {canonical(part.strip()) for part in os.environ.get("HARNESS_DISABLE_PLUGINS", "").split(",") if part.strip()}
    found: dict[str, str] = {}
    for installed in importlib.metadata.distributions():
        try:
            if installed.entry_points.select(group=GROUP):
                name, version = installed.name or "unknown", installed.version or "0"
                wanted = canonical(name) == canonical(named) if named else canonical(name) not in disabled
                if wanted and canonical(name) not in {FIRST_PARTY, *map(canonical, found)}:
                    found[name] = version
        except Exception:  # noqa: BLE001, S112  damaged metadata of a stranger's package
            continue
    return found
