"""Cases: work for people, one open case per queue and subject, due by its queue's clock, held under a fenced claim.

Owns `cases` and `case_signals`.
Publishes `case.opened` and `case.closed`.
Guarantees: a further signal joins the open case; a due time is fixed when the case is opened; a case is closed once,
by whoever holds the claim; closing asks for the label that follows.
"""

from koban.cases.actions import claim, claim_next, close_case, release
from koban.cases.live import LiveCases
from koban.cases.routes import CaseBody, Submit, case_body, endpoints
from koban.cases.store import count_open, read_case, read_signals, search_cases, write
from koban.cases.types import (
    Case,
    CaseClosed,
    CaseMissing,
    CaseOpened,
    CaseSignal,
    CaseStep,
    CloseCase,
    Closed,
)

__all__ = [
    "Case",
    "CaseBody",
    "CaseClosed",
    "CaseMissing",
    "CaseOpened",
    "CaseSignal",
    "CaseStep",
    "CloseCase",
    "Closed",
    "LiveCases",
    "Submit",
    "case_body",
    "claim",
    "claim_next",
    "close_case",
    "count_open",
    "endpoints",
    "read_case",
    "read_signals",
    "release",
    "search_cases",
    "write",
]
