"""Labels: what somebody finally said about a subject, above all whether it was fraud.

Owns: the table `labels`, the live view, the payload of `label.set`.
Guarantees: a person's word outranks an import's and a rule's; labels are dated, owned, can expire, and corrections are
new rows.
"""

from koban.labels.actions import TRUTHS, set_label
from koban.labels.live import LiveLabels
from koban.labels.store import all_labels, labels_of
from koban.labels.types import LABEL_SET, TRUTH, LabelInvalid, LabelRow, LabelSet, LabelSource

__all__ = [
    "LABEL_SET",
    "TRUTH",
    "TRUTHS",
    "LabelInvalid",
    "LabelRow",
    "LabelSet",
    "LabelSource",
    "LiveLabels",
    "all_labels",
    "labels_of",
    "set_label",
]
