"""The border of our own accounts at banks: added, changed and closed by two people."""

import msgspec

from koban.access import Call, Endpoint, endpoint
from koban.banking import store
from koban.banking.lines import check_originator
from koban.banking.routes import (
    ACCOUNT_REFUSALS,
    AccountBody,
    BankDesk,
    ProposalView,
    ReasonBody,
    account_from,
    proposal,
    proposal_view,
)
from koban.banking.types import BankAccount, BankAccountMissing, BankProposal, MatchUnfit, PayeeInvalid
from koban.db import Tx

NEW_REASON = "a new account of ours"
UNSAID = {"added_by": "", "added_at": 0, "approved_by": ""}


class AccountAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for a second person; no proposal: the account stands so already."""

    account: BankAccount
    proposal: ProposalView | None


class ChangeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of an account as it is to be, and why. A closed one is opened again."""

    account: AccountBody
    reason: str


def account_endpoints(desk: BankDesk) -> list[Endpoint]:
    """Describe the routes."""

    def listed(_call: Call) -> list[BankAccount]:
        with desk.database.read() as tx:
            return store.list_accounts(tx)

    def added(call: Call) -> AccountAnswer:
        return propose_account(
            desk, account_from(call.body_as(AccountBody)), reason=NEW_REASON, by=call.principal.actor
        )

    def changed(call: Call) -> AccountAnswer:
        body = call.body_as(ChangeBody)
        account = account_from(body.account)
        if account.id != call.path["id"]:
            raise BankAccountMissing(f"the body is about {account.id}, the path about {call.path['id'][:96]!r}")
        return propose_account(desk, account, reason=body.reason, by=call.principal.actor, is_new=False)

    def closed(call: Call) -> ProposalView:
        wanted = proposal(kind="close", about=call.path["id"], reason=call.body_as(ReasonBody).reason)
        return proposal_view(desk.propose(wanted, call.principal.actor))

    refusals = (*ACCOUNT_REFUSALS, PayeeInvalid, MatchUnfit)
    return [
        endpoint("GET", "/v1/bank/accounts", "bank.read", listed, summary="List our accounts at banks",
                 returns=list[BankAccount]),
        endpoint("POST", "/v1/bank/accounts", "bank.manage", added, summary="Propose one of our accounts at a bank",
                 body=AccountBody, returns=AccountAnswer, raises=refusals,
                 description="A second person approves it under `/v1/bank/proposals`; until then nothing leaves from it and "
                 "no statement of it is taken. The same again changes nothing."),
        endpoint("POST", "/v1/bank/accounts/{id}/change", "bank.manage", changed,
                 summary="Propose how one of our accounts is to be from now on", body=ChangeBody, returns=AccountAnswer,
                 raises=refusals, description="A second person approves it. Not while a batch of it is proposed or leaves."),
        endpoint("POST", "/v1/bank/accounts/{id}/close", "bank.manage", closed,
                 summary="Propose that one of our accounts is closed", body=ReasonBody, returns=ProposalView,
                 raises=refusals, description="A second person approves it. Statements of it are still taken: what left may "
                 "come back."),
    ]  # fmt: skip


def propose_account(
    desk: BankDesk, account: BankAccount, *, reason: str, by: str, is_new: bool = True
) -> AccountAnswer:
    """Propose one of our accounts, new or changed, unless it stands so already.

    Refuses: BankAccountMissing, BankAccountExists, BankAccountBusy, PayeeInvalid, MatchUnfit.
    """
    with desk.database.read() as tx:
        there = stands_so(tx, account)
        waiting = _waiting(tx, account)
    if there is not None:
        return AccountAnswer(account=there, proposal=None)
    if waiting is not None:
        return AccountAnswer(account=account, proposal=proposal_view(waiting))
    wanted = proposal(
        kind="account",
        about=account.id,
        reason=reason,
        target="new" if is_new else "changed",
        body=msgspec.json.encode(account).decode(),
    )
    return AccountAnswer(account=account, proposal=proposal_view(desk.propose(wanted, by)))


def stands_so(tx: Tx, account: BankAccount) -> BankAccount | None:
    """Return the account that stands just as it is asked for. Refuses: PayeeInvalid."""
    earlier = store.find_account(tx, account.id)
    wanted = msgspec.structs.replace(account, originator=check_originator(account.originator), **UNSAID)
    return earlier if earlier is not None and msgspec.structs.replace(earlier, **UNSAID) == wanted else None


def _waiting(tx: Tx, account: BankAccount) -> BankProposal | None:
    """Return the proposal that asks for just the same."""
    body = msgspec.json.encode(account).decode()
    return next((each for each in store.waiting_proposals(tx, about=account.id) if each.body == body), None)
