"""The console: server-rendered pages for the people who work with Koban, in Japanese and English.

Owns no table. Guarantees: every page passes the same permission check as the API and works without script; what is
personal stays sealed; whatever harms or frees somebody shows its consequence first and asks for a reason.
"""

from koban.access import Endpoint
from koban.console import (
    access,
    accounts,
    appeals,
    bank,
    board,
    bookings,
    cases,
    closing,
    decision,
    decisions,
    emergency,
    entrance,
    exceptions,
    expected,
    keep,
    lab,
    lists,
    money,
    oncall,
    own,
    pay_order,
    payments,
    refunds,
    reroute,
    rule_limits,
    rules,
    sanctions,
    search,
    story,
    subjects,
    suggest,
    truth,
    under,
    workspace,
)
from koban.console.kit import ConsoleKit, Explained, Figures
from koban.console.pages import problem_page

__all__ = ["ConsoleKit", "Explained", "Figures", "endpoints", "problem_page"]


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return every page of the console."""
    parts = (
        entrance, access, board, search, accounts, decisions, decision, under, rules, rule_limits, sanctions, subjects, cases,
        workspace, appeals, emergency, lists, lab, suggest, oncall, keep, story, truth, own, money, closing,
        refunds, reroute, pay_order, payments, bank, expected, exceptions, bookings,
    )  # fmt: skip
    return tuple(each for part in parts for each in part.endpoints(kit))
