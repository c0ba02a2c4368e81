"""What the code cannot say about itself, for the reference: what a key of a pack is for, when an entry is written.

Tables of words, read by `tools/reference.py`. What has no words here stops it, so nothing stays undocumented.
"""

from collections.abc import Mapping
from typing import Final

SQL_INTRODUCTION: Final = """\
Conditions of rules, and `value` and `where` of features, are written in *Koban SQL*: one expression, no statements.
It is a small subset of SQL in DuckDB's flavour with its own, exact meaning, compiled to Python for the live path and to
SQL for DuckDB. Every example on this page is a row of the conformance table and gives the same on both compilers.
How to think about it: [Packs and rules](../concepts/packs-and-rules.md).

## Values

| type | written | what it is |
|---|---|---|
| `bool` | `TRUE`, `FALSE` | |
| `int` | `42`, `-1` | 64 bits |
| `decimal` | `0.5` | exact, 18 digits, 6 of them behind the point; an integer constant is taken as a decimal where one is needed |
| `text` | `'it''s'` | compared by code point as it was sent; the text functions read a normalised form |
| `timestamp` | `TIMESTAMP '2026-01-15 12:00:00+09:00'` | microseconds; `DATE '2026-01-15'` is its midnight, UTC |
| `interval` | `INTERVAL '3 days'` | days, hours, minutes, seconds; no months |
| `text[]` | `tags[1]`, `tags[-1]` | several texts; a place counts from 1, or from the end |
| `NULL` | `NULL` | not known, not sent, or erased |

- A name is a field of the event (`sender.id`), a feature (`sender_lures_30d`), or `time`, the log time. There is no `now()`.
- There are no implicit casts: `'5' > 4` is an error before anything runs. `CAST` is explicit.
- Nothing fails while it runs: overflow, division by zero, a cast that does not fit all give `NULL`.
- A rule matches when its condition is true; false and `NULL` do not match.
- Lists, labels, patterns, time zones and kinds of contact are constants, so that they are checked beforehand.
- A condition that can never be true, or always is, is an error with the place and the reason."""

