"""`harness view`: a report in the browser, served on this machine alone."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    "view",
    epilog="""\b
Examples:
  harness view runs/mine               prints the address; Ctrl-C ends it
  harness view runs/a runs/b --open    two runs side by side, in the browser at once
""",
)
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="A port of your own.  [default: a free one]"
)
@click.option("--open", "browser", is_flag=True, help="Open the browser.")
def command(folders: tuple[Path, ...], port: int, browser: bool) -> int:
    """Look at runs in the browser: the page of `harness report --html`, served on 127.0.0.1 until Ctrl-C."""
    from harness.registry import Registry
    from harness.report.html import report_page
    from harness.report.serving import serve

    def ready(address: str) -> None:
        click.echo(f"{address}  (Ctrl-C ends it)")
        if browser:
            import webbrowser

            webbrowser.open(address)

    serve(report_page(Registry(), folders).encode("utf-8"), port, ready)
    return 0
