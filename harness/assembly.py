"""From a configuration to loaded, prepared components and the scenarios that will be played."""

from __future__ import annotations

import contextlib
import gc
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness import options
from harness.api import Catalogue, RecommenderSetup, Scenario, SimulatorSetup, Split
from harness.config import Choice, RunConfig, fingerprint, fingerprint_fields
from harness.errors import DataError, HarnessError, PluginError, UsageError, described
from harness.models import build_judge, build_models, gathering, more_models, own_model
from harness.registry import Entry, Kind, Registry
from harness.scenarios import data_hash, novel

LEVELS = ("label_free", "profile", "target_aware")


class Part(msgspec.Struct, frozen=True):
    """A resolved component: where it comes from, its options with all defaults, and its class."""

    entry: Entry
    options: Any
    cls: type[Any]

    def create(self) -> Any:
        """An instance. Raises PluginError with the culprit's name."""
        with blaming(self.entry, "can't be made"):
            return self.cls(self.options)

    def revision(self, instance: Any = None) -> dict[str, Any]:
        """What identifies it in a fingerprint. An instance may add its own `revision()`: prompt hashes, weights, ..."""
        revision: dict[str, Any] = {
            "name": self.entry.name,
            "distribution": self.entry.distribution,
            "version": self.entry.version,
            "options": options.as_dict(self.options),
        }
        own = getattr(instance, "revision", None)
        if callable(own):
            with blaming(self.entry, "failed in revision()"):
                revision["revision"] = msgspec.json.decode(msgspec.json.encode(own()))
        return revision


def trained(part: Part, fields: Mapping[str, Any], role: str) -> dict[str, list[str]]:
    """What shaped a component's weights: {"on": data sets, "against": simulators}.

    The artefacts that its `revision()` holds (`harness.artifacts.Artifact.revision`) speak for it, else its descriptor does.
    """
    found: dict[str, list[str]] = {"on": [], "against": []}
    before = f"{role}.revision."
    revisions: list[Any] = [{name.removeprefix(before): value for name, value in fields.items() if name.startswith(before)}]
    spoken = False
    while revisions:
        revision = revisions.pop()
        if not isinstance(revision, Mapping):
            continue
        for key in found:
            names = revision.get(f"trained_{key}")
            if isinstance(names, list):
                spoken = True
                found[key] += [str(name) for name in names]
        revisions += revision.values()
    if not spoken:
        found["on"] = list(part.entry.component.trained_on)
    return {key: sorted(set(names)) for key, names in found.items()}


class Assembly(msgspec.Struct, frozen=True):
    """Everything that a run needs, before anything is prepared or played."""

    config: RunConfig
    recommender: Part
    simulator: Part | None
    dataset: Any
    dataset_part: Part
    split: Split
    scenarios: Sequence[Scenario]
    rows: int
    """Rows of the split before the variant and the limit."""
    data_hash: str
    fields: dict[str, Any]
    """What the fingerprint covers, flat."""
    instances: dict[str, Any]
    prepared: set[str]
    """Roles whose `prepare` has run."""
    models: dict[str, Any] = {}
    """Role -> its language model, where the user chose one or the component brings one along; "role/NAME" -> a further one of
    the component's."""
    layers: Any = None
    """What these models share (`harness.llm.layers.Layers`)."""
    judge: Any = None
    """The language model of the metrics that ask one; it is no part of the fingerprint."""

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.fields)

    @property
    def catalogue(self) -> Catalogue:
        return self.split.catalogue


def resolve(registry: Registry, kind: Kind, choice: Choice) -> Part:
    """Find and import a component and read its options. Raises PluginError or UsageError."""
    entry = registry.find(kind, choice.name)
    return Part(entry, options.build(registry, entry, choice.options), registry.load(entry))


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Hardly anything of what is read becomes garbage; looking for it again and again takes as long as the reading."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def load_split(part: Part, dataset: Any, split: str) -> Split:
    """One split of a data set, checked. Raises DataError, or PluginError with the culprit's name."""
    with blaming(part.entry, f"failed to load its {split} split"), uncollected():
        loaded = dataset.load(split)
    if not isinstance(loaded, Split):
        raise PluginError(f"dataset {part.entry.name!r}: load() returned {type(loaded).__name__}, not a harness.Split")
    with blaming(part.entry, f"gave an unusable {split} split"):
        _check(part.entry.name, loaded)
    return loaded


