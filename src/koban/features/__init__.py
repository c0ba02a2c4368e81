"""Windowed values per subject: the same live, replayed after a crash, and in SQL over the archive.

Owns: feature state (tables `feature_state`, `feature_slices`, `feature_layout`, `feature_watermark`), the compiler of feature
definitions, and their DuckDB form. Publishes nothing.

What a value is, exactly:

- A feature belongs to a kind of subject. It counts the log entries of the event types in its `by`, at the subject that
  the path there names, where `where` is true (not false, not NULL). Its value is asked as of a log entry, which counts
  itself unless `excluding: current`.
- A subject that is not named (NULL) has the value NULL. A subject without anything counted has the counts 0, and
  NULL for everything else. `x` being NULL is never counted, except by count(*), which looks at no x.
- A window of w is the slot of w/60, aligned to 1970-01-01T00:00Z of the log time, in which the asking entry falls,
  and the 59 slots before it: between 59/60 w and w. Event time plays no part. `ever` has no end.
- sum and avg hold exact integers (decimals scaled by 10^6) of any size; a sum beyond 64 bits or decimal(18,6) reads
  NULL, and reads right again when the window has let go of it. avg is total / count, a decimal cut towards zero like
  the language's `/`; NULL beyond decimal(18,6).
- count(distinct x) is exactly min(true count, bound): the `bound` last seen values are kept with the slot they were
  last seen in. Long and sealed texts are told apart by a 128-bit digest.
- min and max compare numbers and times. first and last are the first and last x that is not NULL, in log order inside
  the window; of a text, the first 256 characters. age_days() is whole days of 24 hours since the first counted entry.
- stddev is that of a sample, the square root of the exact variance, cut at six digits; NULL below two values.
- most_frequent(x) looks at the `bound` values seen last inside the window; of several, the one seen last wins.
- A sequence counts the events that are its last step, came within their time after the newest event that was the step
  before (itself within its time of the one before, and so on), at the same subject, and ended inside the window.
- linked_sanctioned, linked_youngest and linked_oldest look at the `bound` different subjects x seen last inside the
  window: how many stand under a sanction as of the entry, and whole days since the youngest or oldest was first counted.
- A pair of subjects is a subject of its own (`account+account`); `everyone` is one that all events share.
- rate(a, b) is a per its window over b per its window; peers(a, total, members) is a × members / total, the last two at
  the subject that the peers share. Decimals, cut towards zero, NULL as a ratio is.
- ratio(a, b) is a / b of two features at the same subject, a decimal cut towards zero; NULL where either is NULL or b
  is 0 or the answer is beyond decimal(18,6).

Guarantees: `apply` can be undone exactly, entry by entry; a crash loses nothing that was committed; a stored record
is never applied to twice; the same log gives the same values in DuckDB.
"""

from koban.features.check import check_features
from koban.features.expressions import check_argument, check_condition
from koban.features.generate import Bind
from koban.features.plan import SLOTS, Plan, bare_path, plan_features, read_by_features, resolve_key
from koban.features.program import FeatureProgram, compile_features, functions_reading, new_features
from koban.features.scope import features_in_scope, types_read
from koban.features.sql import archive_relation, feature_sql
from koban.features.state import Entry, FeatureStore, backfill, stored_watermark
from koban.features.subjects import members_of, subject_at
from koban.features.values import Step
from koban.features.warehouse import WarehouseQuery, feature_in_dialect, refuse_sealed

__all__ = [
    "SLOTS",
    "Bind",
    "Entry",
    "FeatureProgram",
    "FeatureStore",
    "Plan",
    "Step",
    "WarehouseQuery",
    "archive_relation",
    "backfill",
    "bare_path",
    "check_argument",
    "check_condition",
    "check_features",
    "compile_features",
    "feature_in_dialect",
    "feature_sql",
    "features_in_scope",
    "functions_reading",
    "members_of",
    "new_features",
    "plan_features",
    "read_by_features",
    "refuse_sealed",
    "resolve_key",
    "stored_watermark",
    "subject_at",
    "types_read",
]
