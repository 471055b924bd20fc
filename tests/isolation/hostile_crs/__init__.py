"""A plugin package that means harm. The tests install a copy of it; it is never shipped.

Whoever imports it leaves a mark beside it, if the process may write there.
"""

import os
from pathlib import Path

from harness import Component, hookimpl

try:
    Path(__file__).with_name(f"imported-by-{os.getpid()}").write_text("here I was")
except OSError:
    pass


@hookimpl
def harness_recommenders():
    yield Component("prober", "hostile_crs.probes:Prober", options="hostile_crs.probes:Options")
    yield Component("wrecker", "hostile_crs.wrecks:Wrecker", options="hostile_crs.wrecks:Options")
    yield Component("plain", "hostile_crs.honest:Plain")
    yield Component("batched", "hostile_crs.honest:Batched")
    yield Component("asynchronous", "hostile_crs.honest:Asynchronous")
    yield Component("chatty", "hostile_crs.honest:Chatty")
    yield Component("spender", "hostile_crs.honest:Spender")
    yield Component(
        "breaker", "hostile_crs.breaches:Breaker", summary="breaks a clause", options="hostile_crs.breaches:Options"
    )
