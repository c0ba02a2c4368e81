"""Run statements in ClickHouse, as chdb: JSON from standard input, JSON on the last line. Needs nothing of Koban."""

import json
import sys
from typing import Any

from chdb.session import Session

session = Session()


def answer(query: str) -> list[list[Any]]:
    """Return the rows of a query, or what went wrong."""
    try:
        found = session.query(query, "JSONCompactEachRow")
        return [json.loads(line) for line in found.data().splitlines()]
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        return [["error: " + str(error)[:400]]]


asked = json.load(sys.stdin)
for each in asked["setup"]:
    session.query(each)
print(json.dumps([answer(each) for each in asked["queries"]]))
