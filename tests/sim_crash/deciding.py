"""A process that decides until it is killed, and says on standard output what it has answered.

Arguments: data folder, pack, a word for this round (its events are named by it), and `durable` or `hasty`.
"""

import base64
import os
import pathlib
import random
import sys
import threading

import structlog

from koban.app import Koban, open_koban
from koban.audit import SystemSecrets
from koban.base import SystemClock, limits, to_rfc3339
from koban.base.settings import read_settings
from koban.events import decode, encode
from koban.events.routes import Decided, Taken

THREADS = 4
# Features are written back as after hours of load: in slices, the oldest of which is folded all the time.
LIMITS = {"FEATURES_BEHIND_MAX": 100, "FEATURES_IN_SLICES_MAX": 200}


def main() -> None:
    data, pack, name, how = sys.argv[1:]
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # standard output is for answers
    for name_of_limit, value in LIMITS.items():
        setattr(limits, name_of_limit, value)
    settings = read_settings({"KOBAN_DATA": data, "KOBAN_PACK": pack})
    with open_koban(settings, SystemClock(), random.Random(name), SystemSecrets(), durable=how == "durable") as koban:
        say("ready", b"")
        threads = [threading.Thread(target=work, args=(koban, f"{name}-{number}")) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def work(koban: Koban, name: str) -> None:
    """Send events until the process is killed."""
    chance = random.Random(name)
    number = 0
    while True:
        ids = [f"{name}-{number + i}" for i in range(chance.choice((1, 1, 1, 5)))]
        number += len(ids)
        asynchronous = chance.random() < 0.2
        items = decode(encode([make(one, chance) for one in ids]), "application/json")
        results = koban.desk.submit(items, koban.clock.now(), asynchronous).result()
        for event_id, result in zip(ids, results, strict=True):
            assert isinstance(result, Decided | Taken), result
            say(event_id, bytes(result.body) if isinstance(result, Decided) else b"")


def make(event_id: str, chance: random.Random) -> dict[str, object]:
    """Make an event that fills some pages."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "shop",
        "type": "message.sent",
        "time": to_rfc3339(SystemClock().now()),
        "data": {
            "sender": {"id": f"a{chance.randrange(300)}"},
            "recipient": {"id": f"b{chance.randrange(300)}"},
            "message": {"id": event_id},
            "text": "直取引しませんか" if chance.random() < 0.2 else "こんにちは" * chance.randrange(200),
        },
    }


def say(word: str, body: bytes) -> None:
    """Write one line at once: from here on somebody relies on it."""
    os.write(1, word.encode() + b" " + base64.b64encode(body) + b"\n")


if __name__ == "__main__":
    assert pathlib.Path(sys.argv[2]).is_dir(), "the pack's folder"
    main()
