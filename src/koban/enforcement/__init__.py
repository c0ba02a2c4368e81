"""Enforcement: sanctions, statements of reasons, the state of subjects, and how all of it is taken back.

Owns `sanctions`, `sanction_changes`, `statements`, `subject_states`, `notices` and `appeals`.
Publishes the log entries `sanction.imposed`, `.extended`, `.ended`, `.overturned` and `.amended`,
`appeal.opened` and `appeal.decided`.
Guarantees: what a subject may do follows from its sanctions (law 4); every sanction names its policy, its rule or
actor, and the entry behind it (law 3); overturning gives the state as if the sanction had never been, except that
nothing becomes harsher.
"""

from koban.enforcement.actions import TIMER_KIND, carry_out, timers_of
from koban.enforcement.appeal_routes import AppealDesk, appeal_endpoints
from koban.enforcement.appeals import Appeal, AppealDecided, AppealOpened, DecideAppeal, FileAppeal, link_token
from koban.enforcement.live import LiveSanctions
from koban.enforcement.logic import (
    appeal_until,
    deciders_of,
    derive_state,
    expire,
    occasion_of,
    plan_actions,
    statement_of,
)
from koban.enforcement.routes import SanctionBody, Submit, endpoints, sanction_body, undo_rule
from koban.enforcement.store import (
    Recorded,
    StateBody,
    count_in_force,
    decode_change,
    encode_change,
    entry_type,
    load,
    search_sanctions,
    state_body,
    write,
    write_notices,
)
from koban.enforcement.types import (
    Applied,
    Change,
    Command,
    ImposeSanction,
    LiftSanction,
    Notice,
    NoticePurpose,
    NoticeRole,
    Occasion,
    Outcome,
    OverturnSanctions,
    Plan,
    ReviewRequest,
    Sanction,
    SanctionMissing,
    Statement,
    Step,
    SubjectRef,
    SubjectState,
    UndoRule,
    Unmet,
)

__all__ = [
    "TIMER_KIND",
    "Appeal",
    "AppealDecided",
    "AppealDesk",
    "AppealOpened",
    "Applied",
    "Change",
    "Command",
    "DecideAppeal",
    "FileAppeal",
    "ImposeSanction",
    "LiftSanction",
    "LiveSanctions",
    "Notice",
    "NoticePurpose",
    "NoticeRole",
    "Occasion",
    "Outcome",
    "OverturnSanctions",
    "Plan",
    "Recorded",
    "ReviewRequest",
    "Sanction",
    "SanctionBody",
    "SanctionMissing",
    "StateBody",
    "Statement",
    "Step",
    "SubjectRef",
    "SubjectState",
    "Submit",
    "UndoRule",
    "Unmet",
    "appeal_endpoints",
    "appeal_until",
    "carry_out",
    "count_in_force",
    "deciders_of",
    "decode_change",
    "derive_state",
    "encode_change",
    "endpoints",
    "entry_type",
    "expire",
    "link_token",
    "load",
    "occasion_of",
    "plan_actions",
    "sanction_body",
    "search_sanctions",
    "state_body",
    "statement_of",
    "timers_of",
    "undo_rule",
    "write",
    "write_notices",
]
