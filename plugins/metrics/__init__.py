"""First-party metrics: descriptors only; the classes are imported when a run names them.

On the command line `name@10` sets the option `k`.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness import Component, hookimpl

_HERE = "harness_plugins.metrics"
_RANKING = (
    ("hr", "HitRate", "HR@k: any target among the first k"),
    ("recall", "Recall", "Recall@k: share of the targets among the first k"),
    ("ndcg", "Ndcg", "NDCG@k: binary relevance, log2(rank + 1), ideal list cut at k"),
    ("mrr", "Mrr", "MRR@k: 1 / rank of the first target among the first k"),
)
_INTERACTION = (
    ("success", "SuccessByTurn", "success@t: a target was shown by turn t"),
    ("sr", "SuccessRate", "success rate: a target was shown by the last turn"),
    ("at", "AverageTurns", "average turns to success; a miss counts one more than the cap"),
    ("interaction-gain", "InteractionGain", "SR at the last turn minus SR at turn 1"),
)
_CANDIDATES = (("candidate-recall", "CandidateRecall", "share of the targets among the first k retrieved candidates"),)
_PLAIN = (
    ("repetition", "lists:Repetition", "share of a list that earlier turns of the dialogue showed already"),
    ("ooc", "lists:OutOfCatalogue", "share of listed ids that are not in the catalogue"),
    ("validity", "lists:Validity", "share of turns with a well-formed list and no fault"),
    ("novelty", "lists:Novelty", "mean self-information of the listed items by training popularity, in bits"),
    ("diversity", "lists:Diversity", "1 - mean Jaccard similarity of the attributes of listed items"),
    ("coverage", "exposure:Coverage", "share of the catalogue recommended over the run"),
    ("gini", "exposure:Gini", "inequality of recommendation counts over the catalogue"),
    (
        "attribute-precision",
        "attributes:AttributePrecision",
        "share of the seeker's attribute statements that its need supports",
    ),
    ("attribute-recall", "attributes:AttributeRecall", "share of the wanted attributes that the seeker named"),
    ("attribute-f1", "attributes:AttributeF1", "harmonic mean of attribute precision and recall"),
    ("polarity", "attributes:Polarity", "share of statements on known attributes with the need's polarity"),
    ("contradiction", "attributes:Contradiction", "share of statements against what the seeker said before"),
    ("accept-precision", "acceptance:AcceptPrecision", "share of accepts that accepted a target"),
    ("accept-recall", "acceptance:AcceptRecall", "share of answered turns with a target shown that accepted it"),
    ("leak-rate", "acceptance:LeakRate", "share of answers that named a target before it was recommended"),
    ("agreement", "acceptance:Agreement", "accepts and rejects of shown items against the human's likes and dislikes"),
    ("distinct-1", "lexical:Distinct1", "lexical diversity: different words / words of the seeker over the run"),
    ("distinct-2", "lexical:Distinct2", "lexical diversity: different word pairs / word pairs of the seeker over the run"),
    ("turns", "surface:Turns", "turns that the recommender had"),
    ("reply-words", "surface:ReplyWords", "words of the recommender's texts"),
    ("reply-distinct-2", "surface:ReplyDistinct2", "different word pairs / word pairs of the recommender within a dialogue"),
    ("seeker-words", "surface:SeekerWords", "words of the seeker's answers"),
)
_JUDGES = (
    ("persuasiveness", "Persuasiveness", "judge: does the explanation make the seeker want what is recommended? 0-2 (iEvaLM)"),
    ("judge-relevance", "Relevance", "judge: do messages and recommendations fit what the seeker wants? 1-5"),
    ("judge-style", "Style", "judge: communication style, 1-5"),
    ("judge-fluency", "Fluency", "judge: grammatical, natural language, 1-5"),
    ("judge-flow", "Flow", "judge: conversational flow, 1-5"),
    ("judge-satisfaction", "Satisfaction", "judge: the seeker's overall satisfaction, 1-5"),
    ("judge-preference", "Preference", "judge of two runs: which served the seeker better? (harness compare --judge)"),
)
_COST = (
    ("llm-calls", "Calls", "LLM calls per dialogue"),
    ("prompt-tokens", "PromptTokens", "prompt tokens per dialogue"),
    ("completion-tokens", "CompletionTokens", "completion tokens per dialogue"),
    ("cost", "Money", "US dollars per dialogue, where a price is known"),
    ("seconds", "Seconds", "wall seconds per dialogue"),
)


@hookimpl
def harness_metrics() -> Iterable[Component]:
    for module, rows in (
        ("ranking", _RANKING),
        ("candidates", _CANDIDATES),
        ("interaction", _INTERACTION),
        ("cost", _COST),
    ):
        for name, cls, summary in rows:
            yield Component(name, f"{_HERE}.{module}:{cls}", summary=summary, options=f"{_HERE}.{module}:Options")
    for name, target, summary in _PLAIN:
        yield Component(name, f"{_HERE}.{target}", summary=summary)
    for name, cls, summary in _JUDGES:
        yield Component(name, f"{_HERE}.judges:{cls}", summary=summary, options=f"{_HERE}.judges:Options")
