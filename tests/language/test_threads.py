"""Expressions are read by many threads: packs are checked and decisions explained while the decider compiles."""

import concurrent.futures
import sys

from koban.language.syntax import parse

TEXTS = [f"mentions(text, 'list_{n}') AND count_{n} >= {n * 37} AND (a_{n} OR NOT b_{n})" for n in range(60)]


def test_threads_that_read_at_once_read_what_one_alone_reads() -> None:
    alone = [parse(text) for text in TEXTS]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            read = list(threads.map(lambda _: [parse(text) for text in TEXTS * 5], range(4)))
    finally:
        sys.setswitchinterval(interval)
    assert read == [alone * 5] * 4
