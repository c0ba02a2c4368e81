"""Banks: what leaves our accounts in files, what came of it by their statements. It moves no money itself.

Guarantees: a statement row says the same whatever format it came in.
"""

from koban.banking.types import RowKind, StatementRow

__all__ = ["RowKind", "StatementRow"]
