"""Banks and branches of Japan by their codes, from the data of `zengin-code`, read file by file when first asked for."""

import functools
import importlib.util
import pathlib
from collections.abc import Mapping

import msgspec

from koban.banking.types import PayeeInvalid
from koban.base import Problem, Unavailable


class Place(msgspec.Struct, frozen=True):
    """A bank or branch."""

    code: str
    name: str
    kana: str


def find_bank(code: str) -> Place | None:
    """Return a bank by its four digits."""
    return _banks().get(code)


def find_branch(bank: str, branch: str) -> Place | None:
    """Return a branch by its bank and its three digits."""
    return _branches(bank).get(branch) if bank in _banks() else None


def check_place(bank: str, branch: str, *, field: str = "") -> tuple[Place, Place]:
    """Return bank and branch.

    Refuses: PayeeInvalid, naming the code that does not exist.
    """
    found = find_bank(bank)
    if found is None:
        problem = Problem(path=f"{field}/bank", detail=f"There is no bank {bank!r}.", hint="four digits, as in 0001")
        raise PayeeInvalid(f"there is no bank with the code {bank!r}", problems=(problem,))
    there = find_branch(bank, branch)
    if there is None:
        detail = f"{found.name} has no branch {branch!r}."
        problem = Problem(path=f"{field}/branch", detail=detail, hint="three digits; branches merge and move")
        raise PayeeInvalid(f"bank {bank} has no branch {branch!r}", problems=(problem,))
    return found, there


@functools.cache
def _folder() -> pathlib.Path:
    # Why not import it: that reads 1,146 files at once, which takes more than a second.
    found = importlib.util.find_spec("zengin_code")
    if found is None or found.origin is None:
        raise Unavailable("bank directory", 3_600, "the package zengin-code is not installed")
    return pathlib.Path(found.origin).parent / "source-data" / "data"


@functools.cache
def _banks() -> Mapping[str, Place]:
    return _read(_folder() / "banks.json")


@functools.lru_cache(maxsize=256)
def _branches(bank: str) -> Mapping[str, Place]:
    return _read(_folder() / "branches" / f"{bank}.json")


def _read(path: pathlib.Path) -> Mapping[str, Place]:
    rows = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, str]])
    return {code: Place(code, row["name"], row["kana"]) for code, row in rows.items()}
