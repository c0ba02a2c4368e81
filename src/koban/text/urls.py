"""URLs."""

from koban.text.normalise import Normalised


def urls(text: Normalised) -> tuple[str, ...]:
    return ()