KEY_WORDS: Final[Mapping[str, str]] = {
    "pack.yaml.pack": "name of the pack",
    "pack.yaml.version": "the author's own label; Koban itself names a version by the digest of its files",
    "pack.yaml.about": "what it is for, in `en` and `ja`",
    "an event type.event": "name, as in the CloudEvent's `type`: `message.sent`",
    "an event type.about": "what happened, in `en` and `ja`",
    "an event type.within_ms": "how long the marketplace waits for the answer, 1 to 60000",
    "an event type.fallback": "the verdict when the answer would come later: `allow`, `hold`, `challenge` or `block`",
    "an event type.retention": "how long it is kept, in whole days",
    "an event type.fields": "path under `data` -> its type, or a mapping (see *a field*)",
    "an event type.acting": "path of the account that did it: sanctions fall on it",
    "an event type.recipient": "path of the account that it is addressed to: `warn: recipient` warns it",
    "an event type.content": "path of the subject that `hide` hides",
    "an event type.reported": "of a report: path of the account that it is about; a review is then about it or the content",
    "an event type.money": "the amount that it moves: `{order: PATH}`, `{payment: PATH}` or `{payout: PATH}`, in the minor units of its `currency`",
    "an event type.texts": "fields that text functions read; they are normalised once",
    "an event type.loss": "`{amount: PATH, by: PATH}`: it tells of money lost, and which account caused it; backtests count it",
    "an event type.subjects": "path -> kind: which fields name a subject (`sender.id: account`)",
    "a field.type": "`text`, `int`, `decimal`, `bool`, `timestamp` or `text[]`",
    "a field.personal": "path of the account whose data this is; it is sealed under that person's key",
    "a field.joined": "`true`: kept as a keyed pseudonym, so that it can be counted and compared, and never be read",
    "a field.unit": "`minor`, `days`, `grams`, …; comparing different units is an error",
    "a field.about": "what it means, in `en` and `ja`",
    "a feature.feature": "name under which conditions read it",
    "a feature.value": "one aggregate, see *Feature values*",
    "a feature.about": "what it is, in `en` and `ja`",
    "a feature.on": "event types that feed it, when `by` is one path for all of them",
    "a feature.by": "path of the subject it belongs to, a pair of two (`[buyer.id, seller.id]`), or `everyone`; or a mapping of event type -> that (then without `on`)",
    "a feature.where": "Koban SQL over the event's fields: only events for which it is true are counted",
    "a feature.within": "a duration, or `ever`",
    "a feature.excluding": "`current`: the event that asks is not counted; default `nothing`",
    "a feature.bound": "for `count(distinct x)`: exact up to it, and it means that many or more; for `most_frequent` and `linked_…`: how many values seen last are kept",
    "a policy.policy": "place in the tree: `fraud/outside_contact`; its parent is declared too",
    "a policy.title": "what people read, in `en` and `ja`",
    "a policy.text": "the policy itself, as the person judged reads it, in `en` and `ja`",
    "a policy.severity": "`low`, `medium`, `high` or `severe`",
    "a policy.ladder": "what the first, second, … strike brings; the last step repeats",
    "a policy.second_person": "`true`: a measure decided in a case waits for a second person; default for `severe` policies",
    "a policy.strikes_within": "how long a strike counts: a duration, or `ever`",
    "a list.list": "name under which conditions read it",
    "a list.kind": "`values`, compared whole, or `phrases`, looked for in text",
    "a list.about": "what belongs on it, in `en` and `ja`",
    "a list.of": "values only: what they are (`account`, `device`, `domain`, …); joined kinds are kept as pseudonyms",
    "a list.entries": "its entries, in place",
    "a list.file": "or a text file of the pack, one entry a line; `#` begins a comment line",
    "a list.unless": "phrases only: a hit inside one of these is none (ラインストーン for ライン)",
    "a list.unless_file": "the same from a text file",
    "a list.negatable": "phrases only: `true` when a denied mention is none (「直取引はお断り」)",
    "a list.whole_word": "phrases only: `true` when a Latin or katakana phrase must not be part of a longer word",
    "the ledger.ledger": "name of the ledger; one item of the pack says it",
    "the ledger.time_zone": "where booking dates are counted, as in `Asia/Tokyo`",
    "the ledger.levels": "levels of verification, which limits are declared for",
    "a book of the chart.book": "the code",
    "a book of the chart.title": "what finance reads, in `en` and `ja`",
    "a book of the chart.grows": "`debit` or `credit`: the side on which a balance is counted positive",
    "a book of the chart.backing": "where its value is: `outside` (banks, providers), `people` (owed to or by somebody), `own`",
    "a book of the chart.currencies": "ISO 4217 codes in which it is kept",
    "a book of the chart.owner": "kind of whom or what each book belongs to; without it there is one book in each currency",
    "a book of the chart.may_overdraw": "`true`: it may fall below zero on its growing side",
    "a book of the chart.most_minor": "the most that a book may hold, in minor units",
    "a posting.adjusts": "`true`: only for an exception of reconciliation, proposed by one person and approved by another",
    "a book of the chart.account": "the account of the company's own books under which the journal exports it",
    "an account.code": "code in the company's own books",
    "an account.name": "name there, as the accounting program has it",
    "an account.tax": "tax class, as the accounting program calls it",
    "an account.by_owner": "`true`: each owner is a sub-account",
    "a limit.limit": "name, as a refusal says it",
    "a limit.about": "what it limits, in `en` and `ja`",
    "a limit.on": "postings that count",
    "a limit.of": "the parameter that says who",
    "a limit.amount": "the parameter that says how much",
    "a limit.amounts": "for postings whose amount has another name, that name: `{order_paid_mixed: wallet}`; nothing counts nothing",
    "a limit.currency": "the currency in which amounts are counted",
    "a limit.within": "how far back it counts",
    "a limit.levels": "for every level of the ledger: how often, how much",
    "a level.count": "how often at most; without it no bound",
    "a level.amount_minor": "how much at most, in minor units; without it no bound",
    "a posting.posting": "name, as requests and transfers say it",
    "a posting.about": "what happened, in `en` and `ja`",
    "a posting.currencies": "in which currencies it may be posted",
    "a posting.parameters": "what a request must give, each with its type",
    "a posting.entries": "debits and credits, in order; all of them stand or none",
    "a posting.order": "the parameter that is the order of its transfers",
    "a posting.payment": "the parameter that is the payment of its transfers",
    "a posting.cause": "the parameter that is the reason; needed where own money is given away",
    "a posting.evidence": "the parameter that is the outside's fact; needed where money comes in from outside",
    "a posting.once": "references that together prove one posting and no other, whatever its template (`evidence_used`)",
    "a posting.needs": "what books must not hold more than, or it is refused (`need_unmet`)",
    "a need.book": "code of a book",
    "a need.of": "the parameter that names its owner",
    "a need.at_most": "a sum of amounts, in minor units; what is pending counts; a book that was never opened holds nothing",
    "a posting.undone_by": "the posting that takes it back; proved to leave nothing",
    "a posting.followed_by": "postings that may follow",
    "a posting.final": "why nothing follows, in `en` and `ja`",
    "a posting.tells": "`event` and `data`: the event of source koban:ledger that rules then see",
    "a parameter.amount": "`true`; any parameter without another key is an amount",
    "a parameter.zero": "`true`: the amount may be nothing, and its leg is then left out",
    "a parameter.at_most": "a sum of amounts that it never passes; used in proofs and checked in requests",
    "a parameter.owner": "it names whose book: the kind that the chart says",
    "a parameter.posting": "it is the id of an earlier posting of this name",
    "an entry.debit": "one leg, or a list of legs; one side has a single leg",
    "an entry.credit": "one leg, or a list of legs",
    "an entry.hold": "`true`: the amounts are reserved until settled, released, or time runs out",
    "an entry.for": "how long a hold lasts; without it until it is resolved",
    "an entry.currency": "another currency than the posting's",
    "an entry.settle": "the parameter that names an earlier posting, whose held leg becomes final",
    "an entry.release": "the parameter that names an earlier posting, whose held leg is given back",
    "an entry.leg": "which held leg, from 1; the first where it is left out",
    "an entry.amount": "how much of a held leg is settled; without it all",
    "a leg.book": "code of the chart",
    "a leg.of": "the parameter that says whose book",
    "a leg.amount": "a sum of amounts, as in `price - fee`",
    "a worked example.example": "what it shows",
    "a worked example.steps": "postings, one after the other, on an empty ledger",
    "a worked example.balances": "what books then hold on their growing side; every other book must be empty",
    "a worked example.pending": "what is pending on books",
    "a step.posting": "which posting",
    "a step.with": "its parameters",
    "a step.id": "its id; `step1`, `step2`, … where it is left out",
    "a step.currency": "JPY where it is left out",
    "a step.level": "the level of verification",
    "a step.expect": "the result code, `posted` where it is left out",
    "a step.after": "time that passes before it",
    "the payments.payments": "a name",
    "the payments.decides": "the event type that is decided before anything is tried",
    "the payments.decides_payout": "the same for payouts; without it none can be made",
    "the payments.tells_chargeback": "the event type by which rules hear of a chargeback",
    "the payments.tells_paid_twice": "the event type by which rules hear of an order whose money came twice",
    "the payments.lapses_after": "after how long a payment that did not get there is called off",
    "the payments.payout": "postings of a payout by role: `reserve`, `take`, `release`, `came_back`",
    "the payments.chargeback": "postings of chargebacks by role: `in_escrow`, `after`, `won_in_escrow`, `won`",
    "a payment method.method": "name, as requests say it",
    "a payment method.title": "what people read, in `en` and `ja`",
    "a payment method.provider": "`true`: a payment provider is asked; otherwise it is paid inside the ledger",
    "a payment method.proves": "`three_d_secure`: the challenge that it can prove",
    "a payment method.retired": "`true`: nothing new is paid by it; what was begun goes on, and what was taken can be given back",
    "a payment method.postings": "postings by role: `reserve`, `take`, `release`, `give_back`; with a provider also `take_late`, `given_back`, `kept`",
    "an outage.outage": "name of a provider, or `any`",
    "an outage.after": "calls without an answer in a row after which it counts as out",
    "an outage.rest": "how long it is left alone before one call tries it again",
    "an outage.then": "what becomes of new payments meanwhile: `refuse`, or `queue`",
    "an outage.queue_for": "how long a queued payment waits before it is called off",
    "a definition.define": "name under which conditions, and other definitions, read it",
    "a definition.as": "what it stands for, in [Koban SQL](koban-sql.md)",
    "a definition.about": "what it means, in `en` and `ja`",
    "a score.score": "name under which `score('name')` reads it",
    "a score.of": "the kind of subject it is recorded for",
    "a score.about": "what it says, in `en` and `ja`",
    "a queue.queue": "name, as `review` says it",
    "a queue.title": "what reviewers read, in `en` and `ja`",
    "a queue.due": "time within which its cases are due",
    "a queue.calendar": "the calendar in whose open hours `due` is counted; without one, around the clock",
    "a queue.harm": "what looking at its cases does to people: `child`, `sexual`, `violence`, `self_harm`, `hate`; default `none`",
    "a queue.exposure": "how much of that one person is given within a day",
    "a queue.two_people": "`true`: every judgement waits for a second person; default where `harm` is `child`",
    "a queue.preserve": "`true`: a case places a legal hold on the accounts of its events, lifted when they are found honest; default where `harm` is `child`",
    "a queue.escalates_to": "the queue to which its cases are sent up",
    "a queue.alike": "what joins an open case: `text` (nearly the same text), `account` (further content of one account)",
    "a calendar.calendar": "name, as queues say it",
    "a calendar.title": "what staff read, in `en` and `ja`",
    "a calendar.zone": "time zone, such as `Asia/Tokyo`; daylight saving is the zone's",
    "a calendar.hours": "spans of each weekday, several a day; `'22:00-06:00'` ends on the next day, `'00:00-24:00'` is all day",
    "a calendar.holidays": "dates without any span",
    "a calendar.days": "dates with spans of their own",
    "a rule.rule": "name",
    "a rule.policy": "the policy under which it acts",
    "a rule.on": "event types that it looks at",
    "a rule.when": "the condition, in [Koban SQL](koban-sql.md)",
    "a rule.then": "actions, see *Actions*",
    "a rule.because": "the reason that the person judged reads, in `en` and `ja`",
    "a rule.mode": "see *Modes*; default `shadow`",
    "a rule.cap": "`50 per hour`: people that it may harm in an hour before it only opens cases; default 100",
    "a case.rule": "the rule that it tests",
    "a case.matches": "`true` or `false`",
    "a case.event": "event type",
    "a case.data": "fields with their values, dotted or nested; times also as `3 days ago`",
    "a case.features": "features with their values; those not given are NULL",
    "a case.lists": "further list entries for this case",
    "a case.family": "the trick or near miss that it belongs to",
    "a case.at": "log time; default 2026-01-15 12:00 in Tokyo",
    "a case.why": "a note for readers",
    "a table of cases.rule": "the rule that it tests",
    "a table of cases.event": "event type",
    "a table of cases.field": "the text field that the lines fill",
    "a table of cases.data": "the other fields, the same for all lines",
    "a table of cases.must_match": "lines for which the rule must match",
    "a table of cases.must_not_match": "lines for which it must not",
    "a table of cases.features": "as in a case",
    "a table of cases.lists": "as in a case",
    "a table of cases.family": "as in a case",
    "a table of cases.at": "as in a case",
    "a table of cases.why": "as in a case",
}

