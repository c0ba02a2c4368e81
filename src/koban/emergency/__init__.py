"""Emergency: a rule typed by whoever is on shift that lives for an hour, and the list from which anything is undone.

Owns `emergency_rules` and the log entries `emergency.started`, `.extended` and `.ended`.
Guarantees: such a rule only hides, holds, mutes or freezes, against a capped number of people; it was previewed before;
it is gone at its end by itself; its text stands in the log, so a replay and an explanation know it (law 2); a review of
it is owed by the next business morning. Whatever a rule did to anybody in any minute is listed with its state now.
"""

from koban.emergency.live import LiveEmergency
from koban.emergency.logic import check_started, end_of, next_morning, rule_of
from koban.emergency.overlay import NO_OVERLAY, Overlay, compile_overlay
from koban.emergency.routes import Emergencies, emergency_body, endpoints
from koban.emergency.types import (
    EMERGENCY_ENDED,
    EMERGENCY_EXTENDED,
    EMERGENCY_STARTED,
    EMERGENCY_TIMER,
    Emergency,
    EmergencyChange,
    EmergencyEnded,
    EmergencyExtended,
    EmergencyInvalid,
    EmergencyMissing,
    EmergencyNeedsSecond,
    EmergencyNotPreviewed,
    EmergencyOver,
    EmergencyStarted,
    EndEmergency,
    ExtendEmergency,
    Preview,
    PreviewSample,
)
from koban.emergency.undoing import UndoFilter, UndoLine, UndoSummary, list_undo, undo_endpoints, undo_lines

__all__ = [
    "EMERGENCY_ENDED",
    "EMERGENCY_EXTENDED",
    "EMERGENCY_STARTED",
    "EMERGENCY_TIMER",
    "NO_OVERLAY",
    "Emergencies",
    "Emergency",
    "EmergencyChange",
    "EmergencyEnded",
    "EmergencyExtended",
    "EmergencyInvalid",
    "EmergencyMissing",
    "EmergencyNeedsSecond",
    "EmergencyNotPreviewed",
    "EmergencyOver",
    "EmergencyStarted",
    "EndEmergency",
    "ExtendEmergency",
    "LiveEmergency",
    "Overlay",
    "Preview",
    "PreviewSample",
    "UndoFilter",
    "UndoLine",
    "UndoSummary",
    "check_started",
    "compile_overlay",
    "emergency_body",
    "end_of",
    "endpoints",
    "list_undo",
    "next_morning",
    "rule_of",
    "undo_endpoints",
    "undo_lines",
]
