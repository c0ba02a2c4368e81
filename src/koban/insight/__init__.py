"""Insight: maps from somebody's file to a log, and what a pack was worth on it.

Owns `log_truth`. Guarantees: what a file says about its rows is never seen by a rule; every share has its interval;
train and test parts are told apart.
"""

from koban.insight.evaluate import Evaluation, Part, evaluate, render, render_share
from koban.insight.mapping import Map, MapInvalid, Truth, load_map, query_of, reader_of
from koban.insight.metrics import Measured, Share, is_test, measure, wilson

__all__ = [
    "Evaluation",
    "Map",
    "MapInvalid",
    "Measured",
    "Part",
    "Share",
    "Truth",
    "evaluate",
    "is_test",
    "load_map",
    "measure",
    "query_of",
    "reader_of",
    "render",
    "render_share",
    "wilson",
]
