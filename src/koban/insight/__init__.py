"""Insight: maps from somebody's file to a log, and what a pack was worth on it.

Owns `log_truth` and `rule_hours`. Guarantees: what a file says about its rows is never seen by a rule; every share has its interval;
train and test parts are told apart.
"""

from koban.base import Share, wilson
from koban.insight.evaluate import Evaluation, NotReplayed, Part, evaluate, render, render_share
from koban.insight.health import Health, RuleHealth, measure_hours, rule_health, watch_health
from koban.insight.health_routes import health_endpoints
from koban.insight.mapping import Map, MapInvalid, Truth, load_map
from koban.insight.metrics import Measured, is_test, measure
from koban.insight.reading import FileUnreadable, MappedFile, MappedRow, Unreadable, open_mapped
from koban.insight.suggest import suggest_map

__all__ = [
    "Evaluation",
    "FileUnreadable",
    "Health",
    "Map",
    "MapInvalid",
    "MappedFile",
    "MappedRow",
    "Measured",
    "NotReplayed",
    "Part",
    "RuleHealth",
    "Share",
    "Truth",
    "Unreadable",
    "evaluate",
    "health_endpoints",
    "is_test",
    "load_map",
    "measure",
    "measure_hours",
    "open_mapped",
    "render",
    "render_share",
    "rule_health",
    "suggest_map",
    "watch_health",
    "wilson",
]
