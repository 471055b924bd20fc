"""The clauses for trainers."""

from __future__ import annotations

from harness.testing.clauses import Clause

CLAUSES = (
    Clause(
        "made",
        "can be made from its options",
        "The class is called with None: its options are in the setup",
    ),
    Clause("declares", "has train(), and plan() if it has settings", "They are plain methods"),
    Clause(
        "plans",
        "plan() gives settings by stage, without data, the same each time",
        "plan(setup) returns {stage: {setting: value}} of JSON data, made of what was asked for: the splits are empty then",
    ),
    Clause(
        "refuses",
        "refuses options, stages and presets that it doesn't have",
        "Raise harness.errors.UsageError, in plan() if there is one: a mistyped option that is ignored trains something else",
    ),
    Clause("trains", "train() works", "train(setup, output_dir) must not raise on small data; what is missing is a UsageError"),
    Clause(
        "artefact",
        "leaves an artefact whose files are what its card lists",
        "with harness.artifactfiles.create(output_dir / 'name', card) as folder: write into folder",
    ),
    Clause(
        "card",
        "its card says what it is and what shaped it",
        "Card(kind, name, trained_on=(setup.dataset,), data=Data(..., hash=setup.dataset_hash), seeds=(setup.seed,), "
        "versions=harness.artifactfiles.versions())",
    ),
    Clause(
        "no-pickle",
        "keeps no pickles",
        "Write JSON, numpy.save(..., allow_pickle=False) or safetensors: whoever loads a pickle runs what is in it",
    ),
    Clause("in-folder", "writes into its folder only", "Everything goes below output_dir, temporary files too"),
    Clause(
        "goes-on",
        "leaves a finished training as it is",
        "With setup.resume, train what is missing: what has an artifact.json is complete",
    ),
    Clause(
        "interrupted",
        "an interrupted training is finished by the same command",
        "Write artefacts with harness.artifactfiles.create, which leaves all or nothing, and go on with what is kept",
    ),
    Clause(
        "same-again",
        "trains the same artefact again",
        "Seed what you draw from by setup.seed; go through data in their order",
        must=False,
    ),
    Clause(
        "same-elsewhere",
        "trains the same artefact in another process",
        "Sort sets before you go through them: their order differs between processes; don't use hash() of texts",
        must=False,
    ),
    Clause("leaves-input", "changes neither the splits nor the catalogue", "Copy what you change: others read it too"),
    Clause(
        "leaves-process",
        "changes nothing that the whole process shares",
        "Leave the working directory, environment variables, signal handlers, standard streams and libraries' defaults alone",
    ),
    Clause(
        "lets-go",
        "leaves nothing running that keeps the process from ending",
        "Start threads and processes with daemon=True, or join them before train() returns",
    ),
)
