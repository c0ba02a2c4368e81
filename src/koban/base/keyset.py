"""The cursor of a list that is ordered by a number and an id: where a page ended, for the next one to go on."""

from typing import Final

_DIGITS_MAX: Final = 18  # of a number that every database holds


def keyset(number: int, row_id: str) -> str:
    """Write where a page ended."""
    return f"{number}.{row_id}"


def keyset_of(cursor: str | None) -> tuple[int, str] | None:
    """Read where the page before ended; a cursor that is none of ours begins at the start."""
    number, _, row_id = (cursor or "").partition(".")
    if not (number.isascii() and number.isdecimal() and len(number) <= _DIGITS_MAX):
        return None
    return int(number), row_id.replace("\0", "")  # no id holds it, and PostgreSQL takes no text that does
