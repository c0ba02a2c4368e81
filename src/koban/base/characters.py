"""Characters that no text may hold: NUL, which PostgreSQL cannot keep, and halves of surrogate pairs, which are no UTF-8."""

import re
from typing import Final

NO_CHARACTER: Final = re.compile("[\x00\ud800-\udfff]")
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"  # what stands in their place
