"""What the verbs share: option decorators, and texts from the command line made into component choices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from harness.config import Choice
from harness.errors import UsageError
from harness.options import parse_pairs
from harness.scenarios import VARIANTS

SPLITS = ("train", "validation", "test")
CORE_OPTIONS = {"variant": VARIANTS, "split": SPLITS}
"""Names that --dataset-opt takes for every data set: the core obeys them, the data set never sees them."""
DEFAULT_DATASET = "cinema"

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]


# ------------------------------------------------------------------------------------------------------- option decorators


def recommender_options(*, default: str | None = None, required: bool = False) -> Decorator[Any]:
    """--rec NAME (parameter `rec`) and --rec-opt k=v (`rec_opt`: a tuple of texts)."""
    return _together(
        _named("--rec", "The recommender; `harness list recommenders` shows what there is.", default, required),
        _pairs("--rec", "recommender"),
    )


def simulator_options(*, default: str | None = None) -> Decorator[Any]:
    """--sim NAME (parameter `sim`) and --sim-opt k=v (`sim_opt`: a tuple of texts)."""
    return _together(
        _named("--sim", "The simulated user; `harness list simulators` shows what there is.", default, False),
        _pairs("--sim", "simulator"),
    )


def dataset_options(*, default: str | None = DEFAULT_DATASET) -> Decorator[Any]:
    """--dataset NAME (parameter `dataset`), --dataset-opt k=v (`dataset_opt`), --variant and --split (None when not said)."""
    return _together(
        _named("--dataset", "The data set; `harness list datasets` shows what there is.", default, False),
        dataset_opt(),
        variant_option(),
        split_option(),
    )


def dataset_opt() -> Decorator[Any]:
    """--dataset-opt k=v (parameter `dataset_opt`: a tuple of texts)."""
    return _pairs("--dataset", "data set", " variant= and split= work for every data set.")


def variant_option() -> Decorator[Any]:
    """--variant (parameter `variant`, None when not said)."""
    return click.option(
        "--variant",
        type=click.Choice(VARIANTS),
        help="novel: targets that the context already names are removed; all: nothing is.  [default: the preset's]",
    )


def split_option(default: str = "test") -> Decorator[Any]:
    """--split (parameter `split`, None when not said). `default` is what the help says, no more."""
    return click.option("--split", type=click.Choice(SPLITS), help=f"Part of the data set.  [default: {default}]")


def model_options() -> Decorator[Any]:
    """--llm, --rec-llm, --sim-llm, --judge-llm SPEC and --llm-opt k=v, and how models are asked: cache, limits, prices."""
    return _together(
        click.option(
            "--llm", metavar="SPEC", help="Language model of every role: openai:MODEL, hf:MODEL_OR_PATH or scripted:FILE."
        ),
        click.option("--rec-llm", metavar="SPEC", help="Language model of the recommender."),
        click.option("--sim-llm", metavar="SPEC", help="Language model of the simulator."),
        click.option("--judge-llm", metavar="SPEC", help="Language model of the metrics that ask one."),
        llm_opt(),
        asking_options(),
    )


def llm_opt() -> Decorator[Any]:
    """--llm-opt k=v (parameter `llm_opt`: a tuple of texts)."""
    text = "An option of the models (base_url=..., dtype=...), any number of times."
    return click.option("--llm-opt", metavar="K=V", multiple=True, help=text)


def judge_options(
    flag: str = "--judge-llm", text: str = "Language model of the metrics that ask one: openai:MODEL, ..."
) -> Decorator[Any]:
    """`flag` SPEC, --llm-opt k=v, --concurrency and --timeout of judges, and how they are asked: cache, limits, prices."""
    return _together(
        click.option(flag, metavar="SPEC", help=text),
        llm_opt(),
        click.option("--concurrency", type=click.IntRange(1), metavar="N", help="Questions under way.  [default: 8]"),
        click.option(
            "--timeout",
            type=click.FloatRange(0, min_open=True),
            metavar="SECONDS",
            help="Limit of one question.  [default: 120]",
        ),
        asking_options(),
    )


def asking_options() -> Decorator[Any]:
    """--cache, --cache-file, --max-cost, --max-tokens, --prices and --rpm."""
    return _together(
        click.option(
            "--cache",
            type=click.Choice(["off", "read", "read-write"]),
            help="Answers of models from earlier runs.  [default: off]",
        ),
        click.option("--cache-file", metavar="FILE", help="Where they are kept.  [default: the user's cache folder]"),
        click.option(
            "--max-cost", type=float, metavar="DOLLARS", help="Stop, resumable, before models cost more (needs --prices)."
        ),
        click.option("--max-tokens", type=int, metavar="N", help="Stop, resumable, before models take more tokens."),
        click.option(
            "--prices", metavar="FILE", help="TOML: a table per model with prompt and completion, dollars per million tokens."
        ),
        click.option("--rpm", type=float, metavar="N", help="Requests per minute to one server, at most."),
    )


def isolation_options() -> Decorator[Any]:
    """--isolate and what it may be told; the values are None where nothing was said."""
    return _together(
        click.option(
            "--isolate", is_flag=True, default=None,
            help="Run the recommender in a process of its own, without files, network, keys or targets (docs/isolation.md).",
        ),
        click.option(
            "--isolate-strict", is_flag=True, default=None, help="The same; refused where the system can't keep all away."
        ),
        click.option("--isolate-memory", metavar="SIZE", help="Memory that its process may fill.  [default: 4G]"),
        click.option("--isolate-network", is_flag=True, default=None, help="It may connect to other machines."),
        click.option(
            "--isolate-read", metavar="PATH", multiple=True, type=click.Path(exists=True, resolve_path=True),
            help="A file or folder that it may read besides code and artefacts, any number of times.",
        ),
        click.option(
            "--isolate-start", metavar="SECONDS", type=click.FloatRange(0, min_open=True),
            help="Limit of its start: imports and preparation.  [default: 1800]",
        ),
        click.option(
            "--isolate-restarts", metavar="N", type=click.IntRange(0), help="Starts after its process ended.  [default: 20]"
        ),
    )  # fmt: skip


def engine_options() -> Decorator[Any]:
    """--engine and --ray-...; the values are None where nothing was said. `harness.cli.engines` reads them."""
    return _together(
        click.option(
            "--engine", type=click.Choice(["local", "ray"]),
            help="Where the dialogues run: in this process, or on a Ray cluster (docs/clusters.md).  [default: local]",
        ),
        click.option(
            "--ray-address", metavar="ADDRESS",
            help="HOST:PORT of a cluster, auto for the one that this machine is in, local for a new one here."
            "  [default: $RAY_ADDRESS, else local]",
        ),
        click.option(
            "--ray-workers", metavar="N", type=click.IntRange(1),
            help="Processes that play, each --concurrency dialogues at once.  [default: as many as there is room for]",
        ),
        click.option(
            "--ray-cpus-per-worker", metavar="X", type=click.FloatRange(0), help="Cores of a worker.  [default: 1]"
        ),
        click.option(
            "--ray-gpus-per-worker", metavar="X", type=click.FloatRange(0),
            help="GPUs of a worker, 0.25 say.  [default: 1 with a local model if there are GPUs, else 0]",
        ),
        click.option(
            "--ray-start", metavar="SECONDS", type=click.FloatRange(0, min_open=True),
            help="How long to wait for a worker while there is none.  [default: 1800]",
        ),
    )  # fmt: skip


def json_option() -> Decorator[Any]:
    """--json (parameter `as_json`)."""
    return click.option("--json", "as_json", is_flag=True, help="JSON on standard output, for machines.")


def _named(flag: str, text: str, default: str | None, required: bool) -> Decorator[Any]:
    return click.option(flag, metavar="NAME", default=default, required=required, show_default=default is not None, help=text)


def _pairs(flag: str, of: str, more: str = "") -> Decorator[Any]:
    text = f"An option of the {of}, any number of times; `harness show NAME` lists them.{more}"
    return click.option(f"{flag}-opt", metavar="K=V", multiple=True, help=text)


def _together(*decorators: Decorator[Any]) -> Decorator[Any]:
    def decorate(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


# ----------------------------------------------------------------------------------------------------------------- choices


def choice(name: str, pairs: Iterable[str], flag: str) -> Choice:
    """A component with the options that were said: `choice("bm25", ["k1=1.2"], "--rec-opt")`. Raises UsageError."""
    return Choice(name, dict(parse_pairs(pairs, flag)))


def dataset_choice(
    name: str, pairs: Iterable[str], *, variant: str | None = None, split: str | None = None
) -> tuple[Choice, dict[str, Any]]:
    """The data set's own options, and those that the core obeys: of "variant" and "split" the ones that were said.

    `variant` and `split` are the values of the flags of that name. Raises UsageError for a value that doesn't exist and for
    a flag and a pair that contradict each other.
    """
    options = parse_pairs(pairs, "--dataset-opt")
    core: dict[str, Any] = {}
    for option, flag in (("variant", variant), ("split", split)):
        said = options.pop(option, None)
        if said is not None and said not in CORE_OPTIONS[option]:
            raise UsageError(f"--dataset-opt {option}={said}: it must be one of {', '.join(CORE_OPTIONS[option])}")
        if said is not None and flag is not None and said != flag:
            raise UsageError(f"--{option} {flag} and --dataset-opt {option}={said} contradict each other")
        value = flag if flag is not None else said
        if value is not None:
            core[option] = value
    return Choice(name, dict(options)), core