def load_data(registry: Registry, config: RunConfig) -> tuple[Part, Any, Split, list[Scenario]]:
    """The data set, its split, and the scenarios after variant and limit. Raises DataError when nothing is left to play."""
    part = resolve(registry, "dataset", config.dataset)
    dataset = part.create()
    split = load_split(part, dataset, config.split)
    scenarios = novel(split.scenarios) if config.variant == "novel" else list(split.scenarios)
    if config.limit is not None:
        scenarios = scenarios[: config.limit]
    if not scenarios:
        raise DataError(
            f"{part.entry.name} has no scenario to play in split {config.split!r}, variant {config.variant!r} "
            f"({len(split.scenarios)} rows before the variant)"
        )
    return part, dataset, split, scenarios


def _check(name: str, split: Split) -> None:
    seen: set[str] = set()
    for scenario in split.scenarios:
        if not isinstance(scenario, Scenario):
            raise PluginError(f"{name}: a scenario is {type(scenario).__name__}, not a harness.Scenario")
        if scenario.id in seen:
            raise DataError(f"{name}: scenario id {scenario.id!r} stands twice")
        seen.add(scenario.id)
        if not scenario.need.targets:
            raise DataError(f"{name}: scenario {scenario.id!r} has no target")
        for target in scenario.need.targets:
            if split.catalogue.get(target) is None:
                raise DataError(f"{name}: target {target!r} of scenario {scenario.id!r} is not in the catalogue")


def assemble(registry: Registry, config: RunConfig, *, like: Assembly | None = None, layers: Any = None) -> Assembly:
    """Resolve names first (cheap errors first), then load the data and make the components (not prepared yet).

    `like` is an assembly whose loaded data, and whose prepared recommender, are used again where the configuration asks for
    the same (a control run of the same recommender, say). `layers` is what its models shall share, if it is there already.
    """
    recommender, isolated = _recommender(registry, config, like)
    simulator = None if config.simulator is None else resolve(registry, "simulator", config.simulator)
    if simulator is None and config.turns > 1:
        raise UsageError(f"{config.turns} turns need a simulator: name one with --sim, or use --preset static")
    if like is not None and _same_data(like.config, config):
        part, dataset, split, scenarios, digest = like.dataset_part, like.dataset, like.split, like.scenarios, like.data_hash
    else:
        part, dataset, split, scenarios = load_data(registry, config)
        digest = data_hash(split, scenarios)
        like = None
    instances: dict[str, Any] = {}
    prepared: set[str] = set()
    if like is not None and _same_recommender(like.config, config):
        instances["recommender"] = like.instances["recommender"]
        prepared |= like.prepared & {"recommender"}
    else:
        instances["recommender"] = recommender.create() if isolated is None else isolated
    if simulator is not None:
        instances["simulator"] = simulator.create()
        _check_level(simulator, instances["simulator"])
    own = _own_models(config, {"recommender": recommender, "simulator": simulator}, instances)
    config = gathering(config, own)
    layers, models = build_models(config, layers if like is None else like.layers, own)
    layers, judge = build_judge(config, layers)
    revisions: dict[str, dict[str, Any]] = {
        "recommender": recommender.revision(instances["recommender"]),
        "dataset": part.revision(),
        "simulator": simulator.revision(instances["simulator"]) if simulator else {"name": None},
    }
    # Where the files lie changes no number: the data hash speaks for their content.
    revisions["dataset"]["options"].pop("path", None)
    if simulator is not None:
        revisions["simulator"]["knowledge"] = instances["simulator"].knowledge
    for name, model in models.items():
        role, further, name = name.partition("/")
        if further:
            revisions[role].setdefault("more_llms", {})[name] = model.revision()
        else:
            revisions[role]["llm"] = model.revision()
    fields = fingerprint_fields(config, revisions, digest)
    return Assembly(
        config,
        recommender,
        simulator,
        dataset,
        part,
        split,
        scenarios,
        len(split.scenarios),
        digest,
        fields,
        instances,
        prepared,
        models,
        layers,
        judge,
    )


