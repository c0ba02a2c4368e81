"""What scammers say in the simulation was written apart from the rules: none of it stands in the starter pack."""

import pathlib
import re
from collections.abc import Iterator

import yaml

from koban.sim.texts_adversary import ADVERSARY

PACK = pathlib.Path(__file__).parents[2] / "packs" / "starter"
SMALL_TALK = {"small_talk", "staff_name"}  # what honest people say as well, and names that are made of two words


def _words(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for key, each in value.items():
                yield from _words(key)
                yield from _words(each)
        case list():
            for each in value:
                yield from _words(each)
        case _:
            return


def _bare(text: str) -> str:
    """Leave out what a seed fills in or disguises, blanks and marks: what stays is what somebody wrote."""
    return re.sub(r"[\W_]+", "", re.sub(r"\{[a-z_]+\}", "", text)).casefold()


def test_no_text_of_a_scammer_stands_in_the_pack() -> None:
    written: set[str] = set()
    for file in PACK.rglob("*.yaml"):
        written.update(_bare(each) for each in _words(yaml.safe_load(file.read_text(encoding="utf-8"))))
    for file in PACK.rglob("*.txt"):
        written.update(_bare(each) for each in file.read_text(encoding="utf-8").splitlines())
    assert len(written) > 3_000
    said = {_bare(each) for trick, texts in ADVERSARY.items() if trick not in SMALL_TALK for each in texts}
    assert len(said) > 100
    assert {each for each in said & written if len(each) > 6} == set()
