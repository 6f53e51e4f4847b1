"""HTML as values: text is escaped wherever it enters, so that a page can hold no markup but its own."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TypeAlias

VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "wbr"})


@dataclass(frozen=True, slots=True)
class Html:
    """Markup that needs no escaping any more."""

    text: str


Content: TypeAlias = "str | Html | list[Content] | None"


def element(tag: str, /, *content: Content, **attributes: str | bool | None) -> Html:
    """`<tag …>content</tag>`; `class_` is class, `data_x` data-x; an attribute that is None or False is left out, one that is True
    has no value."""
    said = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    if tag in VOID:
        return Html(f"<{tag}{said}>")
    return Html(f"<{tag}{said}>{join(*content).text}</{tag}>")


def join(*content: Content) -> Html:
    """All of it, one after the other; None is nothing."""
    return Html("".join(_markup(one) for one in content))


def _markup(content: Content) -> str:
    match content:
        case None:
            return ""
        case Html():
            return content.text
        case list():
            return join(*content).text
        case _:
            return escape(content)


def _attribute(name: str, value: str | bool | None) -> str:
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(value)}"'
