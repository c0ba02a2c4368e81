"""Cases: work for people, one open case per queue and subject, due by its queue's calendar, held under a fenced claim.

Owns `cases` and its tables: signals, members, who may not have it, touches, pauses, the timeline.
Publishes `case.opened`, `case.paused`, `case.resumed`, `case.moved`, `case.breached`, `case.closed`, `case.reopened`.
Guarantees: a further signal, and nearly the same text, join the open case; a due time is fixed under the calendar of
its moment and moves only by rows of the pause ledger; a case is closed once, by whoever holds the claim and did not
decide what is appealed; nobody is given again what they skipped; closing asks for the labels that follow.
"""

from koban.cases.actions import claim, claim_next, hand_over, opened, release, skip
from koban.cases.judging import (
    DUE_TIMER,
    PAUSE_TIMER,
    appeal_case,
    breach_case,
    close_case,
    end_pause,
    hours_of,
    move_case,
    pause_case,
    reopen_case,
    resume_case,
)
from koban.cases.likeness import sketch_of, text_of
from koban.cases.live import LiveCases, Nature
from koban.cases.priority import stake_of
from koban.cases.routes import CaseBody, Submit, case_body, endpoints
from koban.cases.store import count_open, read_case, read_members, read_signals, search_cases, write
from koban.cases.types import (
    Case,
    CaseClosed,
    CaseMissing,
    CaseMoved,
    CaseOpened,
    CasePaused,
    CaseReopened,
    CaseResumed,
    CaseSignal,
    CaseStep,
    CloseCase,
    Closed,
    MoveCase,
    PauseCase,
    ReopenCase,
    ResumeCase,
)
from koban.cases.work_routes import Workbench, work_endpoints

__all__ = [
    "DUE_TIMER",
    "PAUSE_TIMER",
    "Case",
    "CaseBody",
    "CaseClosed",
    "CaseMissing",
    "CaseMoved",
    "CaseOpened",
    "CasePaused",
    "CaseReopened",
    "CaseResumed",
    "CaseSignal",
    "CaseStep",
    "CloseCase",
    "Closed",
    "LiveCases",
    "MoveCase",
    "Nature",
    "PauseCase",
    "ReopenCase",
    "ResumeCase",
    "Submit",
    "Workbench",
    "appeal_case",
    "breach_case",
    "case_body",
    "claim",
    "claim_next",
    "close_case",
    "count_open",
    "end_pause",
    "endpoints",
    "hand_over",
    "hours_of",
    "move_case",
    "opened",
    "pause_case",
    "read_case",
    "read_members",
    "read_signals",
    "release",
    "reopen_case",
    "resume_case",
    "search_cases",
    "sketch_of",
    "skip",
    "stake_of",
    "text_of",
    "work_endpoints",
    "write",
]
