"""Texts from the command line made into component choices."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from harness.cli import arguments
from harness.errors import UsageError


def test_variant_and_split_are_the_core_s_and_the_rest_the_data_set_s() -> None:
    chosen, core = arguments.dataset_choice("redial", ["variant=all", "path=/data/x=y", "split=validation"])
    assert (chosen.name, chosen.options) == ("redial", {"path": "/data/x=y"})
    assert core == {"variant": "all", "split": "validation"}


def test_what_was_not_said_is_absent() -> None:
    assert arguments.dataset_choice("redial", [])[1] == {}
    assert arguments.dataset_choice("redial", [], variant="all")[1] == {"variant": "all"}


def test_a_flag_and_a_pair_may_agree_but_not_contradict() -> None:
    assert arguments.dataset_choice("d", ["variant=all"], variant="all")[1] == {"variant": "all"}
    with pytest.raises(UsageError, match="contradict"):
        arguments.dataset_choice("d", ["variant=novel"], variant="all")


@pytest.mark.parametrize("pair", ["variant=seen", "split=dev", "split="])
def test_an_unknown_variant_or_split_names_those_there_are(pair: str) -> None:
    with pytest.raises(UsageError, match=r"must be one of \w+, \w+"):
        arguments.dataset_choice("d", [pair])


@pytest.mark.parametrize("pairs", [["size"], ["=3"], ["size=1", "size=2"], ["top-n=1", "top_n=2"]])
def test_a_pair_that_is_none_or_comes_twice_is_refused(pairs: list[str]) -> None:
    with pytest.raises(UsageError, match="--rec-opt"):
        arguments.choice("bm25", pairs, "--rec-opt")


def test_the_decorators_give_the_parameters_that_their_docstrings_promise() -> None:
    @click.command()
    @arguments.recommender_options(default="hybrid")
    @arguments.simulator_options()
    @arguments.dataset_options()
    @arguments.json_option()
    def command(**given: object) -> None:
        click.echo(repr(sorted(given.items())))

    result = CliRunner().invoke(command, ["--sim-opt", "eps=0.1", "--sim-opt", "patience=3", "--dataset-opt", "size=9"])
    assert result.exit_code == 0, result.output
    expected = {
        "rec": "hybrid", "rec_opt": (), "sim": None, "sim_opt": ("eps=0.1", "patience=3"), "dataset": "cinema",
        "dataset_opt": ("size=9",), "variant": None, "split": None, "as_json": False,
    }  # fmt: skip
    assert result.output.strip() == repr(sorted(expected.items()))
