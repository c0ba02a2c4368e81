"""Why a judgement does not fit its case, in the reader's language: the refusal says it in English."""

import re
from typing import Final

from koban.console.words import Words, as_it_is, retold

KNOWN: Final = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("appeal", r"An appeal is upheld or overturned; decide it as one\."),
        ("final", r"The answer to an appeal is final\."),
        ("two_people", r"\S+ wants two people: decide, and let a second person approve\."),
        ("held", r"This would block what is held, which wants two people here: decide, and let one approve\."),
        ("policy", r"The pack in force has no policy '(?P<policy>.*)'\."),
        ("not_of_it", r"A subject that was chosen does not belong to the case\."),
        ("none_chosen", r"Choose at least one subject of the case\."),
        ("measure", r"A measure follows only where the policy was broken\."),
        ("account", r"Nothing of this case can be hidden: it is about an account\."),
        ("nobody", r"Nobody is known who could be given a strike\."),
        ("facts", r"The facts for the person are given in both languages, or not at all\."),
    )
)


def unfit_said(words: Words, said: str) -> str:
    """Return the reason in the reader's words; nothing where it is none of those that are known."""
    return retold(words, "unfit", KNOWN, said, lambda _name, value: as_it_is(value))
