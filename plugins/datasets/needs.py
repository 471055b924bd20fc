"""The attribute side of a hidden need, derived from items: the same rule for every data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.api import Attributes, Catalogue, Need

NEED_FACETS = ("genre", "director", "star")


def make_need(
    catalogue: Catalogue,
    targets: Sequence[str],
    liked: Sequence[str] = (),
    disliked: Sequence[str] = (),
    seen: Sequence[str] = (),
    facets: Sequence[str] = NEED_FACETS,
) -> Need:
    """A need whose liked attributes are those of the targets (attributes known, title never), and whose disliked attributes
    are those of the disliked items that no target and no liked item shares. All ids must be in the catalogue.

    A target is never among the disliked items: a label on the whole dialogue must not make the row's own target unacceptable.
    """
    disliked = [i for i in disliked if i not in targets]
    wanted = _attributes(catalogue, targets, facets)
    fine = _attributes(catalogue, [*targets, *liked], facets) if disliked else {}
    unwanted = {
        facet: kept
        for facet, values in _attributes(catalogue, disliked, facets).items()
        if (kept := tuple(v for v in values if v not in fine.get(facet, ())))
    }
    return Need(tuple(targets), tuple(liked), tuple(disliked), tuple(seen), wanted, unwanted)


def _attributes(catalogue: Catalogue, ids: Iterable[str], facets: Sequence[str]) -> Attributes:
    """The union of the items' attribute values by facet, in order of appearance; facets without a value are left out."""
    found: dict[str, dict[str, None]] = {facet: {} for facet in facets}
    for item_id in ids:
        attributes = catalogue[catalogue.position(item_id)].attributes
        for facet in facets:
            found[facet].update(dict.fromkeys(attributes.get(facet, ())))
    return {facet: tuple(values) for facet, values in found.items() if values}