NESTED: Final = frozenset(
    {"a field", "a parameter", "an entry", "a leg", "a need", "a level", "a step", "an account"}
)  # parts of documents

FILES: Final = (
    ("pack.yaml", "pack.yaml", "pack: corner_shop\nversion: '1'\nabout: {en: Our rules, ja: 私たちのルール}"),
    (
        "an event type",
        "events.yaml",
        (
            "- event: message.sent\n  about: {en: A private message, ja: 取引メッセージ}\n  acting: sender.id\n"
            "  recipient: recipient.id\n  content: message.id\n  within_ms: 200\n  fallback: allow\n  retention: 365 days\n"
            "  texts: [text]\n  subjects: {sender.id: account, recipient.id: account, message.id: message}\n  fields:\n"
            "    sender.id: text\n    recipient.id: text\n    message.id: text\n    text: {type: text, personal: sender.id}"
        ),
    ),
    ("a field", "events.yaml, under fields", "device.id: {type: text, personal: sender.id, joined: true}"),
    (
        "a feature",
        "features.yaml",
        (
            "- feature: messages_1h\n  about: {en: Messages sent in an hour, ja: 1時間の送信数}\n  on: message.sent\n"
            "  by: sender.id\n  value: count(*)\n  within: 1 hour"
        ),
    ),
    (
        "a policy",
        "policies.yaml",
        (
            "- policy: spam\n  title: {en: Spam, ja: 迷惑行為}\n  text: {en: Do not send the same to everyone.,"
            " ja: 同じ内容を一斉に送らないでください。}\n  severity: low\n  strikes_within: 90 days\n"
            "  ladder: [{warn: author}, {restrict: messaging, for: 24 hours}, suspend]"
        ),
    ),
    (
        "a list",
        "lists.yaml",
        (
            "- list: payment_words\n  kind: phrases\n  about: {en: Ways to pay outside, ja: 外部の支払い手段}\n"
            "  file: lists/payment_words.txt\n  unless: [PayPayドーム]\n  negatable: true"
        ),
    ),
    (
        "a calendar",
        "calendars.yaml",
        (
            "- calendar: office\n  title: {en: Office hours, ja: 営業時間}\n  zone: Asia/Tokyo\n  hours:\n"
            '    monday: ["09:00-12:00", "13:00-18:00"]\n    friday: "22:00-06:00"\n  holidays: ["2026-11-03"]'
        ),
    ),
    ("the ledger", "ledger.yaml", "- ledger: shop\n  time_zone: Asia/Tokyo\n  levels: [none, identity]"),
    (
        "a book of the chart",
        "ledger.yaml",
        (
            "- {book: bank, title: {en: Bank, ja: 銀行}, grows: debit, backing: outside, currencies: [JPY]}\n"
            "- {book: wallet, title: {en: Wallet, ja: 残高}, grows: credit, backing: people, owner: account, currencies: [JPY]}"
        ),
    ),
    (
        "an account",
        "ledger.yaml under `account` of a book",
        'account: {code: "152", name: 未収入金, tax: 対象外, by_owner: true}',
    ),
    (
        "a posting",
        "postings.yaml",
        (
            "- posting: cash_in\n  about: {en: Money came in, ja: チャージ}\n  currencies: [JPY]\n"
            "  parameters: {account: {owner: account}, bank_line: reference, amount: amount}\n  evidence: bank_line\n"
            "  entries:\n    - debit: {book: bank, amount: amount}\n      credit: {book: wallet, of: account, amount: amount}\n"
            "  final: {en: It is there., ja: 入金済みです。}"
        ),
    ),
    ("a need", "postings.yaml under `needs`", "{book: party_receivable, of: account, at_most: 0}"),
    ("a parameter", "postings.yaml under `parameters`", "fee: {zero: true, at_most: price}"),
    ("an entry", "postings.yaml under `entries`", "- {settle: authorisation, leg: 1, amount: amount}"),
    ("a leg", "postings.yaml under `debit` and `credit`", "{book: wallet, of: seller, amount: price - fee}"),
    (
        "a limit",
        "ledger.yaml",
        (
            "- limit: cash_in_day\n  about: {en: Cash-in in a day, ja: 1日のチャージ}\n  on: [cash_in]\n  of: account\n"
            "  amount: amount\n  currency: JPY\n  within: 24 hours\n  levels: {none: {count: 0}, identity: {amount_minor: 300000}}"
        ),
    ),
    ("a level", "ledger.yaml under `levels`", "identity: {count: 20, amount_minor: 300000}"),
    (
        "a worked example",
        "cases/ledger.yaml",
        (
            "- example: Somebody puts in 500 yen\n  steps:\n"
            "    - {posting: cash_in, level: identity, with: {account: a1, bank_line: l1, amount: 500}}\n"
            "  balances: {bank.JPY: 500, 'wallet.JPY:a1': 500}"
        ),
    ),
    (
        "a step",
        "cases/ledger.yaml under `steps`",
        "- {posting: cash_in, level: none, expect: limit_count_exceeded, with: {amount: 1}}",
    ),
    (
        "the payments",
        "payments.yaml",
        (
            "- payments: shop\n  decides: payment.attempted\n  lapses_after: 6 days\n"
            "  payout: {reserve: payout_reserved, take: payout_paid, release: payout_failed, came_back: payout_came_back}"
        ),
    ),
    (
        "a payment method",
        "payments.yaml",
        (
            "- method: wallet\n  title: {en: Wallet, ja: 残高}\n"
            "  postings: {reserve: order_wallet_reserved, take: order_wallet_used, release: order_wallet_released, give_back: order_partly_refunded_wallet}"
        ),
    ),
    (
        "an outage",
        "payments.yaml",
        "- outage: any\n  after: 5\n  rest: 30 seconds\n  then: queue\n  queue_for: 15 minutes",
    ),
    (
        "a definition",
        "definitions.yaml or definitions/*.yaml",
        "- define: writes_to_many\n  as: messages_1h >= 50\n  about: {en: Writes to very many people, ja: 非常に多くの人に送信}",
    ),
    (
        "a score",
        "scores.yaml",
        "- score: scam_risk\n  of: account\n  about: {en: How likely a scammer, ja: 詐欺らしさ}",
    ),
    ("a queue", "queues.yaml", "- queue: general\n  title: {en: Everything else, ja: その他}\n  due: 24 hours"),
    (
        "a rule",
        "rules.yaml or rules/*.yaml",
        (
            "- rule: message_burst\n  policy: spam\n  on: [message.sent]\n  when: writes_to_many OR score('scam_risk') > 0.9\n"
            "  then: [{review: general}]\n  mode: shadow\n  cap: 20 per hour\n"
            "  because: {en: You wrote to very many people., ja: 短時間に多くの方へ送信しています。}"
        ),
    ),
    (
        "a case",
        "cases.yaml or cases/*.yaml",
        (
            "- rule: message_burst\n  matches: true\n  event: message.sent\n  data: {sender: {id: a1}}\n"
            "  features: {messages_1h: 50}\n- {rule: message_burst, matches: false, event: message.sent, data: {}, features: {messages_1h: 49}}"
        ),
    ),
    (
        "a table of cases",
        "cases.yaml or cases/*.yaml",
        (
            "- rule: outside_payment\n  event: message.sent\n  field: text\n  must_match: [PayPayで直接払います]\n"
            "  must_not_match: [PayPayドームのチケットです]"
        ),
    ),
)

