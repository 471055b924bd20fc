"""The same run on a Ray cluster: `harness run --engine ray`. See docs/clusters.md."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from harness import __version__
from harness.api import DialogueRecord
from harness.assembly import Assembly
from harness.engines import unprepared
from harness.engines.cluster import Cluster, RaySettings, need_ray
from harness.engines.dealing import Dealer
from harness.engines.messages import Start
from harness.engines.sharing import Desk, config_for_worker, needs_desk, sharing_of
from harness.engines.worker import PLACES, SAME
from harness.errors import UsageError
from harness.runner import jobs_of

SILENCE = 120.0
"""Seconds without a sign of life after which a worker counts as dead, or twice the limit of a call where that is more."""


class RayEngine:
    """Connects when the first run is prepared. Workers are hired for one run, with the components of that run."""

    def __init__(self, settings: RaySettings | None = None) -> None:
        need_ray()
        self._settings = settings or RaySettings()
        self._cluster: Cluster | None = None
        self._free: tuple[float, float] | None = None
        self._say: Callable[[str], None] = lambda text: None

    def prepare(self, assembly: Assembly, say: Callable[[str], None]) -> None:
        """Connect to the cluster. The components are prepared by the workers."""
        self._say = say
        self._cluster = self._cluster or Cluster(self._settings)

    async def play(
        self,
        assembly: Assembly,
        done: set[tuple[str, int]],
        write: Callable[[DialogueRecord], None],
        schedule_seed: int | None = None,
    ) -> None:
        """As `harness.runner.play`. Raises PluginError for dialogues that always end their worker's process."""
        from harness.engines.driving import Driver, Plan, amount

        cluster = self._cluster
        if cluster is None:
            raise UsageError("RayEngine.play: call prepare first")
        left = sum(1 for _ in jobs_of(assembly, done))
        gpus = self._gpus(cluster, assembly)
        workers = min(left, self._settings.workers or self._room(cluster, gpus))
        sharing = sharing_of(assembly.config, assembly.layers)
        config = config_for_worker(assembly.config, workers)
        plan = Plan(
            start=Start(
                name="",
                version=__version__,
                config=config,
                fields=assembly.fields,
                folder=str(Path.cwd()),
                environment={name: os.environ[name] for name in (*SAME, *PLACES) if name in os.environ},
                sharing=msgspec.structs.replace(sharing, cache_file=None),
            ),
            workers=workers,
            cpus=self._settings.cpus_per_worker,
            gpus=gpus,
            patience=self._settings.start,
            silence=max(SILENCE, 2 * config.transport.timeout),
        )
        nodes, names = cluster.nodes(), " and ".join(unprepared(assembly)) or "the components"
        self._say(
            f"{workers} Ray worker{'s' if workers > 1 else ''} on {nodes} node{'s' if nodes > 1 else ''} prepare {names} "
            f"({amount(plan.cpus, gpus)} each)"
        )
        desk = cluster.hire_here(Desk, msgspec.msgpack.encode(sharing)) if needs_desk(sharing) else None
        jobs = jobs_of(assembly, done, schedule_seed)
        dealer = Dealer(jobs, left, workers=workers, at_once=config.transport.at_once)
        try:
            await Driver(cluster, plan, dealer, assembly.scenarios, write, self._say, desk).play()
            if desk is not None:
                await self._settle(cluster, assembly, desk)
        finally:
            if desk is not None:
                cluster.dismiss(desk)

    async def _settle(self, cluster: Cluster, assembly: Assembly, desk: Any) -> None:
        """The judges' models, which are asked from here, go on with the same purse."""
        budget = assembly.layers.budget
        budget.tokens, budget.cost = await cluster.answer(desk.spent.remote(), SILENCE)
        await cluster.answer(desk.close.remote(), SILENCE)

    def _gpus(self, cluster: Cluster, assembly: Assembly) -> float:
        """What a worker gets where nothing was said: a GPU, if it has a model to compute and the cluster has any."""
        if self._settings.gpus_per_worker is not None:
            return self._settings.gpus_per_worker
        local = any(model.name.startswith("hf:") for model in assembly.models.values())
        return 1.0 if local and cluster.resources()[1] else 0.0

    def _room(self, cluster: Cluster, gpus: float) -> int:
        """For how many workers there is room. What was free at first counts: the last run's workers may not be gone yet."""
        self._free = self._free or cluster.resources(free=True)
        wanted = (self._settings.cpus_per_worker, gpus)
        return max(1, min((int(have / want) for have, want in zip(self._free, wanted, strict=True) if want), default=1))

    def close(self) -> None:
        """Leave the cluster; one of its own is ended."""
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None
