"""Finds plugins and their components; a broken plugin is listed with its reason and harms nobody else.

Nothing of a component is imported until it is resolved: the entry points yield descriptors only.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import inspect
import os
import re
import traceback
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import msgspec
import pluggy

from harness import hookspecs
from harness.api import API_VERSION, ArtifactFolder, Component
from harness.errors import PluginError, described

GROUP = "harness"
FIRST_PARTY = "crs-harness"
Kind = Literal["dataset", "recommender", "simulator", "metric", "trainer"]
KINDS: tuple[Kind, ...] = ("dataset", "recommender", "simulator", "metric", "trainer")


class Plugin(msgspec.Struct):
    """One entry point: where it comes from, and why it is not used if it is not."""

    name: str
    distribution: str
    version: str
    value: str
    error: str | None = None
    details: str = ""
    """The traceback behind `error`, for `harness doctor`."""
    hooks: tuple[str, ...] = ()
    """Names of the hooks that it implements."""


class Entry(msgspec.Struct, frozen=True):
    """A component and the distribution that offers it."""

    kind: Kind
    component: Component
    distribution: str
    version: str

    @property
    def name(self) -> str:
        return self.component.name

    @property
    def full_name(self) -> str:
        """Always unambiguous: "distribution:name"."""
        return f"{self.distribution}:{self.component.name}"


def canonical(distribution: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


class Registry:
    """All plugins of this environment. Discovery happens on construction and costs milliseconds.

    HARNESS_PLUGINS (comma list of distributions) allows only these besides the first-party ones; HARNESS_DISABLE_PLUGINS
    names distributions that are left out.
    """

    def __init__(self, *, discover: bool = True) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self.plugins: list[Plugin] = []
        self._entries: dict[Kind, list[Entry]] = {kind: [] for kind in KINDS}
        self._artifacts: list[tuple[ArtifactFolder, str]] = []
        self._observers: list[tuple[Plugin, Any]] = []
        if discover:
            for point, distribution, version in _entry_points():
                self.register(f"{distribution}/{point.name}", point.load, distribution, version, point.value)

    def register(self, name: str, load: Callable[[], object], distribution: str, version: str = "0", value: str = "") -> Plugin:
        """Load and register one plugin. A failure is kept in the returned `Plugin.error`, it is never raised."""
        info = Plugin(name, distribution, version, value)
        self.plugins.append(info)
        ours = False
        module: object | None = None
        try:
            module = load()
            if self._manager.is_registered(module):
                raise ValueError(f"another entry point offers {value or 'the same object'} already")
            ours = True
            self._manager.register(module, name)
            self._manager.check_pending()
            _check_marks(module)
            info.hooks = tuple(sorted(caller.name for caller in self._manager.get_hookcallers(module) or ()))
            found = list(self._collect(module, info))
            folders = [_checked_folder(each) for each in self._yielded(module, "harness_artifacts", ArtifactFolder)]
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  a plugin may raise anything while it is imported
            info.error = _reason(error)
            info.details = traceback.format_exc()
            if ours and self._manager.is_registered(module):
                self._manager.unregister(module)
            return info
        for entry in found:
            self._entries[entry.kind].append(entry)
        self._artifacts += [(folder, distribution) for folder in folders]
        self._observers.append((info, module))
        return info

    def _collect(self, module: object, info: Plugin) -> Iterator[Entry]:
        for kind in KINDS:
            hook = f"harness_{kind}s"
            for component in self._yielded(module, hook, Component):
                yield Entry(kind, _checked(component, hook), info.distribution, info.version)

    def _yielded(self, module: object, hook: str, wanted: type) -> Iterator[Any]:
        """What one plugin yields by one hook."""
        others = [p for p in self._manager.get_plugins() if p is not module]
        for yielded in self._manager.subset_hook_caller(hook, remove_plugins=others)():
            if isinstance(yielded, (str, wanted)) or not isinstance(yielded, Iterable):
                raise TypeError(f"{hook} returned {type(yielded).__name__}; it must yield harness.{wanted.__name__}")
            yield from yielded

    # ------------------------------------------------------------------------------------------------------- look-up

    def entries(self, kind: Kind) -> list[Entry]:
        """All components of a kind, sorted by name, then distribution."""
        return sorted(self._entries[kind], key=lambda e: (e.name, e.distribution))

    def artifacts(self) -> list[tuple[ArtifactFolder, str]]:
        """(descriptor, distribution) of every artefact that a plugin brings along, sorted by name, then distribution."""
        return sorted(self._artifacts, key=lambda found: (found[0].name, found[1]))

    def broken(self) -> list[Plugin]:
        """Plugins that could not be used."""
        return [p for p in self.plugins if p.error]

    def clashes(self, kind: Kind) -> dict[str, list[Entry]]:
        """Names that several distributions offer; the short name is refused."""
        by_name: dict[str, list[Entry]] = {}
        for entry in self.entries(kind):
            by_name.setdefault(entry.name, []).append(entry)
        return {name: entries for name, entries in by_name.items() if len(entries) > 1}

    def find(self, kind: Kind, name: str) -> Entry:
        """The entry of "name" or "distribution:name". Raises PluginError for unknown, ambiguous or incompatible ones."""
        distribution, _, short = name.rpartition(":")
        matches = [
            e for e in self._entries[kind]
            if e.name == short and (not distribution or canonical(e.distribution) == canonical(distribution))
        ]  # fmt: skip
        if not matches:
            raise PluginError(self._unknown(kind, name))
        if len(matches) > 1:
            full = ", ".join(sorted({e.full_name for e in matches}))
            if len({e.full_name for e in matches}) == 1:
                raise PluginError(f"{kind} {name!r} is offered twice by {matches[0].distribution}: that plugin must be mended")
            raise PluginError(f"{kind} {name!r} is offered by several plugins; say which: {full}")
        entry = matches[0]
        if entry.component.api != API_VERSION:
            raise PluginError(
                f"{kind} {name!r} of {entry.distribution} {entry.version} is made for plugin API {entry.component.api}, this "
                f"harness has API {API_VERSION}: install a version of {entry.distribution} that fits, or another harness"
            )
        return entry

    def _unknown(self, kind: Kind, name: str) -> str:
        known = [e.name for e in self._entries[kind]] + [e.full_name for e in self._entries[kind]]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        elsewhere = [k for k in KINDS if k != kind and any(e.name == name for e in self._entries[k])]
        text = f"unknown {kind} {name!r}"
        if elsewhere:
            text += f" (there is a {elsewhere[0]} of that name)"
        text += f"; did you mean {' or '.join(near)}?" if near else f"; `harness list {kind}s` shows what there is"
        for plugin in self.broken():
            text += f"\n  plugin {plugin.distribution} could not be loaded and may hold it: {plugin.error}"
        return text

    def load(self, entry: Entry) -> type[Any]:
        """Import a component's class. Raises PluginError with the culprit's name."""
        found: type[Any] = _import(entry, entry.component.target)
        return found

    def options_type(self, entry: Entry) -> type[msgspec.Struct] | None:
        """The options struct of a component, or None when it has no options."""
        if entry.component.options is None:
            return None
        found = _import(entry, entry.component.options)
        if not (isinstance(found, type) and issubclass(found, msgspec.Struct)):
            raise PluginError(f"{entry.component.options} of {entry.distribution} is no msgspec.Struct class")
        return found

    # ------------------------------------------------------------------------------------------------------ observers

    def notify(self, hook: str, report: Callable[[str], None], **arguments: Any) -> None:
        """Call an observer hook of every plugin. One that raises is reported through `report` and harms nothing."""
        for info, module in self._observers:
            function = getattr(module, hook, None)
            if function is None:
                continue
            others = [p for p in self._manager.get_plugins() if p is not module]
            try:
                self._manager.subset_hook_caller(hook, remove_plugins=others)(**arguments)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001  observers are strangers
                report(f"observer {hook} of {info.distribution} failed: {_reason(error)}")


def _checked(component: Any, hook: str) -> Component:
    """A descriptor whose fields are what they say: it will be sorted, compared and shown beside everybody else's."""
    if not isinstance(component, Component):
        raise TypeError(f"{hook} yielded {type(component).__name__}; it must yield harness.Component")
    try:
        checked = msgspec.convert(msgspec.to_builtins(component), Component)
    except (msgspec.ValidationError, TypeError) as error:
        raise TypeError(f"{hook} yielded a Component with a wrong field: {error}") from None
    if not re.fullmatch(r"[\w.+-]+", checked.name):
        raise ValueError(f"{hook} yielded the name {checked.name!r}; use letters, digits, '-', '_', '.' and '+'")
    for target in (checked.target, checked.options):
        if target is not None and not re.fullmatch(r"[\w.]+:[\w.]+", target):
            raise ValueError(f"{hook}, component {checked.name}: {target!r} isn't of the form package.module:Class")
    return checked