ACTION_WORDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "Hide": ("`hide`", "block", "the content is hidden from everyone but its author, until somebody lifts it"),
    "Block": ("`block`", "block", "the event is refused; nothing else happens to anybody"),
    "Hold": ("`{hold: 72 hours, becomes: block}`", "hold", "the event waits; undecided, it becomes `allow` or `block`"),
    "Challenge": ("`{challenge: passkey}`", "challenge", "let through only after the person proves something"),
    "Warn": ("`{warn: recipient}`", "warn", "let through, and `author`, `recipient` or `both` are warned"),
    "Restrict": ("`{restrict: messaging, for: 24 hours}`", "", "the acting account loses one ability for a while"),
    "FreezePayout": ("`{freeze_payout: 72 hours}`", "", "payouts of the acting account stop for a while"),
    "Suspend": (
        "`{suspend: 7 days}`, `suspend`",
        "",
        "the acting account is suspended; without a time, until a person decides",
    ),
    "Strike": ("`strike`", "", "the next step of the policy's ladder against the acting account"),
    "Review": (
        "`{review: scams}`",
        "",
        "a case in a queue; a further signal joins the open case; `{review: abuse, of: reporter}` is about who reported",
    ),
}

VALUES: Final = (
    ("count(*)", "int", "events counted"),
    ("count(x)", "int", "events whose x is not NULL"),
    ("count(distinct x)", "int", "different x, exactly up to `bound`"),
    ("sum(x)", "as x", "exact; NULL beyond the type while the window holds too much"),
    ("avg(x)", "decimal", "total / count, cut at six digits"),
    ("stddev(x)", "decimal", "standard deviation of a sample, exact and cut at six digits; NULL below two values"),
    ("min(x), max(x)", "as x", "numbers and times"),
    ("first(x), last(x)", "as x", "in log order, within the window; the first 256 characters of a text"),
    ("most_frequent(x)", "as x", "of the `bound` values seen last in the window; of several, the one seen last"),
    ("age_days()", "int", "whole days since the subject's first counted event"),
    (
        "sequence(a THEN b WITHIN 10 minutes)",
        "int",
        "how often event b came within 10 minutes after event a at the same subject; further THEN … WITHIN … may follow",
    ),
    (
        "linked_sanctioned(x)",
        "int",
        "of the `bound` subjects x seen last at this one (the accounts of a device), how many stand under a sanction now",
    ),
    (
        "linked_youngest(x, age), linked_oldest(x, age)",
        "int",
        "whole days of the youngest or oldest of them, by their own feature `age`, an age_days()",
    ),
    ("ratio(a, b)", "decimal", "one feature over another of the same kind of subject; NULL where b is 0"),
    (
        "rate(a, b)",
        "decimal",
        "how many times faster than the subject's own past: a per its window over b per its window (an hour against 30 days)",
    ),
    (
        "peers(a, total, members)",
        "decimal",
        (
            "how many times the average of its peers: a × members / total, where total and members (a distinct count) "
            "belong to a subject that peers share, such as a category, or `everyone`"
        ),
    ),
)

