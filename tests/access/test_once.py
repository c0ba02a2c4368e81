"""A command with an Idempotency-Key is done once, whoever sends it again and however it ended."""

import dataclasses
from collections.abc import Callable

import msgspec
import pytest

from koban.access import Answer, Call, Once, Principal, endpoint
from koban.access.once import CommandUnderWay, KeyUnfit, KeyUsed
from koban.access.types import Grant
from koban.base import Instant, Refusal
from koban.db import Database


class Made(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    secret: str = "s3cret"


@dataclasses.dataclass
class Counter:
    done: int = 0
    refuses: bool = False

    def handle(self, _call: Call) -> object:
        if self.refuses:
            raise Refusal("no")
        self.done += 1
        return Made(number=self.done)


ROUTE = endpoint("POST", "/v1/labels", "labels.write", lambda _call: None, summary="x", status=201)


def call(key: str | None, body: bytes = b"{}", who: str = "staff_1") -> Call:
    return Call(
        principal=Principal(kind="staff", id=who, name="x"),
        grant=Grant(permission="labels.write", by="role", principal_id=who),
        at=Instant(1),
        request_id="r",
        method="POST",
        url_path="/v1/labels",
        path={},
        query={},
        params=None,
        headers={} if key is None else {"idempotency-key": key},
        body=None,
        raw=body,
        form={},
        language="en",
        csrf="",
        session_id="",
        address="",
    )


@pytest.fixture
def run(database: Database) -> Callable[[Call, Counter], object]:
    once = Once(database)
    return lambda sent, counter: once.run(ROUTE, sent, counter.handle)


def test_the_same_key_and_body_gets_the_first_answer_without_its_secret(run: Callable[[Call, Counter], object]) -> None:
    counter = Counter()
    assert run(call("k1"), counter) == Made(number=1)
    again = run(call("k1"), counter)
    assert isinstance(again, Answer)
    assert (again.status, msgspec.json.encode(again.body)) == (201, b'{"number":1,"secret":"(shown once)"}')
    assert counter.done == 1


def test_without_a_key_or_from_somebody_else_it_is_another_command(run: Callable[[Call, Counter], object]) -> None:
    counter = Counter()
    run(call(None), counter)
    run(call(None), counter)
    run(call("k1"), counter)
    run(call("k1", who="staff_2"), counter)
    assert counter.done == 4


def test_the_same_key_with_another_body_is_refused(run: Callable[[Call, Counter], object]) -> None:
    counter = Counter()
    run(call("k1"), counter)
    with pytest.raises(KeyUsed) as refused:
        run(call("k1", b'{"other":1}'), counter)
    assert refused.value.problems[0].path == "/"
    assert counter.done == 1


def test_a_refused_command_may_be_sent_again(run: Callable[[Call, Counter], object]) -> None:
    counter = Counter(refuses=True)
    with pytest.raises(Refusal):
        run(call("k1"), counter)
    counter.refuses = False
    assert run(call("k1"), counter) == Made(number=1)


def test_a_command_whose_end_is_unknown_is_not_done_again(
    run: Callable[[Call, Counter], object], database: Database
) -> None:
    def dies(_call: Call) -> object:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Once(database).run(ROUTE, call("k1"), dies)
    counter = Counter()
    with pytest.raises(CommandUnderWay):
        run(call("k1"), counter)
    assert counter.done == 0


@pytest.mark.parametrize("key", ["", "x" * 201, "a\x07b"])
def test_a_key_that_is_none_is_refused(run: Callable[[Call, Counter], object], key: str) -> None:
    with pytest.raises(KeyUnfit):
        run(call(key), Counter())
