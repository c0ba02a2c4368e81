"""Lists taken out as files: a page of rows at a time, bounded, as CSV or as lines of JSON."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

EXPORT_ROWS_MAX: Final = 100_000
EXPORT_PAGE: Final = 1_000

Cell = str | int | bool | None
Rows = Sequence[Mapping[str, Cell]]
NextPage = Callable[[str | None, int], tuple[Rows, str | None]]  # cursor, limit -> rows, cursor of the next page

_ENCODER: Final = msgspec.json.Encoder()
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def csv_parts(columns: Sequence[str], next_page: NextPage, ended: Callable[[int], None]) -> Iterator[bytes]:
    """Yield a CSV file; `ended` is told how many rows there were.

    Why the mark at the start: spreadsheets read Japanese right only with it. Why an apostrophe before = and the like: a
    cell that somebody else filled must not run as a formula.
    """
    yield b"\xef\xbb\xbf" + _lines([columns])
    count = 0
    for rows in _pages(next_page):
        count += len(rows)
        yield _lines([[_safe(row.get(column)) for column in columns] for row in rows])
    ended(count)


def ndjson_parts(next_page: NextPage, ended: Callable[[int], None]) -> Iterator[bytes]:
    """Yield a line of JSON for each row; `ended` is told how many there were."""
    count = 0
    for rows in _pages(next_page):
        count += len(rows)
        yield b"".join(_ENCODER.encode(row) + b"\n" for row in rows)
    ended(count)


def _pages(next_page: NextPage) -> Iterator[Rows]:
    cursor, left = None, EXPORT_ROWS_MAX
    while left > 0:
        rows, cursor = next_page(cursor, min(EXPORT_PAGE, left))
        if rows:
            yield rows
        left -= len(rows)
        if cursor is None:
            return


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    return written.getvalue().encode()


def _safe(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
