"""OpenDialKG: films and books, as processed turns or as the official CSV."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from harness.api import Split

from . import opendialkg_csv, opendialkg_processed
from .cutting import check_split
from .files import data_folder, find_file
from .opendialkg_items import CARD


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `opendialkg`."""

    path: Annotated[str | None, msgspec.Meta(description="folder of the files; default $HARNESS_DATA/opendialkg")] = None
    form: Annotated[
        Literal["auto", "processed", "csv"],
        msgspec.Meta(
            description="processed turns (iEvaLM) or the official CSV; auto takes processed turns where there are some"
        ),
    ] = "auto"
    drop_train_overlap: Annotated[
        bool,
        msgspec.Meta(description="processed form: leave out training turns of dialogues that have validation or test rows"),
    ] = True
    catalogue: Annotated[
        Literal["item_ids", "id2info"],
        msgspec.Meta(description="processed form: the published candidate items, or every work in id2info.json"),
    ] = "item_ids"


class OpenDialKG:
    """One scenario per recommending turn; see `opendialkg_processed` and `opendialkg_csv` for how each form is read."""

    card = CARD

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    def load(self, split: str) -> Split:
        """Raises DataError (file, line, field) and UsageError for an unknown split."""
        check_split(split, self.card)
        options = self.options
        place = data_folder(options.path, "opendialkg", self.card)
        form: str = options.form
        if place.is_file() and place.suffix != ".zip":
            form = "csv" if form == "auto" and place.name.startswith(opendialkg_csv.FILE) else form
            place = place.parent
        if form == "auto":
            processed = any(find_file(place, name) for name in opendialkg_processed.FILES.values())
            form = "processed" if processed or find_file(place, opendialkg_csv.FILE) is None else "csv"
        if form == "csv":
            return opendialkg_csv.load(place, split)
        return opendialkg_processed.load(
            place, split, drop_train_overlap=options.drop_train_overlap, catalogue=options.catalogue
        )
