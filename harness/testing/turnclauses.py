"""The clauses that recommenders and simulators have in common."""

from __future__ import annotations

from collections.abc import Sequence

from harness.testing.calls import Method
from harness.testing.clauses import Clause

MANY_TURNS = 30
"""Turns of the long dialogues that are played."""


def turn_clauses(method: Method, own: Sequence[Clause]) -> tuple[Clause, ...]:
    """The common clauses, with the kind's own ones in their place."""
    state = "Put what must be remembered into the returned `state`; it comes back as `conversation.state`"
    pure = f"{method} must be a function of its arguments and of what `prepare` made. {state}"
    return (
        Clause(
            "made",
            "can be made from its options",
            "The class is called with one argument, its options (None without any); what it needs of them is given with --opt",
        ),
        Clause(
            "declares",
            f"has prepare() and {method}() or {method}_batch(), and declares what it must",
            f"prepare is a plain method; {method} may be plain, async, or given as {method}_batch; `serial` is a bool, "
            "`max_batch` a whole number above 0; default_llm, if given, returns a text or None, and "
            "more_llms texts by name",
        ),
        Clause(
            "revision",
            "its revision() is JSON data, the same in every process",
            "Hashes of weights and prompts by hashlib: no hash() of texts, no id(), no time, no path. While it changes, no run "
            "can be resumed",
        ),
        Clause("prepares", "prepare() works", "prepare(setup) gets catalogue, training dialogues and seed; it must not raise"),
        Clause(
            "prepares-untrained",
            "works without training dialogues, or says why not",
            "Handle an empty `setup.training`, or raise harness.errors.UsageError with one line that says what is needed",
        ),
        Clause(
            "leaves-setup",
            "changes neither the catalogue nor the training dialogues",
            "Copy what you change: others read it too",
        ),
        Clause(
            "transport",
            "its server or language model could be asked",
            "Check server, key, network and budget, then check again: nothing was judged",
        ),
        Clause(
            "in-time", "answers within the time limit", "Set a limit for what it waits for; a run ends calls that take too long"
        ),
        Clause(
            "no-exceptions",
            "raises nothing, whatever the conversation",
            "Handle this input. For trouble with a server raise harness.TransportError: the call is tried again then",
        ),
        *own,
        Clause(
            "leaves-input",
            "changes nothing that it is handed",
            "Copy `conversation.state` and attribute maps before you change them: a call may be made again with the same input",
        ),
        Clause(
            "barrier",
            "doesn't answer by what is hidden from it",
            "Use the arguments of the call and what prepare was handed, nothing else: whatever finds a target in the runner's "
            "objects makes every score worthless",
        ),
        Clause(
            "reads-no-data",
            "reads no data set's files",
            "Learn from setup.training, or bring an artefact: in a data set's files the test dialogues lie beside the training",
            must=False,
        ),
        Clause(
            "no-global-random",
            "draws from no global generator",
            "Use random.Random(f'{conversation.seed}:{conversation.turn}') or numpy.random.default_rng((seed, turn))",
        ),
        Clause("same-again", "the same call gives the same answer", f"{pure}. Draw from `conversation.seed` only"),
        Clause(
            "same-fresh", "a new instance gives the same answers, in any order", f"{pure}. Draw from `setup.seed` in prepare"
        ),
        Clause(
            "same-in-company",
            "an answer doesn't depend on the calls made at the same time",
            "Rows of a batch must not influence each other: no sums, padding or ties across rows",
        ),
        Clause(
            "same-in-threads",
            "several threads may call it at once",
            f"Keep nothing of a call on `self`, or set `serial = True` on the class. {state}",
        ),
        Clause(
            "same-elsewhere",
            "another process gives the same answers",
            "Sort sets before you go through them: their order differs between processes; don't use hash() of texts",
        ),
        Clause(
            "plays",
            f"plays whole dialogues, up to {MANY_TURNS} turns",
            f"{method} must cope with every turn of a dialogue, however much was shown and turned down before",
        ),
        Clause("no-memory", "dialogues don't influence each other", f"Keep nothing of a dialogue on `self`. {state}"),
        Clause(
            "closes",
            "its close() can be awaited, and calls come after it",
            "`async def close(self)` ends connections at the end of the dialogues; open new ones when the next call comes",
        ),
        Clause(
            "leaves-process",
            "changes nothing that the whole process shares",
            "Leave the working directory, environment variables, signal handlers, standard streams and libraries' defaults as "
            "they are; paths are absolute, settings go to the call that needs them",
        ),
        Clause(
            "lets-go",
            "leaves nothing running that keeps the process from ending",
            "Start threads and processes with daemon=True, or end them in `async def close(self)`",
        ),
        Clause(
            "state-json",
            "its state survives being written as JSON",
            "Build the state of texts, numbers, lists and dicts; JSON turns tuples into lists and keys into texts",
        ),
    )
