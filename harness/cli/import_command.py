"""`harness import`: other tools' dialogues as something that can be scored."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.arguments import dataset_opt, json_option


@click.command(
    "import",
    epilog="""\b
Examples:
  harness import --from ievalm save_5/chat/kbrd/redial_eval --dataset redial-ievalm --entities entity2id.json --out runs/kbrd
  harness import --from crsarena crs_arena_dial_open.json crs_arena_dial_closed.json --out runs/arena
  harness import --from crsarena crs_arena_eval.json --only kbrd_redial --dataset redial-ievalm --out runs/kbrd-people
  harness import --from dialoguekit MovieBot_User1.json --out runs/moviebot
  harness score runs/kbrd                                  then score what was imported, with any metric
""",
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--from", "tool", required=True, type=click.Choice(["ievalm", "dialoguekit", "crsarena"]), help="The tool that wrote them."
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER", help="Where to.  [default: runs/imported-NAME]"
)
@click.option("--dataset", metavar="NAME", help="A data set whose catalogue titles are looked up in.  [default: none]")
@dataset_opt()
@click.option(
    "--entities",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="iEvaLM's entity2id.json: names of all items.  [default: those that the dialogues spell out]",
)
@click.option("--system", metavar="NAME", help="What the recommender is called.  [default: what the files or their folder say]")
@click.option("--only", metavar="NAME", multiple=True, help="Of several recommenders this one; any number of times.")
@click.option("--k", type=click.IntRange(1, 1000), metavar="N", help="Cut lists here.  [default: the longest, from 10 to 50]")
@click.option("--force", is_flag=True, help="Replace an earlier import.")
@json_option()
def command(
    files: tuple[Path, ...],
    tool: str,
    out: Path | None,
    dataset: str | None,
    dataset_opt: tuple[str, ...],
    entities: Path | None,
    system: str | None,
    only: tuple[str, ...],
    k: int | None,
    force: bool,
    as_json: bool,
) -> int:
    """Read dialogues that another tool released, so that `score`, `report`, `view` and `compare` work on them: files, or a
    folder of files. Several recommenders get a folder each.

    Nobody knows under which protocol they were played: what is imported says so everywhere, can't be played on, and no
    leaderboard takes it.
    """
    import msgspec

    from harness.cli.arguments import choice
    from harness.cli.output import line
    from harness.errors import UsageError
    from harness.exchange.importing import Source, import_dialogues
    from harness.experiment import slug
    from harness.registry import Registry

    if dataset is None and dataset_opt:
        raise UsageError("--dataset-opt was given, but no --dataset")
    source = Source(
        tool=tool,
        paths=files,
        dataset=None if dataset is None else choice(dataset, dataset_opt, "--dataset-opt"),
        k=k,
        entities=entities,
        system=system,
        only=only,
    )
    place = out or Path("runs") / f"imported-{slug(files[0].resolve().stem)}"
    done = import_dialogues(Registry(), source, place, force=force)
    if as_json:
        content = [{**msgspec.to_builtins(msgspec.structs.replace(one, folder=str(one.folder)))} for one in done]
        click.echo(msgspec.json.encode(content).decode())
        return 0
    for one in done:
        click.echo(f"{line(one.system)}: {one.dialogues:,} dialogues, {one.turns:,} recommender turns -> {one.folder}")
    for note in dict.fromkeys(note for one in done for note in one.notes):
        click.echo(f"note: {line(note)}", err=True)
    click.echo(f"imported, not played here: the protocol is unknown. Score with: harness score {done[0].folder}", err=True)
    return 0
