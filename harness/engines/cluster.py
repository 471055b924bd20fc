"""The way to a Ray cluster, or one of its own on this machine; and the processes that are hired there."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import math
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from harness.errors import HarnessError, UsageError, described
from harness.wholefiles import why

REACH: Final = 10.0
"""Seconds within which a cluster's address must answer."""
PROBE: Final = 45.0
"""Seconds within which a Ray cluster must answer there; a new process that imports ray is part of it."""
STORE: Final = 128 << 20
"""Bytes of shared memory of a cluster of its own: messages are small."""


class RaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a run uses a Ray cluster. None of it changes a number."""

    address: str | None = None
    """HOST:PORT, "auto", "local"; None: $RAY_ADDRESS, else "local"."""
    workers: int | None = None
    """None: as many as there is room for."""
    cpus_per_worker: float = 1.0
    gpus_per_worker: float | None = None
    """None: one for each worker with a local language model where the cluster has GPUs, else none."""
    start: float = 1800.0
    """Seconds that it may take until a first worker is ready, and any later time without one."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"ray-workers must be at least 1, not {self.workers}")
        for name in ("cpus_per_worker", "gpus_per_worker"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise UsageError(f"ray-{name.replace('_', '-')} must be a number from 0 on, not {value:g}")
            if value is not None and value > 1 and value != int(value):
                raise UsageError(f"ray-{name.replace('_', '-')} must be a fraction up to 1, or a whole number, not {value:g}")
        if not 0 < self.start < math.inf:
            raise UsageError(f"ray-start must be a number of seconds above 0, not {self.start:g}")


class Dead(Exception):
    """A worker's process, or its node, is gone; the text says what Ray knows."""


def need_ray() -> None:
    """Raises UsageError where the package is missing. Imports nothing."""
    if importlib.util.find_spec("ray") is None:
        raise UsageError("--engine ray needs the package ray: pip install 'crs-harness[ray]'")


class Cluster:
    """A connection. One of its own is ended, with its files, by `close`; one that was there before is left alone."""

    def __init__(self, settings: RaySettings) -> None:
        """Connect, or start. Raises UsageError with what to do."""
        need_ray()
        # Nobody is told that the harness ran here.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        address = settings.address or os.environ.get("RAY_ADDRESS") or "local"
        self._folder: str | None = None
        self._ours = "ray" not in sys.modules or not sys.modules["ray"].is_initialized()
        if self._ours and address != "local":
            reach(address)
        import ray

        self._ray: Any = ray
        if self._ours:
            logging.getLogger("ray").setLevel(logging.ERROR)
            _hush()
            try:
                with _unbroken():
                    if address == "local":
                        self._begin(settings)
                    else:
                        self._join(address)
            except BaseException:
                self.close()
                raise

    def _begin(self, settings: RaySettings) -> None:
        # Ray's sockets lie in it, whose names must be short.
        self._folder = tempfile.mkdtemp(prefix="harness-ray-", dir="/tmp" if len(tempfile.gettempdir()) > 24 else None)  # noqa: S108
        # Or else Ray would put one into the user's home, and take it for that of other clusters later. (It stays in the
        # environment: Ray reads it once in a process.)
        if not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        asked = math.ceil((settings.workers or 0) * settings.cpus_per_worker)
        here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        try:
            self._ray.init(
                address="local",
                num_cpus=asked if asked > here else None,
                include_dashboard=False,
                object_store_memory=STORE,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=self._folder,
            )
        except Exception as error:
            raise HarnessError(f"no Ray cluster could be started here: {described(error, 500)}") from error

    def _join(self, address: str) -> None:
        try:
            self._ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:
            raise UsageError(
                f"--ray-address {address}: can't join that Ray cluster from here ({described(error, 500)}); the harness must "
                "run on one of its nodes, with the same Ray and Python"
            ) from error

    # ------------------------------------------------------------------------------------------------------ what it has

    def nodes(self) -> int:
        """Nodes that are alive."""
        return sum(bool(node["Alive"]) for node in self._ray.nodes())

    def resources(self, *, free: bool = False) -> tuple[float, float]:
        """(CPUs, GPUs) of the cluster; only what is `free` now."""
        found = self._ray.available_resources() if free else self._ray.cluster_resources()
        return float(found.get("CPU", 0.0)), float(found.get("GPU", 0.0))

    # ------------------------------------------------------------------------------------------------------------ hiring

    def hire(self, cls: type, cpus: float, gpus: float) -> Any:
        """An actor of that class, spread over the nodes, never restarted or asked twice by Ray itself."""
        options = {"max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
        return self._ray.remote(cls).options(num_cpus=cpus, num_gpus=gpus, **options).remote()

    def hire_here(self, cls: type, *arguments: Any) -> Any:
        """An actor beside this process that answers many at once."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        node = self._ray.get_runtime_context().get_node_id()
        options = {"max_restarts": 0, "max_task_retries": 0, "max_concurrency": 10_000}
        here = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        return self._ray.remote(cls).options(num_cpus=0, scheduling_strategy=here, **options).remote(*arguments)

    async def answer(self, reference: Any, within: float | None = None) -> Any:
        """What an actor's method gives. Raises Dead when its process or node is gone, or silent for `within` seconds."""
        from ray.exceptions import RayError, RayTaskError

        try:
            return await asyncio.wait_for(asyncio.wrap_future(reference.future()), within)
        except TimeoutError:
            raise Dead(f"it gave no sign of life for {within:g} s") from None
        except RayError as error:
            text = described(error, 4000)
            missing = re.search(r"No module named '([\w.]+)'", text)
            if missing:
                raise UsageError(
                    f"a node of the cluster has no {missing[1]}: install crs-harness, every plugin and what they need there as "
                    "here (docs/clusters.md)"
                ) from None
            if isinstance(error, RayTaskError):  # a bug: the method raised
                raise
            raise Dead(_cause(text)) from error

    def dismiss(self, actor: Any) -> None:
        """End an actor's process, whatever it does."""
        with contextlib.suppress(Exception):
            self._ray.kill(actor, no_restart=True)

    def close(self) -> None:
        """Leave the cluster; end it if it is our own."""
        with _quiet(), _unbroken():
            if self._ours:
                self._ray.shutdown()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None


def reach(address: str) -> None:
    """Raises UsageError, within a minute, unless a Ray cluster answers there that takes us in.

    Ray itself would knock for many minutes at a door behind which something else lives, and can't be interrupted meanwhile.
    """
    flag = f"--ray-address {address}"
    if "://" in address:
        raise UsageError(
            f"{flag}: the harness runs in the cluster, not through Ray's client: start it on one of its nodes, or with "
            "`ray job submit` (docs/clusters.md)"
        )
    if address != "auto":
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65535:
            raise UsageError(f"{flag}: write HOST:PORT (the port is 6379 by default), auto or local")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=REACH).close()
        except OSError as error:
            raise UsageError(f"{flag}: nothing answers there ({why(error)})") from None
    said = _knock(address)
    if "AuthenticationError" in said and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"  # as Ray's own commands do
        said = _knock(address)
    if "AuthenticationError" in said:
        raise UsageError(
            f"{flag}: that Ray cluster wants its token: RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or the file ~/.ray/auth_token"
        )
    if "Could not find any running Ray" in said and address == "auto":
        raise UsageError(f"{flag}: this machine is in no Ray cluster; `ray start` joins or begins one")
    if said:
        reason = described(Exception(said.strip().splitlines()[-1]), 300)
        raise UsageError(f"{flag}: no Ray cluster answers there ({reason}); is that the port of `ray start`, 6379 say?")


def _knock(address: str) -> str:
    """What Ray finds wrong with an address; empty if nothing."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        subprocess.run(command, capture_output=True, timeout=PROBE, check=True)
    except subprocess.TimeoutExpired:
        return f"nothing was heard for {PROBE:g} s"
    except subprocess.CalledProcessError as error:
        output: bytes = error.stdout + error.stderr
        return output.decode("utf-8", "replace").strip() or f"exit code {error.returncode}"
    return ""


def _hush() -> None:
    """Ray would tell of every death at length, on standard output; the driver says it in a line."""
    from ray._private import worker

    if hasattr(worker, "_worker_logs_enabled"):  # its own switch; a version without it is only noisier
        worker._worker_logs_enabled = False


def _cause(text: str) -> str:
    """The telling part of what Ray says of a death."""
    for mark in ("Worker unexpectedly exits", "The actor died", "The actor is dead because"):
        if mark in text:
            text = text[text.index(mark) :]
            break
    return text.partition(" Some common causes")[0].partition(" To troubleshoot")[0][:300].rstrip(" .")


@contextlib.contextmanager
def _unbroken() -> Iterator[None]:
    """An interrupt in the middle of Ray's start or end would leave processes behind: it waits. A second one doesn't."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def note(number: int, frame: object) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if caught:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Ray's own words about its end are nobody's business."""
    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
