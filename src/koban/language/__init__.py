"""Koban SQL: check an expression once, then compile it to Python, to a trace, and to SQL for DuckDB.

Guarantees: every expression is total; all compilations of it give the same value (held by conformance tables and by
generated expressions); nothing that people write is executed, only what `check` has taken and typed.
"""

from koban.language.aggregates import SQUARES_CUT, deviation, last_distinct, most_frequent
from koban.language.catalogue import FUNCTIONS, OPERATORS
from koban.language.check import check
from koban.language.dialects import DIALECTS, Dialect
from koban.language.duckdb import SQL_TYPES, decimal_column, register_functions, to_sql
from koban.language.emit import Emitted, emit_truth, emit_value, key_of
from koban.language.hints import whole_likes
from koban.language.japanese import in_japanese
from koban.language.nodes import walk
from koban.language.program import Program, compile_program, compile_value
from koban.language.reason import implies
from koban.language.trace import TraceNode, Traces, compile_trace, compile_traces, show
from koban.language.types import (
    NEVER,
    SCALE,
    SCORE,
    Checked,
    Environment,
    FeatureInfo,
    LanguageErrors,
    ListInfo,
    Node,
    Scope,
    ScoreInfo,
    Type,
    Value,
    of_key,
    score_key,
)
from koban.language.warehouse import NotInDialect, dialect_named, in_quotes, literal, to_dialect

__all__ = [
    "DIALECTS",
    "FUNCTIONS",
    "NEVER",
    "OPERATORS",
    "SCALE",
    "SCORE",
    "SQL_TYPES",
    "SQUARES_CUT",
    "Checked",
    "Dialect",
    "Emitted",
    "Environment",
    "FeatureInfo",
    "LanguageErrors",
    "ListInfo",
    "Node",
    "NotInDialect",
    "Program",
    "Scope",
    "ScoreInfo",
    "TraceNode",
    "Traces",
    "Type",
    "Value",
    "check",
    "compile_program",
    "compile_trace",
    "compile_traces",
    "compile_value",
    "decimal_column",
    "deviation",
    "dialect_named",
    "emit_truth",
    "emit_value",
    "implies",
    "in_japanese",
    "in_quotes",
    "key_of",
    "last_distinct",
    "literal",
    "most_frequent",
    "of_key",
    "register_functions",
    "score_key",
    "show",
    "to_dialect",
    "to_sql",
    "walk",
    "whole_likes",
]