MODES: Final = (
    ("off", "gives no signal and costs nothing: its condition is not computed, but by an explanation"),
    (
        "retired",
        "gives no signal either: it had its day, is kept with its history, stands apart, and can be brought back",
    ),
    ("shadow", "is run; its matches stand in the decision and do nothing (the default)"),
    ("review", "acts only by opening cases; here a tripped cap and the emergency switch put a rule too"),
    ("live", "acts"),
    (
        "{live: 10%}",
        "acts for a tenth of the accounts, the same ones each time, and for those again when the share grows",
    ),
)

ENTRY_CALLS: Final[Mapping[str, tuple[str, ...]]] = {  # first argument of `enter` -> the types it stands for
    "kind": ("mode.changed", "review_all.switched", "snooze.set"),
    "enforcement.entry_type(change)": (
        "sanction.imposed",
        "sanction.extended",
        "sanction.ended",
        "sanction.overturned",
        "sanction.amended",
    ),
    "f'{draft.what}.proposed'": ("mode.proposed", "expectation.proposed"),
    "f'{draft.what}.approved'": ("mode.approved", "expectation.approved"),
    "f'{draft.what}.withdrawn'": ("mode.withdrawn", "expectation.withdrawn"),
    "f'command.{kind}'": (
        "command.impose.sanction",
        "command.overturn.sanctions",
        "command.lift.sanction",
        "command.undo.rule",
        "command.undo.items",
    ),
}

