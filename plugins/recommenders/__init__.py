"""First-party recommenders: descriptors only; the classes are imported when a run names them."""

from __future__ import annotations

from collections.abc import Iterable

from harness import Component, hookimpl


@hookimpl
def harness_recommenders() -> Iterable[Component]:
    yield _component("random", "uniform:UniformRandom", "k items drawn at random: the floor of floors")
    yield _component("popularity", "popularity:Popularity", "most mentioned items of the training dialogues")
    yield _component(
        "copy-history", "copy_history:CopyHistory", "repeats the items that the dialogue names; exactly 0 on novel"
    )
    yield _component("attribute-match", "attribute_match:AttributeMatch", "items with the attributes that the seeker asks for")
    yield _component("bm25", "bm25:Bm25", "BM25 over title, attributes, plot and training dialogues' text")
    yield _component("tfidf-lr", "tfidf_lr:TfidfLr", "text classifier over items: TF-IDF, SVD, logistic regression")
    yield _component("ease", "ease:Ease", "EASE^R: collaborative filtering on items mentioned together")
    yield _component("hybrid", "hybrid:Hybrid", "reciprocal rank fusion of attribute-match, bm25, ease and popularity")
    yield _component("llm-zeroshot", "llm_zeroshot:LlmZeroshot", "a language model names titles, grounded to the catalogue")
    yield _component("llm-rerank", "llm_rerank:LlmRerank", "a language model orders the candidates of any other recommender")
    yield _component("llm-embed", "llm_embed:LlmEmbed", "text embeddings of dialogue and items, exact nearest neighbours")
    yield _component("http", "served:Http", "a recommender served anywhere, in any language; or an OpenAI-like chat endpoint")
    yield Component(
        "smtpo-retriever",
        "harness_plugins.recommenders.dualview.recommender:SmtpoRetriever",
        summary="SMTPO's dual-view retriever alone: the nearest items to dialogue and feedback",
        options="harness_plugins.recommenders.dualview.recommender:Options",
        trained_on=("cinema",),
    )
    yield Component(
        "smtpo",
        "harness_plugins.recommenders.smtpo.recommender:Smtpo",
        summary="SMTPO: a dual-view retriever, and a reasoning language model trained by SFT and multi-turn RL",
        options="harness_plugins.recommenders.smtpo.recommender:Options",
        trained_on=("cinema",),
    )
    yield Component(
        "smtpo-search",
        "harness_plugins.recommenders.smtpo.search:SmtpoSearch",
        summary="SMTPO before RL, frozen, with a beam search over dialogues with an imagined seeker (after GRSU)",
        options="harness_plugins.recommenders.smtpo.search:Options",
        trained_on=("cinema",),
    )
    yield _component(
        "smtpo-pl", "smtpo_pl.recommender:SmtpoPl", "SMTPO without a language model: Plackett-Luce weights over features"
    )


def _component(name: str, target: str, summary: str) -> Component:
    module = target.partition(":")[0]
    package = "harness_plugins.recommenders"
    return Component(name, f"{package}.{target}", summary=summary, options=f"{package}.{module}:Options")
