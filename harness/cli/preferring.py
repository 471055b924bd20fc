"""The judge's part of `harness compare`: asking, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.cli.judges import asking_of, judge_choice, transport_of
from harness.cli.output import table
from harness.cli.progress import Progress
from harness.preference import Preference, Share, prefer
from harness.report.text import judge_text, number, p_value


def judged(
    folders: tuple[Path, ...], spec: str, name: str, said: Mapping[str, Any], *, quiet: bool
) -> tuple[Preference, dict[str, Any]]:
    """The preference between two runs, and who judged at what cost.

    Raises UsageError, ConfigMismatch when the data is another, BudgetExceeded.
    """
    import msgspec

    from harness.api import MetricSetup
    from harness.models import build_judge
    from harness.registry import Registry
    from harness.results import RecordFile, bind_metrics, config_of, judged_by, judging, played_on, popularity
    from harness.store import read_manifest

    registry = Registry()
    bound = bind_metrics(registry, [name])[0]
    manifest = read_manifest(folders[0])
    config = msgspec.structs.replace(
        config_of(manifest, folders[0]),
        judge_llm=judge_choice(spec, said, "--judge"),
        asking=asking_of(said),
        transport=transport_of(said),
    )
    _, split, scenarios = played_on(registry, manifest, config, folders[0])
    model = build_judge(config)[1]
    setup = MetricSetup(split.catalogue, popularity(split), config.k, config.turns, config.success_k, model)
    progress = Progress(quiet=quiet)
    by_id = {scenario.id: scenario for scenario in scenarios}
    a, b = map(RecordFile, folders)
    try:
        with judging(model, config.transport, progress.judged) as asked:
            found = prefer(a, b, by_id, bound, setup, asked, seed=config.seed)
    finally:
        progress.stop()
    by = {**judged_by(model, [bound]), "usage": msgspec.structs.asdict(asked.usage)}
    return found, by


def preference_text(found: Preference, by: Mapping[str, Any]) -> str:
    """Wins, ties and losses of A with intervals, the test, and whether the judge's verdicts depend on the order."""
    rows = [
        (f"A {word}", count, _share(share))
        for word, count, share in (
            ("wins", found.wins, found.win_share),
            ("ties", found.ties, found.tie_share),
            ("loses", found.losses, found.loss_share),
        )
    ]
    lines = [table(rows, (f"{found.metric}: A against B", "pairs", "share [95 % CI]"), right=(1,))]
    low_high = f" [{number(found.ci[0], 3)}, {number(found.ci[1], 3)}]" if isinstance(found.ci, tuple) else ""
    lines.append(
        f"wins minus losses {number(found.difference, 3)}{low_high}, p {p_value(found.p)} (sign test by source dialogue), "
        f"{found.n:,} pairs from {found.clusters:,} source dialogues"
    )
    if isinstance(found.same_verdict, float):
        place = (
            f"{found.first_place:.0%} of the verdicts that were no tie went to what stood first"
            if isinstance(found.first_place, float)
            else "every verdict was a tie"
        )
        lines.append(f"both orders gave the same verdict in {found.same_verdict:.0%} of the pairs; {place}")
    lines.append(judge_text(dict(by), by["usage"]))
    if found.unscored:
        why = "; ".join(f"{reason} ({count:,})" for reason, count in found.unscored.items())
        lines.append(f"note: {sum(found.unscored.values()):,} pairs are unscored: {why}")
    if found.only_a or found.only_b:
        lines.append(
            f"note: dialogues that only one run has: {found.only_a:,} of A, {found.only_b:,} of B; they are in no pair"
        )
    return "\n".join([lines[0], "", *lines[1:]])


def _share(share: Share) -> str:
    low_high = f" [{number(share.ci[0], 3)}, {number(share.ci[1], 3)}]" if isinstance(share.ci, tuple) else ""
    return f"{number(share.value, 3)}{low_high}"