ENTRY_WORDS: Final[Mapping[str, str]] = {
    "list.entry_added": "values were put on a list, until a moment or for good",
    "list.entry_removed": "a value was taken off a list",
    "label.set": "a person, an import or a rule said what a subject is, or took it back",
    "score.recorded": "a model outside said how likely something is of a subject",
    "mode.changed": "a person set a rule's mode, or let it follow the pack again; this also ends a tripped cap",
    "review_all.switched": "every rule was put to review at once, or back",
    "snooze.set": "a rule was muted for one account until a moment",
    "pack.activated": "from here on another version of the pack decides",
    "budget.tripped": "a rule harmed as many people in an hour as it may; it only opens cases until a person sets its mode",
    "timer.fired": "a stored deadline came: a sanction's end, a hold's lapse, a case's due time, a pause's end, an emergency rule's end",
    "sanction.imposed": "a new sanction, with its policy, measure, grounds and end",
    "sanction.extended": "another signal joined a sanction in force",
    "sanction.ended": "a sanction expired or was lifted; it still counts as a strike",
    "sanction.overturned": "a sanction is treated as if it had never been",
    "sanction.amended": "a sanction became milder, because one that it counted, or a ground it stood on, was overturned",
    "command.impose.sanction": "a person sanctioned somebody by hand; the sanction's own entry follows",
    "command.overturn.sanctions": "a person overturned sanctions; their entries follow",
    "command.lift.sanction": "a person ended a sanction early; its entry follows",
    "command.undo.rule": "a person took back what a rule did since a moment; the entries follow",
    "case.closed": "a person judged a case; what was imposed or taken back, and the labels, follow",
    "case.paused": "the clock of a case stands, for a reason and at the latest until a moment",
    "case.resumed": "the clock of a case runs again; it is due later by the open time it stood",
    "case.moved": "a case went to another queue, or was sent up, under a clock of its own",
    "case.breached": "a case was not decided in its time; its timer's entry is the cause",
    "case.reopened": "a judgement was taken back and the case waits again; what it imposed is overturned next",
    "appeal.opened": "somebody appealed a sanction; what they wrote is sealed and not in the entry",
    "appeal.decided": "a second person upheld or overturned; what was overturned follows",
    "command.undo.items": "a person took back single things that rules did: sanctions, notices, verdicts; the entries follow",
    "emergency.started": "a person started a rule for an hour; the entry holds the whole of it, and its place is the rule's version",
    "emergency.extended": "a second person let an emergency rule live longer, once",
    "emergency.ended": "an emergency rule is over: its time came, a person ended it, or a new pack no longer has what it names",
    "rule.expected": "what a rule is expected to do, from a backtest or its own past, and the ceiling that follows",
    "person.erased": "a person's key was destroyed; what was sealed under it reads NULL from here on",
    "payment.changed": "a payment came to another status",
    "cash_out.changed": "a cash-out to a bank account came to another state",
    "payment.judged": "a person let a held payment go on, or refused it",
}

