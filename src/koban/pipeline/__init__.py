"""The synchronous flow: event in, decision out, with everything it brings about, in one transaction.

`flow.decide` is the whole of it on one page; `memory` is what it reads, `rows` what it writes, `desk` how work gets to
the decider's thread, `commands` what people change, `explain` how a decision is recomputed.
"""

from koban.pipeline.desk import Desk
from koban.pipeline.explain import Explained, explain
from koban.pipeline.memory import Memory

__all__ = ["Desk", "Explained", "Memory", "explain"]