def _recommender(registry: Registry, config: RunConfig, like: Assembly | None) -> tuple[Part, Any]:
    """The recommender; if it is isolated, with the instance that stands for the one in its own process."""
    if config.isolation is None:
        return resolve(registry, "recommender", config.recommender), None
    if like is not None and _same_data(like.config, config) and _same_recommender(like.config, config):
        return like.recommender, like.instances["recommender"]
    from harness.isolation.opening import open_isolated

    return open_isolated(registry, config)


def _same_data(a: RunConfig, b: RunConfig) -> bool:
    return (a.dataset, a.split, a.variant, a.limit) == (b.dataset, b.split, b.variant, b.limit)


def _same_recommender(a: RunConfig, b: RunConfig) -> bool:
    return (a.recommender, a.rec_llm, a.k, a.seed, a.isolation) == (b.recommender, b.rec_llm, b.k, b.seed, b.isolation)


def _own_models(config: RunConfig, parts: dict[str, Part | None], instances: dict[str, Any]) -> dict[str, str]:
    """The models that the components bring along, for the roles that the user chose none for, and their further ones."""
    chosen = {"recommender": config.rec_llm, "simulator": config.sim_llm}
    found: dict[str, str] = {}
    for role, part in parts.items():
        if part is None:
            continue
        with blaming(part.entry, "failed in more_llms()"):
            found.update({f"{role}/{name}": spec for name, spec in more_models(instances[role]).items()})
        if chosen[role] is None:
            with blaming(part.entry, "failed in default_llm()"):
                spec = own_model(instances[role])
            if spec is not None:
                found[role] = spec
    return found


def _check_level(part: Part, simulator: Any) -> None:
    level = getattr(simulator, "knowledge", None)
    if level not in LEVELS:
        raise PluginError(f"simulator {part.entry.name!r} must declare knowledge as one of {', '.join(LEVELS)}, not {level!r}")
    said = part.entry.component.knowledge
    if said is not None and said != level:
        raise PluginError(
            f"simulator {part.entry.name!r} is announced as {said} but declares {level}: its plugin must be mended"
        )


def prepare(assembly: Assembly, cache: Path | None = None) -> None:
    """Let the components see the catalogue and the training dialogues (never the scenarios)."""
    config, split = assembly.config, assembly.split
    # A plain tuple: whatever a data set hands over as a sequence may know its files, and with them the scenarios.
    training = tuple(split.training)
    setups: dict[str, Any] = {
        "recommender": RecommenderSetup(
            split.catalogue, training, config.k, config.seed, cache, *_models(assembly, "recommender")
        ),
        "simulator": SimulatorSetup(
            split.catalogue, training, config.turns, config.seed, cache, *_models(assembly, "simulator")
        ),
    }
    for model in assembly.models.values():
        load = getattr(model, "load", None)
        if load is not None:
            load()
    for role, instance in assembly.instances.items():
        method = getattr(instance, "prepare", None)
        if method is None or role in assembly.prepared:
            continue
        part = assembly.simulator if role == "simulator" and assembly.simulator else assembly.recommender
        with blaming(part.entry, "failed in prepare()"):
            outcome = method(setups[role])
            if inspect.isawaitable(outcome):
                _close(outcome)
                raise TypeError("prepare must be a plain method, not async")
            announced = assembly.fields.get("simulator.knowledge")
            if role == "simulator" and announced is not None and instance.knowledge != announced:
                raise ValueError(f"knowledge was {announced} and may not become {instance.knowledge}")
        assembly.prepared.add(role)


def _models(assembly: Assembly, role: str) -> tuple[Any, dict[str, Any]]:
    """A role's language model or None, and its component's further ones by their names."""
    own = f"{role}/"
    further = {name.removeprefix(own): model for name, model in assembly.models.items() if name.startswith(own)}
    return assembly.models.get(role), further


def _close(awaitable: Any) -> None:
    if inspect.iscoroutine(awaitable):
        awaitable.close()


@contextlib.contextmanager
def blaming(entry: Entry, what: str) -> Iterator[None]:
    """Whatever a component raises, SystemExit too, becomes a PluginError with the culprit's name; errors for users pass."""
    try:
        yield
    except (HarnessError, KeyboardInterrupt):
        raise
    except BaseException as error:
        reason = f"{type(error).__name__}: {described(error, 500)}"
        raise PluginError(f"{entry.kind} {entry.name!r} of {entry.distribution} {what}: {reason}") from error
