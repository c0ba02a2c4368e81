"""Koban SQL: check an expression once, then compile it to Python, to a trace, and to SQL for DuckDB.

Guarantees: every expression is total; all compilations of it give the same value (held by conformance tables and by
generated expressions); nothing that people write is executed, only what `check` has taken and typed.
"""

from koban.language.catalogue import FUNCTIONS, OPERATORS
from koban.language.check import check
from koban.language.duckdb import decimal_column, register_functions, to_sql
from koban.language.emit import Emitted, emit_truth, emit_value, key_of
from koban.language.nodes import walk
from koban.language.program import Program, compile_program, compile_value
from koban.language.trace import TraceNode, Traces, compile_trace, compile_traces, show
from koban.language.types import (
    NEVER,
    Checked,
    Environment,
    FeatureInfo,
    LanguageErrors,
    ListInfo,
    Node,
    Scope,
    Type,
    Value,
    of_key,
)

__all__ = [
    "FUNCTIONS",
    "NEVER",
    "OPERATORS",
    "Checked",
    "Emitted",
    "Environment",
    "FeatureInfo",
    "LanguageErrors",
    "ListInfo",
    "Node",
    "Program",
    "Scope",
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
    "emit_truth",
    "emit_value",
    "key_of",
    "of_key",
    "register_functions",
    "show",
    "to_sql",
    "walk",
]
