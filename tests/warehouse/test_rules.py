"""A whole rule as one query hits what the live engine hits: features, windows, lists and labels as of each event."""

import msgspec
import pytest
from tests.archive.conftest import Station
from tests.lab.conftest import log_of, play
from tests.warehouse.engines import run
from tests.warehouse.tables import filled

from koban.events import archive as archives
from koban.features import archive_relation
from koban.lab import Question, hits_of, rule_sql, spans_of, tables_sql, warehouse_tables
from koban.language import DIALECTS, NotInDialect, Type, Value
from koban.packs import PackDef, parse_files
from koban.rules import RuleMissing, check_pack


def _feature(name: str, value: str, by: str, within: str = "1 hour", more: str = "") -> str:
    return f"- {{feature: {name}, about: {{en: a, ja: b}}, value: '{value}', within: {within}, {by}{more}}}\n"


BY_SENDER = "on: message.sent, by: sender.id"
BY_BOTH = "by: {message.sent: sender.id, payout.requested: account.id}"
FEATURES = (
    _feature("priced_1h", "sum(price_minor)", BY_SENDER)
    + _feature("mean_1d", "avg(price_minor)", BY_SENDER, "24 hours")
    + _feature("lowest", "min(price_minor)", BY_SENDER, "ever")
    + _feature("highest_1d", "max(price_minor)", BY_SENDER, "24 hours", ", where: recipient.id IS NOT NULL")
    + _feature("first_price", "first(price_minor)", BY_SENDER, "ever")
    + _feature("last_recipient", "last(recipient.id)", BY_SENDER, "24 hours", ", excluding: current")
    + _feature("of_pair_1d", "count(*)", "on: message.sent, by: [sender.id, recipient.id]", "24 hours")
    + _feature("of_all_1h", "count(*)", "on: message.sent, by: everyone", "1 hour")
    + _feature("seen_days", "age_days()", BY_BOTH, "ever")
    + _feature("doings_1h", "count(*)", BY_BOTH, "1 hour")
    + _feature("sent_1d", "count(*)", BY_SENDER, "24 hours")
    + _feature("spread", "stddev(price_minor)", BY_SENDER)
    + "- {feature: share, value: 'ratio(messages_1h, sent_1d)', about: {en: a, ja: b}}\n"
    + "- {feature: pace, value: 'rate(messages_1h, sent_1d)', about: {en: a, ja: b}}\n"
)
WHENS = (
    "messages_1h >= 3",
    "recipients_1h >= 2 AND price_minor IS NULL",
    "priced_1h > 100 OR mean_1d >= 1500.5",
    "lowest = 0 AND highest_1d > 100",
    "first_price <> price_minor",
    "last_recipient = recipient.id",
    "of_pair_1d > 2",
    "of_all_1h % 3 = 0",
    "seen_days >= 3",
    "doings_1h > messages_1h",
    "share > 0.25",
    "pace BETWEEN 1.5 AND 12",
    "of(messages_1h, recipient.id) IS NULL OR of(messages_1h, recipient.id) = 0",
    "in_list(sender.id, 'trusted')",
    "NOT in_list(recipient.id, 'trusted')",
    "has_label(sender.id, 'fraud') AND NOT in_list(sender.id, 'trusted')",
    "in_list(last_recipient, 'trusted') IS NULL OR in_list(CASE WHEN has_label(sender.id, 'honest') THEN sender.id END, 'trusted')",
    "hour_of_day(time, 'Asia/Tokyo') % 2 = 0 AND of(paid_out, sender.id) > 0",
    "price_minor * 3 // 2 > 150 AND sender.id LIKE 'a%'",
)