def _checked_folder(found: Any) -> ArtifactFolder:
    if not isinstance(found, ArtifactFolder):
        raise TypeError(f"harness_artifacts yielded {type(found).__name__}; it must yield harness.ArtifactFolder")
    try:
        checked = msgspec.convert(msgspec.to_builtins(found), ArtifactFolder)
    except (msgspec.ValidationError, TypeError) as error:
        raise TypeError(f"harness_artifacts yielded an ArtifactFolder with a wrong field: {error}") from None
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", checked.name):
        raise ValueError(f"harness_artifacts yielded the name {checked.name!r}; use letters, digits, '-', '_', '.' and '+'")
    plain = all(re.fullmatch(r"\w[\w.+-]*", part) for part in checked.folder.split("/"))
    if not plain or not re.fullmatch(r"\w+(\.\w+)*", checked.package):
        raise ValueError(
            f"harness_artifacts, {checked.name}: {checked.folder!r} of {checked.package!r} is no folder of a package"
        )
    return checked


def _check_marks(plugin: object) -> None:
    """A function that is named like a hook but lacks the mark would be overlooked in silence."""
    if not isinstance(plugin, types.ModuleType):
        return
    for name, value in vars(plugin).items():
        own = inspect.isfunction(value) and value.__module__ == plugin.__name__
        if own and name.startswith(f"{hookspecs.PROJECT}_") and not hasattr(value, f"{hookspecs.PROJECT}_impl"):
            raise ValueError(f"{name} lacks @hookimpl")


