"""Run statements in Sail, which speaks Spark's SQL: JSON from standard input, JSON on the last line. Needs nothing of Koban."""

import decimal
import json
import sys
from typing import Any

from pysail.spark import SparkConnectServer
from pyspark.sql import SparkSession

server = SparkConnectServer("127.0.0.1", 0)
server.start(background=True)
spark = SparkSession.builder.remote(f"sc://127.0.0.1:{server.listening_address[1]}").getOrCreate()


def plain(value: Any) -> Any:
    """Return a value that JSON holds."""
    return int(value) if isinstance(value, decimal.Decimal) else value


def answer(query: str) -> list[list[Any]]:
    """Return the rows of a query, or what went wrong."""
    try:
        return [[plain(value) for value in row] for row in spark.sql(query).collect()]
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        return [["error: " + str(error)[:400]]]


asked = json.load(sys.stdin)
for each in asked["setup"]:
    spark.sql(each)  # statements that change something run at once
print(json.dumps([answer(each) for each in asked["queries"]]))
