"""The clauses for metrics."""

from __future__ import annotations

from harness.testing.clauses import Clause

LEVELS = ("turn", "dialogue", "run")
FAMILIES = ("ranking", "interaction", "recommender", "simulator", "cost", "judge")
CLAUSES = (
    Clause("made", "can be made from its options", "The class is called with one argument, its options (None without any)"),
    Clause(
        "declares",
        "declares level, family, direction and bounds",
        f"level: {', '.join(LEVELS)}; family: {', '.join(FAMILIES)}; higher_is_better: a bool; bounds: (least, largest), "
        'inf for none; over_turns, if given: "last" or "mean"',
    ),
    Clause(
        "in-time",
        "gives its value within the time limit",
        "Precompute in prepare(); a run that is scored waits for every value, and nothing ends it",
    ),
    Clause("prepares", "prepare() works, also without training popularity", "prepare(setup) gets a harness.MetricSetup"),
    Clause(
        "no-exceptions", "raises nothing, however a dialogue went", "Return harness.Unscored(reason) where there is no value"
    ),
    Clause(
        "number",
        "gives a finite number or Unscored with a reason",
        "Never NaN, inf or None, and no 0 in place of a missing value: return harness.Unscored('why')",
    ),
    Clause("bounds", "stays within its bounds", "Mend the formula, or `bounds`: a run refuses values outside of them"),
    Clause(
        "unplayed",
        "a mean over turns leaves out turns that were not played",
        "With over_turns = 'mean' return Unscored for a TurnView whose `played` is False",
    ),
    Clause(
        "without-scenario",
        "copes with records alone",
        "view.scenario is None when only records are at hand: return harness.Unscored('needs the scenario')",
    ),
    Clause("streams", "reads a run's dialogues once", "RunView.dialogues is a stream: collect in one loop what you need"),
    Clause("empty-run", "copes with a run without dialogues", "Return harness.Unscored('no dialogues')"),
    Clause("scores-ranks", "score_ranks() agrees with score()", "Both must be the same function of the ranks, to 1e-9"),
    Clause("direction", "its direction is the one it declares", "`higher_is_better` is wrong, or the sign of the value"),
    Clause(
        "same-again",
        "equal dialogues get equal values, in any order and by any instance",
        "score must be a function of its view and of the setup",
    ),
    Clause(
        "same-elsewhere",
        "another process gives the same values",
        "Sort sets before you go through them: their order differs between processes; don't use hash() of texts",
    ),
    Clause(
        "no-global-random",
        "draws from no global generator",
        "Make your own with a fixed seed in prepare(): random.Random(0), numpy.random.default_rng(0)",
    ),
    Clause(
        "not-from-words",
        "a ranking or interaction metric looks at lists and targets, not at what was said",
        "Use view.items and view.ranks: what a simulator says or accepts is no evidence that a target was found",
    ),
    Clause(
        "prefers",
        "a judge of pairs says which is better, or Unscored",
        'async prefer(first, second) gives "first", "second", "tie" or harness.Unscored(reason)',
    ),
    Clause("leaves-input", "changes nothing that it is handed", "Copy what you change"),
    Clause(
        "scores-a-run", "a whole run can be scored with it", "See the message; `harness score FOLDER --metric NAME` does this"
    ),
    Clause("has-value", "gives a value for some dialogue", "It said Unscored everywhere: see the reasons", must=False),
)
