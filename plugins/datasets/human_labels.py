"""What data sets with human scores share: reading a score, and how well annotators agree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from harness.api import DatasetCard
from harness.errors import DataError

Range = tuple[float, float]


def number(value: object, aspect: str, where: str, within: Range | None) -> float:
    """A score: a number, or the text of one ("4", "4.0"). Raises DataError (place, field, range)."""
    try:
        found = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise DataError(f"{where}: {aspect} is {value!r}; expected a number")
    if within is not None and not within[0] <= found <= within[1]:
        raise DataError(f"{where}: {aspect} is {found:g}, outside of {within[0]:g} to {within[1]:g}")
    return found


def averaged(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Each aspect's mean over the annotators who scored it."""
    given: dict[str, list[float]] = {}
    for row in rows:
        for aspect, value in row.items():
            given.setdefault(aspect, []).append(value)
    return {aspect: sum(values) / len(values) for aspect, values in given.items()}


def agreement(units: Iterable[Sequence[float]]) -> float | None:
    """Krippendorff's alpha for interval data: 1 - observed / expected squared difference (Krippendorff 2011).

    A unit is what one dialogue or turn was given by its annotators, in any order and number; units with one score say nothing.
    None where no unit has two, or all scores are equal. 1 is full agreement, 0 that of chance.
    """
    paired = [list(unit) for unit in units if len(unit) > 1]
    values = [value for unit in paired for value in unit]
    if not values:
        return None
    observed = sum(_squared_differences(unit) / (len(unit) - 1) for unit in paired) / len(values)
    expected = _squared_differences(values) / (len(values) * (len(values) - 1))
    return None if expected == 0 else 1 - observed / expected


def _squared_differences(values: Sequence[float]) -> float:
    """Over all ordered pairs."""
    return 2 * (len(values) * sum(v * v for v in values) - sum(values) ** 2)


def no_scenarios(card: DatasetCard) -> DataError:
    """What `load` raises."""
    return DataError(
        f"{card.name} holds judged dialogues, no scenarios: nothing can be played on it. Hold metrics against its human scores "
        f"with: harness metaeval --dataset {card.name} --metric NAME"
    )