WEBHOOK_CALLS: Final[Mapping[str, tuple[str, ...]]] = {"kind": ()}

WEBHOOK_WORDS: Final[Mapping[str, str]] = {
    "sanction.imposed": "carry out a new sanction; `data.state` is the subject's whole derived state",
    "sanction.extended": "a sanction's end moved",
    "sanction.ended": "a sanction expired or was lifted",
    "sanction.overturned": "a sanction is as if it had never been",
    "sanction.amended": "a sanction became milder",
    "notice.requested": "tell one person something: a warning, a decision with its whole message and appeal page, an appeal's answer",
    "notice.withdrawn": "tell the person that what they were told was a mistake, in the words of `message`",
    "decision.made": "the decision on an event that was sent with `?mode=async` and is not `allow`",
    "decision.withdrawn": "a verdict was a mistake: a rule behind it was, or a person found so; `was` and `now` say what it was and would have been. A held event goes on",
    "hold.judged": "a person judged a held event in a case: it is blocked for good; `policy` and `because` say why",
    "payment.changed": "a payment came to another status; `buyer_goes_to` is where the buyer is sent",
    "cash_out.changed": "a cash-out left, was paid, came back, failed, was taken back or lapsed; `status` says which",
    "hold.lapsed": "nobody decided a held event in time; `becomes` says what it is now",
}

