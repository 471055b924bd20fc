"""First-party simulators: descriptors only; the classes are imported when a run names them."""

from __future__ import annotations

from collections.abc import Iterable

from harness import Component, hookimpl

_HERE = "harness_plugins.simulators"


@hookimpl
def harness_simulators() -> Iterable[Component]:
    rule = f"{_HERE}.rule:Options"
    yield Component(
        "rule",
        f"{_HERE}.rule:Rule",
        summary="critiques and answers by the attributes of its profile, accepts what satisfies them; noise and patience",
        options=rule,
        knowledge="profile",
    )
    yield Component(
        "rule-target",
        f"{_HERE}.target:RuleTarget",
        summary="as rule, by the targets' attributes; accepts exactly when a target is shown",
        options=rule,
        knowledge="target_aware",
    )
    yield Component(
        "no-feedback",
        f"{_HERE}.controls:NoFeedback",
        summary="control: says nothing of use, turns nothing down, never accepts",
        knowledge="label_free",
    )
    yield Component(
        "exclude-only",
        f"{_HERE}.controls:ExcludeOnly",
        summary="control: turns down all that is shown and says no more, never accepts",
        knowledge="label_free",
    )
    yield Component(
        "shuffled",
        f"{_HERE}.controls:Shuffled",
        summary="control: rule with the knowledge of another scenario",
        options=rule,
        knowledge="profile",
    )
    yield Component(
        "oracle",
        f"{_HERE}.target:Oracle",
        summary="control: names every attribute of the targets at once, accepts exactly when a target is shown",
        options=f"{_HERE}.target:OracleOptions",
        knowledge="target_aware",
    )
    yield Component(
        "profile-llm",
        f"{_HERE}.profile_llm:ProfileLlm",
        summary="a language model that is told its taste (items and attributes) and never a target",
        options=f"{_HERE}.profile_llm:Options",
        knowledge="profile",
    )
    yield Component(
        "persona",
        f"{_HERE}.persona:Persona",
        summary="profile-llm with traits: conformity, patience, verbosity, drawn per scenario or set",
        options=f"{_HERE}.persona:Options",
        knowledge="profile",
    )
    yield Component(
        "ievalm",
        f"{_HERE}.ievalm:Ievalm",
        summary="iEvaLM's free-chat seeker: a language model that is told the targets; style clean or as published",
        options=f"{_HERE}.ievalm:Options",
        knowledge="target_aware",
    )
    yield Component(
        "ievalm-attr",
        f"{_HERE}.ievalm_attr:IevalmAttr",
        summary="iEvaLM's attribute question answering: looks asked attributes up in the targets; no language model",
        options=f"{_HERE}.ievalm_attr:Options",
        knowledge="target_aware",
    )
    trained = f"{_HERE}.smtpo.simulator:Options"
    yield Component(
        "smtpo-sft",
        f"{_HERE}.smtpo.simulator:SmtpoSft",
        summary="a trained language model that knows no target: feedback, alignment and acceptance learned from others",
        options=trained,
        knowledge="label_free",
        trained_on=("cinema",),
    )
    yield Component(
        "smtpo-base",
        f"{_HERE}.smtpo.simulator:SmtpoBase",
        summary="smtpo-sft without its training: the ablation",
        options=trained,
        knowledge="label_free",
    )
    yield Component(
        "human",
        f"{_HERE}.human:Human",
        summary="a person in the terminal (used by harness chat)",
        knowledge="label_free",
    )
