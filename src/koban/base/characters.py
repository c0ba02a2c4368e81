"""Characters that no text may hold: NUL, which PostgreSQL cannot keep, and halves of surrogate pairs, which are no UTF-8.

And those that say nothing: a reason made of them would be none.
"""

import re
import unicodedata
from typing import Final

NO_CHARACTER: Final = re.compile("[\x00\ud800-\udfff]")
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"  # what stands in their place
_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and a symbol that look like a space
_SEEN: Final = frozenset("LNPS")  # letters, numbers, punctuation and symbols


def says_something(text: str) -> bool:
    """Tell whether a text holds a character that can be seen: no space, format character or lone combining mark is one."""
    return any(unicodedata.category(each)[0] in _SEEN and each not in _BLANK for each in text)
