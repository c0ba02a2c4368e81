"""A worker of its own process that claims and closes cases until nothing waits, or until somebody kills it."""

import sys
import time

from koban.base import Instant
from koban.cases import CloseCase, claim_next, close_case
from koban.cases.types import CaseClaimed, ClaimLost, QueueEmpty
from koban.db import Database


def work(url: str, schema: str, person: str, most: int) -> int:
    """Claim and close; return how many were closed."""
    database = Database.open(url, durable=False, schema=schema or None)
    closed = 0
    try:
        while closed < most:
            try:
                with database.write() as tx:
                    case = claim_next(tx, Instant(time.time_ns() // 1_000), ("scams", "money"), by=person)
            except QueueEmpty:
                return closed
            except CaseClaimed:
                continue
            command = CloseCase(case_id=case.id, outcome="unclear", by=person, fence=case.fence, note=person)
            try:
                with database.write() as tx:
                    close_case(tx, Instant(time.time_ns() // 1_000), command)
            except ClaimLost:
                print(f"lost {case.id}", flush=True)
                continue
            closed += 1
        return closed
    finally:
        database.close()


if __name__ == "__main__":
    print(work(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