def ruled(pack: PackDef, whens: tuple[str, ...] = WHENS) -> PackDef:
    """Give the small pack these rules, and one over payouts and messages alike."""
    files = {name: text for name, text in pack.files.items() if not name.startswith(("rules", "cases"))}
    files["features.yaml"] += FEATURES
    files["rules.yaml"] = "".join(
        f"- rule: r{number}\n  policy: fraud/lure\n  on: [message.sent]\n  when: {msgspec.json.encode(when).decode()}\n"
        "  then: [hide]\n  because: {en: e, ja: j}\n"
        for number, when in enumerate(whens)
    )
    files["rules.yaml"] += (
        "- rule: both\n  policy: fraud/money\n  on: [message.sent, payout.requested]\n  when: doings_1h >= 2 AND seen_days < 3\n"
        "  then: [{review: scams}]\n  because: {en: e, ja: j}\n"
    )
    made = parse_files(files)
    assert check_pack(made) == ()
    return made


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_query_hits_what_the_live_engine_hits(station: Station, engine: str, postgres_url: str) -> None:
    play(station, 7)
    station.days_pass(30)
    station.run_archive()
    pack = ruled(station.desk.memory.compiled.pack)
    dialect = DIALECTS[engine]
    setup: list[str] = []
    with log_of(station) as log:
        expected = hits_of(log, Question(pack=pack, engine="live"))
        kinds = ("message.sent", "payout.requested")
        with archives.archive_connection(log.tx, log.archive, log.vault, pack, event_types=kinds) as connection:
            for kind in kinds:
                columns = dict(warehouse_tables(pack, "both", engine)[archive_relation(kind)])
                shown = ", ".join(f'"{path}"' for path in columns)
                found = connection.execute(f"SELECT {shown} FROM {archive_relation(kind)}").fetchall()
                rows: list[dict[str, Value]] = [dict(zip(columns, row, strict=True)) for row in found]
                setup += filled(dialect, archive_relation(kind), columns, rows)
                last = max(int(str(row["seq"])) for row in rows)
        for name, spans in spans_of(log, pack, upto_seq=last).items():
            kept = {"name": Type.TEXT, "value": Type.TEXT, "after_at": Type.INT, "until_at": Type.INT}
            setup += filled(dialect, name, kept, [span._asdict() for span in spans])

    answers = run(engine, postgres_url, setup, [rule_sql(pack, name, engine) for name in pack.rules])

    found_hits = {
        name: sorted(int(str(row[1])) for row in rows) for name, rows in zip(pack.rules, answers, strict=True)
    }
    assert found_hits == {name: sorted(seq for seq, rule in expected if rule == name) for name in pack.rules}
    assert [name for name, seqs in found_hits.items() if not seqs] == [], "equal answers about nothing say nothing"


def test_the_tables_are_those_that_the_query_reads(station: Station, engine: str, postgres_url: str) -> None:
    pack = ruled(station.desk.memory.compiled.pack)
    for name in pack.rules:
        setup = tables_sql(pack, name, engine).removesuffix(";").split(";\n")
        assert run(engine, postgres_url, setup, [rule_sql(pack, name, engine)]) == [[]]


@pytest.mark.parametrize("name", sorted(DIALECTS))
@pytest.mark.parametrize(
    ("when", "why"),
    [
        ("text IS NULL", "text: it is personal, and sealed in the archive"),
        ("mentions(text, 'lures')", "text: it is personal, and sealed in the archive"),
        ("spread > 1", "spread: stddev is computed by Koban alone"),
        ("lower(sender.id) = 'a1'", "lower: the engines have other tables of letters"),
    ],
)
def test_what_a_warehouse_cannot_say_is_refused(station: Station, name: str, when: str, why: str) -> None:
    pack = ruled(station.desk.memory.compiled.pack, (when,))
    with pytest.raises(NotInDialect) as refused:
        rule_sql(pack, "r0", name)
    assert str(refused.value) == f"{name} cannot say {why}."


def test_an_unknown_dialect_or_rule_is_refused(station: Station) -> None:
    pack = station.desk.memory.compiled.pack
    with pytest.raises(
        NotInDialect, match="'oracle' is none of bigquery, clickhouse, duckdb, postgres, snowflake, spark"
    ):
        rule_sql(pack, "big_payout", "oracle")
    with pytest.raises(RuleMissing):
        rule_sql(pack, "nothing", "duckdb")
