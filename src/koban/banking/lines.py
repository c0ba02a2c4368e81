"""From a line to what follows of it: what it could be is looked up here, what it is is decided in `matching`.

And what is sealed: payees under their owner's key until they leave, under the key of the day from then on.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from koban.banking import directory, expected_store, kana, matching, store
from koban.banking.types import (
    BankAccount,
    BankLine,
    CashOut,
    Originator,
    Payee,
    PayeeInvalid,
    ReadRow,
    StatementRow,
)
from koban.base import Instant, Problem
from koban.db import Tx
from koban.vault import Vault

CANDIDATES_MAX: Final = 20  # of one amount; more are ambiguous anyway
RETURN_FEE_MAX_MINOR: Final = 2_000  # what a bank may keep of a transfer that it brings back (組戻し手数料)
SEALED: Final = "bank"  # the purpose of dated keys: what left in files, and came in them


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What a line says of people."""

    counterparty: str = ""
    narrative: str = ""


def check_payee(payee: Payee) -> Payee:
    """Return a payee as files name it: bank and branch exist, the number has seven digits, the name fits.

    Refuses: PayeeInvalid.
    """
    directory.check_place(payee.bank, payee.branch, field="/payee")
    number = _number(payee.number, "/payee/number", 7)
    return msgspec.structs.replace(payee, number=number, name=kana.bank_name(payee.name, field="payee/name", most=30))


def check_originator(originator: Originator) -> Originator:
    """Return one of our accounts as files name it. Refuses: PayeeInvalid."""
    directory.check_place(originator.bank, originator.branch, field="/originator")
    return msgspec.structs.replace(
        originator,
        number=_number(originator.number, "/originator/number", 7),
        consignor=_number(originator.consignor, "/originator/consignor", 10),
        name=kana.bank_name(originator.name, field="originator/name", most=40),
    )


def _number(written: str, path: str, digits: int) -> str:
    if not (written.isascii() and written.isdigit() and 1 <= len(written) <= digits):
        problem = Problem(path=path, detail=f"{written[:20]!r} is no number of up to {digits} digits.")
        raise PayeeInvalid("a number is none", problems=(problem,))
    return written.rjust(digits, "0")


def context_of(cash_out_id: str) -> str:
    """Return what a payee's seal is bound to."""
    return f"bank:{cash_out_id}"


def open_payee(vault: Vault, tx: Tx, one: CashOut) -> Payee | None:
    """Return where a cash-out goes; None: its owner was erased before it left."""
    sealed, _ = store.read_payee(tx, one.id)
    fields = None if sealed is None else vault.open(tx, one.owner, context_of(one.id), sealed)
    return None if fields is None else msgspec.convert(fields, Payee)


def open_sent(vault: Vault, tx: Tx, sealed: bytes) -> Payee | None:
    """Return a payee as it stood in a file; None: its years are over."""
    opened = vault.open_dated(tx, SEALED, sealed)
    return None if opened is None else msgspec.json.decode(opened, type=Payee)


def open_words(vault: Vault, tx: Tx, sealed: bytes) -> Words:
    """Return name and note of a line; nothing where its years are over."""
    opened = vault.open_dated(tx, SEALED, sealed)
    return Words() if opened is None else msgspec.json.decode(opened, type=Words)


def statement_rows(
    vault: Vault, tx: Tx, *, account: str, since: str, until: str, after: str = "", limit: int
) -> list[StatementRow]:
    """Return the lines of an account's statements by id, those booked from one day to another; each line once.

    What only a notice told, and what came before in another file, is left out.
    """
    found = store.list_lines(
        tx, filters={"account": account}, after=after, limit=limit, since=since, until=until, counted=True
    )
    rows = []
    for line, sealed in found:
        words = open_words(vault, tx, sealed)
        shared = {name: getattr(line, name) for name in StatementRow.__struct_fields__ if hasattr(line, name)}
        rows.append(StatementRow(counterparty=words.counterparty, narrative=words.narrative, **shared))
    return rows


def sames_of(vault: Vault, rows: Sequence[ReadRow]) -> list[str]:
    """Return for each row what it has in common with itself in another file: the bank's id, else all that it says.

    Rows that say the same within one file are numbered: two equal payments of a day are two.
    """
    seen: dict[str, int] = {}
    sames = []
    for row in rows:
        if row.bank_id:
            same = f"{row.booked_on}:{row.amount_minor}:{row.bank_id}"[:120]
        else:
            said = msgspec.json.encode(
                [row.booked_on, row.value_on, row.amount_minor, row.reference, row.counterparty, row.narrative]
            )
            same = vault.digest(said).hex()
        seen[same] = seen.get(same, 0) + 1
        sames.append(f"{same}#{seen[same]}")
    return sames


