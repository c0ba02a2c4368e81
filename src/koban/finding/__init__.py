"""Finding: which entries name which subject, which accounts share a thing, views that people keep, lists taken out.

Owns `entry_subjects`, `account_links` and `saved_views`; fills `account_acts`. Publishes nothing.
Guarantees: the index follows the log by itself, and one that went, is damaged or was made from another log is made again
from it; on SQLite it has a writer of its own, elsewhere its transactions are small; it holds ids and pseudonyms, never
what people wrote; what is exported is bounded, open and in the audit trail.
"""

from koban.finding.accounts import ANY, AccountLine, AccountsAsked, AccountsFound, list_accounts
from koban.finding.actions import (
    delete_view,
    events_behind,
    fit_index,
    follow,
    forget_gone,
    forget_links,
    index_lag,
    is_named,
    named_exactly,
    save_view,
    sealed_entries,
)
from koban.finding.entries import EntryLine, Span
from koban.finding.export import EXPORT_ROWS_MAX, csv_parts, ndjson_parts
from koban.finding.links import Link, Neighbour, Neighbourhood, neighbourhood
from koban.finding.routes import FindingDesk, Result, endpoints, look_for
from koban.finding.store import entries_of_event, search_entries, seqs_of, span_of
from koban.finding.types import (
    CaseElsewhere,
    DiscloseBody,
    DisclosedField,
    FieldNotSealed,
    IndexLag,
    SavedView,
    SealedFound,
    SealedHit,
    SealedQuery,
    SubjectHit,
    ViewMissing,
    ViewNotYours,
    ViewUnfit,
    Word,
)
from koban.finding.words import folded, words_matching

__all__ = [
    "ANY",
    "EXPORT_ROWS_MAX",
    "AccountLine",
    "AccountsAsked",
    "AccountsFound",
    "CaseElsewhere",
    "DiscloseBody",
    "DisclosedField",
    "EntryLine",
    "FieldNotSealed",
    "FindingDesk",
    "IndexLag",
    "Link",
    "Neighbour",
    "Neighbourhood",
    "Result",
    "SavedView",
    "SealedFound",
    "SealedHit",
    "SealedQuery",
    "Span",
    "SubjectHit",
    "ViewMissing",
    "ViewNotYours",
    "ViewUnfit",
    "Word",
    "csv_parts",
    "delete_view",
    "endpoints",
    "entries_of_event",
    "events_behind",
    "fit_index",
    "folded",
    "follow",
    "forget_gone",
    "forget_links",
    "index_lag",
    "is_named",
    "list_accounts",
    "look_for",
    "named_exactly",
    "ndjson_parts",
    "neighbourhood",
    "save_view",
    "sealed_entries",
    "search_entries",
    "seqs_of",
    "span_of",
    "words_matching",
]
