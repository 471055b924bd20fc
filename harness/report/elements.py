"""HTML from texts that nobody trusts: whatever is put into an element is escaped, unless it is an element itself."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


class Html(str):
    """Markup that is safe to stand in a page."""

    __slots__ = ()


def tag(name: str, *children: object, **attributes: str | bool | None) -> Html:
    """`tag("td", "a<b", class_="n")`. Attributes that are None or False are left out; of `data_key`, the dash is written."""
    opened = [name]
    for key, value in attributes.items():
        shown = key.rstrip("_").replace("_", "-")
        if value is True:
            opened.append(shown)
        elif value not in (None, False):
            opened.append(f'{shown}="{html.escape(str(value))}"')
    return Html(f"<{' '.join(opened)}>{''.join(map(_content, children))}</{name}>")


def group(children: Iterable[object]) -> Html:
    """Elements after one another."""
    return Html("".join(map(_content, children)))


def table(caption: str, headers: Sequence[object], rows: Iterable[Sequence[object]], *, texts: int = 1) -> Html:
    """A table that scrolls sideways where the window is narrow. The first `texts` columns are texts, the others numbers."""
    head = tag("tr", *(tag("th", h, scope="col", class_=None if n < texts else "n") for n, h in enumerate(headers)))
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row"),
            *(tag("td", cell, class_=None if n < texts else "n") for n, cell in enumerate(row[1:], 1)),
        )
        for row in rows
    ]
    inner = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _content(child: object) -> str:
    return child if isinstance(child, Html) else html.escape(str(child))
