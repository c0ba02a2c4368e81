"""Our own accounts at banks: whence money leaves and where it is looked for, so two people add, change and close them."""

import msgspec

from koban.audit import record
from koban.banking import store
from koban.banking.lines import check_originator
from koban.banking.types import (
    BankAccount,
    BankAccountBusy,
    BankAccountClosed,
    BankAccountExists,
    BankAccountMissing,
    BankProposal,
)
from koban.base import Instant
from koban.db import Tx


def check_account(tx: Tx, proposal: BankProposal) -> BankAccount:
    """Return an account as it would be kept; asked when it is proposed, and again when it is approved.

    Refuses: BankAccountMissing, BankAccountExists, BankAccountClosed, BankAccountBusy, PayeeInvalid.
    """
    earlier = store.find_account(tx, proposal.about)
    if proposal.kind == "close" or proposal.target == "changed":
        if earlier is None:
            raise BankAccountMissing(f"there is no account {proposal.about[:96]!r}")
        if store.is_busy(tx, earlier.id):
            raise BankAccountBusy("A batch of it is proposed or leaves; decide that first.")
    if proposal.kind == "close":
        assert earlier is not None, "looked for above"
        if earlier.closed_at is not None:
            raise BankAccountClosed(f"{earlier.id} is closed already")
        return earlier
    account = msgspec.json.decode(proposal.body, type=BankAccount)
    kept = msgspec.structs.replace(account, originator=check_originator(account.originator))
    if proposal.target == "new" and earlier is not None:
        raise BankAccountExists(f"{account.id} is {earlier.title}; propose a change of it")
    place = kept.originator
    for other in store.list_accounts(tx):
        there = other.originator
        same = (there.bank, there.branch, there.type, there.number) == (
            place.bank, place.branch, place.type, place.number,
        )  # fmt: skip
        if same and other.id != kept.id and other.closed_at is None:
            raise BankAccountExists(f"{other.id} is this account at the bank")
    return kept


def keep_account(tx: Tx, at: Instant, proposal: BankProposal, *, by: str) -> None:
    """Do what was proposed about an account and approved. Refuses: what `check_account` refuses."""
    account = check_account(tx, proposal)
    said = {"added_by": proposal.proposed_by, "added_at": at, "approved_by": by}
    if proposal.kind == "close":
        store.save_account(tx, msgspec.structs.replace(account, closed_at=at))
        record(tx, at, by, "bank.account_closed", account.id, {"proposal": proposal.id})
        return
    store.save_account(tx, msgspec.structs.replace(account, **said))
    details = {"proposal": proposal.id, "bank": account.originator.bank}
    if proposal.target == "new":
        record(tx, at, by, "bank.account_added", account.id, details)
    else:
        record(tx, at, by, "bank.account_changed", account.id, details)