ALERT_WORDS: Final[Mapping[str, str]] = {
    "actions.unconfirmed": "an endpoint has actions that were delivered and not confirmed within ten minutes",
    "actions.dead": "an action was given up after all attempts; replay it when the receiver is well",
    "pack.outdated": "this release would refuse rules of the pack that is in force; those that it can read run as before",
    "archive.damaged": "a file of the archive cannot be read: new features lack its events, or it stays past its retention",
    "budget.tripped": "a rule reached its cap of people harmed in an hour and only opens cases",
    "case.breached": "cases of a queue were not decided in their time",
    "payment.stuck": "a payment needs a person: a provider or the ledger refuses what must be done",
    "payment.provider_out": "a payment provider gave no answer several times in a row and is left alone for a while",
    "payment.outcome_unknown": "a step was sent, and the person erased before its outcome was known; look at the provider's report",
    "payment.answer_unfit": "a payment provider answered with an amount that cannot be; it is asked again",
    "payment.notice_unfit": "a webhook of a payment provider fits nothing that was booked",
    "order.paid_twice": "an order's money came by two payments, or by a payment and a bank, and all of it is held",
    "chain.too_deep": "a fact follows three facts that follow each other and was not told to rules",
    "emergency.started": "somebody started an emergency rule; the lead is told at once",
    "emergency.unfit": "an emergency rule ended because a new pack no longer has what it names",
    "rule.drift": "a rule matches far more or fewer people than it did, or is less often right; of those named, 1 % are wrong in expectation",
    "pack.waits": "the pack given at start changes something severe, or a version that a person brought, and waits for a person",
    "rule.dead": "rules that matched nothing for 30 days",
    "ledger.unbalanced": "the daily proof of the ledger found a row or balance that does not hold",
    "audit.broken": "the audit trail was altered, cut off or rewritten",
    "decider.failed": "this process has stopped deciding; events are refused until one decides again",
    "clock.stepped": "the wall clock jumped by more than five seconds and is not followed",
    "fact.unreadable": "the pack declares an event type of Koban's own with other fields than the fact has",
}

TABLE_WORDS: Final[Mapping[str, str]] = {
    "actions": "What the marketplace was asked to do, and how far each of it got.",
    "alerts": "What a person should look at.",
    "case_signals": "The signals that opened or joined a case.",
    "appeals": "What people say against sanctions, and how it was answered.",
    "case_batches": "Cases that were judged at once, so that it can be taken back at once.",
    "case_members": "The subjects of a case: the first one, and what was nearly the same or of the same account.",
    "case_pauses": "When and why the clock of a case stood.",
    "case_people": "Who is not given a case: who skipped it, decided what is appealed, or proposed its judgement.",
    "case_proposals": "Judgements that wait, or waited, for a second person.",
    "case_sanctions": "What a judgement imposed or took back.",
    "case_timeline": "What happened to a case, line by line.",
    "case_touches": "Each claim of a case: hands on it, apart from waiting.",
    "cases": "Work for people: one open case per queue and subject.",
    "harm_optouts": "Which kinds of harm a person does not want to be given.",
    "rule_outcomes": "How cases with a signal of a rule ended: what its next case is weighed by.",
    "statements": "The statement of reasons of each sanction and of each change that made it milder.",
    "decisions": "The decision on each event, with its inputs; never changed.",
    "inbox": "Asynchronous events, durable and not yet decided.",
    "leases": "Who may decide the log, with the fencing token that each commit checks.",
    "log_entries": "The log: events and the changes that decisions read, in one order.",
    "log_state": "Counters of the log.",
    "log_truth": "What an imported file says about its rows; rules never see it.",
    "log_marks": "What somebody said of the hits of a named log: right, wrong, not to be told.",
    "notices": "Warnings that were asked for.",
    "quarantine": "Events that could not be read, sealed, for 30 days.",
    "sanction_changes": "Every change of a sanction.",
    "sanctions": "Sanctions as they stand now.",
    "signals": "Which rule matched which event, and whether it acted.",
    "subject_states": "What each subject may do, derived from its sanctions.",
    "timers": "Deadlines that will become log entries.",
    "webhook_endpoints": "Where webhooks go.",
}

LIMIT_WORDS: Final[Mapping[str, str]] = {
    "LEASE_FOR": "how long a decider may decide without renewing its lease",
    "LEASE_RENEW_EVERY": "how often it renews it",
    "TIMERS_PER_BATCH_MAX": "timers that fire in one commit",
    "WRITE_BACK_AFTER": "without work, after which feature records are written back",
    "PAGE_DEFAULT": "items on a page of a list",
    "PAGE_MAX": "the most that `?limit=` may ask for",
    "QUARANTINE_FOR": "how long an unreadable event is kept",
    "VOUCHERS_FOR": "files to banks and from them, with the names in them, before their keys are destroyed",
    "HARM_WINDOW": "the window in which the people that a rule harmed are counted",
}

NO_BOUNDS: Final = ("INT_MAX", "INTEGER_MAX", "DECIMAL_MAX")  # of types, not of Koban

LEDGER_INTRO: Final = """\
The ledger returns these codes and never raises them. They are tried in this order, and the first one that holds is the
answer, so a retry of the same request learns the same. A refusal changes nothing. One that depends on the moment burns the
id: later attempts get `id_already_failed`, with the first answer beside it, and a failure never turns into a success behind
the caller's back."""
