"""Texts that people type, taken whole: a reason that was cut would say something else than they wrote."""

from collections.abc import Mapping
from typing import ClassVar

from koban.base import Refusal


class TextTooLong(Refusal):
    """A text with more characters than are kept; `detail` says how many, of how many."""

    code: ClassVar[str] = "text_too_long"
    status: ClassVar[int] = 422
    title: ClassVar[str] = "The text is too long."


def typed_text(form: Mapping[str, str], name: str, most: int) -> str:
    """Return what was typed into a field, without the spaces around it.

    A line's end counts once, as where browsers count what is typed; they send it as two characters.
    Refuses: TextTooLong.
    """
    text = form.get(name, "").replace("\r\n", "\n").strip()
    if len(text) > most:
        raise TextTooLong(f"{len(text):,} / {most:,}")
    return text
