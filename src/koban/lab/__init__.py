"""The detection lab: what a rule would have done before it does anything.

It reads a log, the live one or a named one, as of one moment, and says what a pack would have done to it. Owns what the
newest whole backtest of each version said (`kept.py`). Guarantees: SQL and the live engine find the same hits (law 2); lists and labels count as of each event;
what people wrote is opened only where a condition needs it, in memory, and is never part of a report on the live log.
"""

from koban.lab.backtest import backtest, hits_of
from koban.lab.behind import Behind, Counted, FeatureUnknown, behind, behind_subject, values_at
from koban.lab.render import render_report
from koban.lab.store import touch_times
from koban.lab.suggest import Step, Suggested, Suggestions, Threshold, suggest_rules, suggest_threshold
from koban.lab.types import (
    Caught,
    Engine,
    EngineUnfit,
    Log,
    NothingToTest,
    Question,
    Report,
    RuleFigures,
    Sample,
    TooLarge,
    Total,
    Workload,
)
from koban.lab.warehouse import rule_sql, spans_of, tables_sql, warehouse_tables
from koban.lab.why import Needed, Operand, WhyNot, why_not

__all__ = [
    "Behind",
    "Caught",
    "Counted",
    "Engine",
    "EngineUnfit",
    "FeatureUnknown",
    "Log",
    "Needed",
    "NothingToTest",
    "Operand",
    "Question",
    "Report",
    "RuleFigures",
    "Sample",
    "Step",
    "Suggested",
    "Suggestions",
    "Threshold",
    "TooLarge",
    "Total",
    "WhyNot",
    "Workload",
    "backtest",
    "behind",
    "behind_subject",
    "hits_of",
    "render_report",
    "rule_sql",
    "spans_of",
    "suggest_rules",
    "suggest_threshold",
    "tables_sql",
    "touch_times",
    "values_at",
    "warehouse_tables",
    "why_not",
]
