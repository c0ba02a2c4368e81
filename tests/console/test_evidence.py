"""What a case shows of many events: the same is said once, and nothing is left out."""

from koban.base import Instant
from koban.cases.types import CaseSignal
from koban.console.evidence import Evidence, Told, fold, reasons
from koban.console.fields import FieldLine
from koban.events import Entry, Flag, Kind


def line(path: str, value: str, kind: str = "") -> FieldLine:
    return FieldLine(path=path, kind="subject" if kind else "text", value=value, subject_kind=kind)


def chat(seq: int, sender: str, text: str, *, trades: str = "0", own: bool = True) -> Evidence:
    fields = [
        line("sender.id", sender, "account"), line("sender.trades", trades), line("chat.id", f"c{seq}", "comment"),
        line("stream.id", "s1", "stream"),
    ]  # fmt: skip
    at = Instant(seq)
    entry = Entry(
        seq=seq, log_at=at, received_at=at, kind=Kind.EVENT, type="stream.chat", source="shop", event_id=f"e{seq}",
        event_at=at, subject=None, data=b"{}", sealed=None, digest=None, flags=Flag(0), cause_seq=None,
    )  # fmt: skip
    return Evidence(entry=entry, fields=fields, texts=[("text", text)] if text else [], is_sealed=not text, own=own)


def shown(told: Told) -> list[str]:
    return [each.path for each in told.fields]


def test_one_event_is_told_whole_and_nothing_is_folded() -> None:
    found = fold([chat(1, "a", "hello")])
    assert (found.common, found.are_many) == ([], False)
    assert found.told[0].who == line("sender.id", "a", "account")
    assert shown(found.told[0]) == ["sender.trades", "chat.id", "stream.id"]
    assert found.told[0].rest == []


def test_what_all_share_stands_once_and_each_names_what_differs() -> None:
    found = fold([chat(1, "a", "one"), chat(2, "b", "two", trades="7"), chat(3, "a", "three")])
    assert found.common == [line("stream.id", "s1", "stream")]
    assert [shown(each) for each in found.told] == [["sender.trades", "chat.id"], ["sender.trades"], []]
    assert [each.path for each in found.told[1].rest] == ["sender.id", "sender.trades", "chat.id"], "all are at hand"
    assert found.told[0].rest == []


def test_the_same_text_stands_once_with_who_else_wrote_it() -> None:
    found = fold([chat(1, "a", "buy"), chat(2, "b", "buy", trades="3"), chat(3, "c", "no"), chat(4, "b", "buy")])
    assert [each.one.entry.seq for each in found.told] == [1, 3]
    first = found.told[0]
    assert [(each.one.entry.seq, [one.path for one in each.fields]) for each in first.again] == [
        (2, ["sender.trades"]), (4, []),
    ]  # fmt: skip
    assert first.people == 2
    assert found.are_many


def test_what_is_not_open_to_the_reader_is_never_called_the_same() -> None:
    found = fold([chat(1, "a", ""), chat(2, "b", ""), chat(3, "a", "hi"), chat(4, "a", "hi", own=False)])
    assert [each.one.entry.seq for each in found.told] == [1, 2, 3, 4], "nor the conversation around what it is about"


def test_no_event_and_no_field_is_lost() -> None:
    events = [chat(seq, "ab"[seq % 2], f"text {seq % 3}", trades=str(seq % 4)) for seq in range(1, 20)]
    found = fold(events)
    seqs = [each.entry.seq for told in found.told for each in (told.one, *(again.one for again in told.again))]
    assert sorted(seqs) == list(range(1, 20))
    for told in found.told:
        paths = {each.path for each in (*found.common, *told.fields, *told.rest)} | (
            {told.who.path} if told.who else set()
        )
        assert paths == {each.path for each in told.one.fields}


def test_a_reason_is_said_once_with_how_often_when_and_by_whom() -> None:
    def signal(seq: int, rule: str, reporter: str | None = None) -> CaseSignal:
        return CaseSignal(
            seq=seq, at=Instant(seq * 10), rule=rule, policy="p", because={"en": rule}, event_id="", event_type="x",
            reporter=reporter,
        )  # fmt: skip

    found = reasons([signal(4, "b", "u2"), signal(3, "a"), signal(2, "b", "u1"), signal(1, "b", "u1")])
    assert [(each.first.rule, each.count, each.from_at, each.to_at, each.seqs, each.reporters) for each in found] == [
        ("b", 3, 10, 40, [4, 2, 1], ["u2", "u1"]), ("a", 1, 30, 30, [3], []),
    ]  # fmt: skip
