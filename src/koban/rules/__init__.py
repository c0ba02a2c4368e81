"""Rules: from conditions over events and features to signals, and which signals act.

Owns: compiling and explaining rules, their test cases, the modes in force, the budgets of people harmed.
Guarantees: the same log prefix gives the same signals; at most `cap_per_hour` people are harmed by a rule in an hour.
"""

from koban.language import TraceNode
from koban.rules.advice import advise, costs_of
from koban.rules.awake import AwakeRules
from koban.rules.budgets import Budgets
from koban.rules.cases import CasesReport, FailedCase, RuleResult, describe_failure, run_cases
from koban.rules.compile import CompiledRules, LivePhrases, compile_rules, render_trace
from koban.rules.expect import UNPROVEN_ACTIONS, LiveCeilings, ceiling_of, upper_bound
from koban.rules.logic import acts, harms, in_share, select
from koban.rules.modes import LiveModes, change_mode
from koban.rules.reference import action_words, duration_words, mode_words, pack_reference
from koban.rules.scope import CheckedRule, check_pack, check_rules, features_of, scope_of, typed_rules
from koban.rules.store import forget_harm, save_harm
from koban.rules.types import (
    BUDGET_TRIPPED,
    MODE_CHANGED,
    PACK_ACTIVATED,
    REVIEW_ALL_SWITCHED,
    RULE_EXPECTED,
    SNOOZE_SET,
    Applied,
    BudgetTripped,
    Circumstance,
    Disposition,
    ExpectationInvalid,
    Limited,
    ModeChange,
    ModeChanged,
    ModeInvalid,
    PackActivated,
    ReviewAllSwitched,
    RuleExpected,
    RuleMissing,
    Signal,
    SnoozeSet,
    Why,
    Withheld,
    mode_entry_type,
)

__all__ = [
    "BUDGET_TRIPPED",
    "MODE_CHANGED",
    "PACK_ACTIVATED",
    "REVIEW_ALL_SWITCHED",
    "RULE_EXPECTED",
    "SNOOZE_SET",
    "UNPROVEN_ACTIONS",
    "Applied",
    "AwakeRules",
    "BudgetTripped",
    "Budgets",
    "CasesReport",
    "CheckedRule",
    "Circumstance",
    "CompiledRules",
    "Disposition",
    "ExpectationInvalid",
    "FailedCase",
    "Limited",
    "LiveCeilings",
    "LiveModes",
    "LivePhrases",
    "ModeChange",
    "ModeChanged",
    "ModeInvalid",
    "PackActivated",
    "ReviewAllSwitched",
    "RuleExpected",
    "RuleMissing",
    "RuleResult",
    "Signal",
    "SnoozeSet",
    "TraceNode",
    "Why",
    "Withheld",
    "action_words",
    "acts",
    "advise",
    "ceiling_of",
    "change_mode",
    "check_pack",
    "check_rules",
    "compile_rules",
    "costs_of",
    "describe_failure",
    "duration_words",
    "features_of",
    "forget_harm",
    "harms",
    "in_share",
    "mode_entry_type",
    "mode_words",
    "pack_reference",
    "render_trace",
    "run_cases",
    "save_harm",
    "scope_of",
    "select",
    "typed_rules",
    "upper_bound",
]
