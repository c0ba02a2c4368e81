"""The verb of labels. The caller has made the log entry `seq` and applies the change to its `LiveLabels` afterwards."""

import re
from typing import Final

from koban.base import Instant, Problem
from koban.db import Tx
from koban.labels import store
from koban.labels.types import SUBJECT_CHARS_MAX, TRUTH, WORD_CHARS_MAX, LabelInvalid, LabelSet

TRUTHS: Final = ("fraud", "honest")
_WORD: Final = re.compile(r"[a-z][a-z0-9_]*")


def set_label(tx: Tx, seq: int, at: Instant, change: LabelSet, *, ordinal: int = 0) -> None:
    """Write down what a source says about a subject.

    Refuses: LabelInvalid.
    """
    problems = []
    for path, word in (("/subject_kind", change.subject_kind), ("/label", change.label), ("/value", change.value)):
        if word is not None and (len(word) > WORD_CHARS_MAX or not _WORD.fullmatch(word)):
            detail = f"Lower-case letters, digits and _, starting with a letter, at most {WORD_CHARS_MAX}."
            problems.append(Problem(path=path, detail=detail))
    if change.label == TRUTH and change.value is not None and change.value not in TRUTHS:
        problems.append(Problem(path="/value", detail=f"The truth is one of {', '.join(TRUTHS)}."))
    if not 0 < len(change.subject_id) <= SUBJECT_CHARS_MAX or not change.subject_id.isprintable():
        problems.append(Problem(path="/subject_id", detail=f"Between 1 and {SUBJECT_CHARS_MAX} printable characters."))
    if change.expires_at is not None and change.expires_at <= at:
        problems.append(Problem(path="/expires_at", detail="The expiry must lie in the future."))
    if problems:
        raise LabelInvalid("The label was not set.", problems=tuple(problems))
    store.insert(tx, seq, at, change, ordinal=ordinal)
