"""Banks: what leaves our accounts in files, and what came of it by their statements. It moves no money itself.

Owns the tables bank_*. Guarantees: a file that leaves is what the record layout or schema says, byte for byte; a line of
a statement says the same whatever format it came in, and is followed once; a line is matched by reference, or by amount
and name, and never by a guess; names and numbers rest sealed. Commands that move money are in `pipeline/banking.py`.
"""

from koban.banking.lines import statement_rows
from koban.banking.routes import BankDesk
from koban.banking.store import count_exceptions, list_accounts
from koban.banking.types import BankAccount, BankAccountMissing, RowKind, StatementRow

__all__ = [
    "BankAccount",
    "BankAccountMissing",
    "BankDesk",
    "RowKind",
    "StatementRow",
    "count_exceptions",
    "list_accounts",
    "statement_rows",
]
