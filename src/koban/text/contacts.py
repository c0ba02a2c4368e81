"""Contacts."""

from koban.text.normalise import Normalised


def contacts(text: Normalised) -> tuple[str, ...]:
    return ()