WORD_CHARS_MIN: Final = 4  # a shorter reference is in many notes


def words_of(row: StatementRow) -> list[str]:
    """Return what of a line may be a reference: as banks carry it, alone or among other words."""
    whole = [row.reference, row.reference.lstrip("0")]
    split = re.split(r"[^0-9A-Za-z-]+", f"{row.reference} {row.counterparty} {row.narrative}")
    found = [each for each in (*whole, *split) if len(each) >= WORD_CHARS_MIN]
    return list(dict.fromkeys(each.upper() for each in found))


def rule_line(vault: Vault, tx: Tx, account: BankAccount, row: StatementRow, *, at: Instant) -> matching.Match:
    """Say what a line of a statement is."""
    referred = store.cash_out_by_reference(tx, row.reference) if row.reference else None
    batches, candidates = [], []
    if referred is None and row.amount_minor < 0:
        batches = [
            matching.OpenBatch(id=batch, value_on=day, count=count, open_minor=open_minor)
            for batch, day, count, open_minor in store.open_batches(tx, account.id)
        ]
    if referred is None and (row.kind == "return" or row.amount_minor < 0):
        candidates = [
            matching.Candidate(
                cash_out=one, name=payee.name if (payee := open_sent(vault, tx, sealed)) is not None else ""
            )
            for one, sealed in store.of_amount(
                tx,
                account.id,
                abs(row.amount_minor),
                returned=row.amount_minor > 0,
                limit=CANDIDATES_MAX,
                over_minor=RETURN_FEE_MAX_MINOR if row.amount_minor > 0 else 0,
            )
        ]
    expected = []
    if referred is None and row.amount_minor > 0 and row.kind != "return":
        found = expected_store.of_references(tx, words_of(row))
        expected = [each for each in found if expected_store.is_open(each, at)]
    return matching.match_row(
        row, account, referred=referred, batches=batches, candidates=candidates, expected=expected
    )


class Ruled(msgspec.Struct, frozen=True, kw_only=True):
    """The posting that follows from a line."""

    template: str
    parameters: Mapping[str, str | int]
    target: str
    detail: str = ""
    level: str | None = None

    @staticmethod
    def of(tx: Tx, account: BankAccount, line: BankLine, found: matching.Match) -> "Ruled":
        """Return the posting of a match that stands."""
        amount = abs(line.amount_minor)
        match found:
            case matching.Pays(cash_out=target):
                given: dict[str, str | int] = {"batch": target, "amount": amount, "bank_fee": 0}
                return Ruled(template="cash_out_paid", parameters=given | {"bank_line": line.id}, target=target)
            case matching.PaysBatch(batch=target, fee_minor=fee):
                given = {"batch": target, "amount": amount - fee, "bank_fee": fee}
                return Ruled(template="cash_out_paid", parameters=given | {"bank_line": line.id}, target=target)
            case matching.Returns(cash_out=target):
                one = store.find_cash_out(tx, target)
                assert one is not None, "it was matched"
                back = one.fee_minor if account.gives_fee_back else 0
                given = {"account": one.owner, "amount": amount, "fee_back": back}
                return Ruled(template="cash_out_came_back", parameters=given | {"bank_line": line.id}, target=target)
            case matching.Receives(expected=target):
                awaited = expected_store.find(tx, target)
                assert awaited is not None, "it was matched"
                if awaited.kind == "order":
                    given = {"order": awaited.owner, "payment": line.id, "amount": amount}
                    return Ruled(template="order_paid_bank", parameters=given, target=target, level=awaited.level)
                given = {"account": awaited.owner, "bank_line": line.id, "amount": amount}
                return Ruled(template="cash_in", parameters=given, target=target, level=awaited.level)
            case matching.Fee():
                template = "bank_fee_charged" if line.amount_minor < 0 else "bank_fee_given_back"
                return Ruled(template=template, parameters={"bank_line": line.id, "amount": amount}, target="fee")
            case matching.Unexplained():
                raise AssertionError("what nothing explains moves no money")