def _entry_points() -> Iterator[tuple[importlib.metadata.EntryPoint, str, str]]:
    allowed = _names("HARNESS_PLUGINS")
    disabled = _names("HARNESS_DISABLE_PLUGINS")
    seen = set()
    for installed in importlib.metadata.distributions():
        try:
            points = installed.entry_points.select(group=GROUP)
            if not points:  # nor is its metadata read, which would cost more than everything else here
                continue
            distribution, version = installed.name or "unknown", installed.version or "0"
        except Exception:  # noqa: BLE001, S112  damaged metadata of a stranger's package
            continue
        name = canonical(distribution)
        if name in seen:  # a distribution further up on sys.path hides this one
            continue
        seen.add(name)
        if name in disabled or (allowed and name not in allowed and name != FIRST_PARTY):
            continue
        for point in points:
            yield point, distribution, version


def _names(variable: str) -> set[str]:
    return {canonical(part.strip()) for part in os.environ.get(variable, "").split(",") if part.strip()}


def _import(entry: Entry, target: str) -> Any:
    module_name, _, attribute = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(
            f"{entry.kind} {entry.name!r} of {entry.distribution} can't be imported ({target}): {_reason(error)}"
        ) from error
    return found


def _reason(error: BaseException) -> str:
    text = described(error, 300)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
