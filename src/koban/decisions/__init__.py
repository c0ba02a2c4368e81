"""Signals become one verdict with reasons. Owns `decisions` and `signals`; a decision once given never changes.

Owns `account_acts` and `index_place` too, which `koban.finding` fills: who did what is found by them.
"""

from koban.decisions.logic import conclude, describe_actions, fallback_verdict, remaining_verdict, verdict_name
from koban.decisions.store import ACTED_SQL
from koban.decisions.types import (
    VERDICT_NAMES,
    Allow,
    Block,
    Challenge,
    DecisionMissing,
    DecisionRecord,
    FeatureValue,
    Hold,
    HoldEnd,
    HoldEndWhy,
    HoldRecord,
    Inputs,
    SignalRecord,
    Verdict,
    VerdictName,
    Warn,
)

__all__ = [
    "ACTED_SQL",
    "VERDICT_NAMES",
    "Allow",
    "Block",
    "Challenge",
    "DecisionMissing",
    "DecisionRecord",
    "FeatureValue",
    "Hold",
    "HoldEnd",
    "HoldEndWhy",
    "HoldRecord",
    "Inputs",
    "SignalRecord",
    "Verdict",
    "VerdictName",
    "Warn",
    "conclude",
    "describe_actions",
    "fallback_verdict",
    "remaining_verdict",
    "verdict_name",
]
