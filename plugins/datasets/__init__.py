"""First-party datasets: descriptors only; the classes are imported when a run names them."""

from __future__ import annotations

from collections.abc import Iterable

from harness import Component, hookimpl


@hookimpl
def harness_datasets() -> Iterable[Component]:
    at = "harness_plugins.datasets."
    yield Component(
        "cinema",
        at + "cinema:Cinema",
        summary="bundled: generated dialogues about 1,000 real films, with known ceilings (the default)",
        options=at + "cinema:Options",
    )
    yield Component(
        "redial",
        at + "redial:Redial",
        summary="ReDial: human film dialogues with a questionnaire, as published (NeurIPS 2018)",
        options=at + "redial:Options",
    )
    yield Component(
        "redial-ievalm",
        at + "redial_ievalm:RedialIevalm",
        summary="ReDial's recommendation turns as iEvaLM evaluates on them, with film metadata (EMNLP 2023)",
        options=at + "redial_ievalm:Options",
    )
    yield Component(
        "opendialkg",
        at + "opendialkg:OpenDialKG",
        summary="OpenDialKG: films and books, as iEvaLM's processed turns or the official CSV (ACL 2019)",
        options=at + "opendialkg:Options",
    )
    yield Component(
        "opendialkg-books",
        at + "opendialkg_books:OpenDialKGBooks",
        summary="OpenDialKG's book dialogues, entity linked, split by dialogue",
        options=at + "opendialkg_books:Options",
    )
    yield Component(
        "inspired",
        at + "inspired:Inspired",
        summary="INSPIRED and INSPIRED2: sociable film dialogues with acceptance labels (EMNLP 2020)",
        options=at + "inspired:Options",
    )
    yield Component(
        "movielens",
        at + "movielens:MovieLens",
        summary="MovieLens ml-latest-small: film genres, tags and ratings; no dialogues",
        options=at + "movielens:Options",
    )
    yield Component(
        "crsarena-eval",
        at + "crsarena_eval:CrsArenaEval",
        summary="CRSArena-Eval: people's scores of dialogues with nine recommenders, for harness metaeval (2025)",
        options=at + "crsarena_eval:Options",
    )
    yield Component(
        "ab-redial",
        at + "ab_redial:AbRedial",
        summary="AB-ReDial: people's scores of ReDial dialogues and turns, for harness metaeval (TOIS 2023)",
        options=at + "ab_redial:Options",
    )
    yield Component(
        "jsonl",
        at + "jsonl.dataset:Jsonl",
        summary="your own data in the documented JSON lines format, without code",
        options=at + "jsonl.dataset:Options",
    )
