"""Every permission, what it lets somebody do, and which role brings it. Data only; docs and console are made from it."""

from collections.abc import Mapping
from typing import Final

PUBLIC: Final = "public"  # for health, sign-in and the documents that anyone may read
SIGNED_IN: Final = "signed_in"  # for what everyone may do with their own session and password

CATALOGUE: Final[Mapping[str, Mapping[str, str]]] = {
    name: {"en": english, "ja": japanese}
    for name, english, japanese in (
        ("board.read", "See the live numbers", "稼働状況を見る"),
        ("metrics.read", "Read the metrics", "メトリクスを読む"),
        ("events.write", "Send events and read their decisions", "イベントを送り、判定を受け取る"),
        ("events.read", "Look up events", "イベントを調べる"),
        ("quarantine.read", "See events that could not be read", "読み取れなかったイベントを見る"),
        ("quarantine.replay", "Send quarantined events again", "隔離されたイベントを再送する"),
        ("decisions.read", "See decisions and explain them", "判定とその理由を見る"),
        ("subjects.read", "See the state and history of a subject", "対象の状態と履歴を見る"),
        ("personal.read", "See personal fields unmasked, logged", "個人情報を伏せ字なしで見る（記録される）"),
        (
            "messages.read",
            "Open private messages for a case and a purpose, logged",
            "案件と目的を示して非公開メッセージを開く（記録される）",
        ),
        ("actions.confirm", "Confirm that the marketplace carried out an action", "措置の実施を確認として返す"),
        ("sanctions.read", "See sanctions", "制裁を見る"),
        ("sanctions.impose", "Impose a sanction by hand", "手動で制裁を科す"),
        ("sanctions.overturn", "Overturn or lift a sanction", "制裁を取り消す、または解除する"),
        ("rules.read", "See rules, their modes and figures", "ルール、その状態と数値を見る"),
        ("rules.mode", "Switch a rule's mode", "ルールの状態を切り替える"),
        ("rules.undo", "Undo what a rule did to people", "ルールによる措置をまとめて取り消す"),
        ("rules.emergency", "Put every rule to review at once", "全ルールを一斉に目視確認へ切り替える"),
        ("rules.test", "Try rules and run backtests", "ルールを試し、過去データで検証する"),
        ("packs.read", "See packs, versions and differences", "パックと版、差分を見る"),
        ("packs.stage", "Bring in a new version of a pack", "パックの新しい版を登録する"),
        ("packs.activate", "Switch to a version of a pack, or back", "パックの版を切り替える、または戻す"),
        ("lists.read", "See lists", "リストを見る"),
        ("lists.write", "Add and remove list entries", "リストの項目を追加・削除する"),
        ("labels.read", "See labels", "正解ラベルを見る"),
        ("labels.write", "Say what a subject finally was", "対象の最終的な結論を記録する"),
        ("scores.read", "See what models said of subjects", "モデルのスコアを見る"),
        ("scores.write", "Record what a model says of a subject", "モデルのスコアを記録する"),
        ("cases.read", "See queues and cases", "キューと案件を見る"),
        ("cases.work", "Claim, note and close cases", "案件を受け持ち、記入し、完了する"),
        ("cases.decide", "Decide cases, with the measures of the policy's ladder", "案件を判断し、規定の措置を行う"),
        ("cases.approve", "Approve or decline what a colleague proposed", "同僚の提案を承認・却下する"),
        ("cases.assign", "Give cases to people and move them between queues", "案件の担当やキューを変更する"),
        ("appeals.read", "See appeals", "異議申し立てを見る"),
        ("appeals.file", "Hand in an appeal of a marketplace user", "利用者の異議申し立てを取り次ぐ"),
        ("appeals.decide", "Decide appeals against what others decided", "他の担当者の判断への異議を判断する"),
        ("webhooks.read", "See webhook endpoints and deliveries", "Webhookの宛先と配信を見る"),
        ("webhooks.manage", "Add, change and remove webhook endpoints", "Webhookの宛先を追加・変更・削除する"),
        ("webhooks.replay", "Deliver webhooks again", "Webhookを再配信する"),
        ("alerts.read", "See alerts", "アラートを見る"),
        ("alerts.acknowledge", "Acknowledge alerts", "アラートを確認済みにする"),
        ("oncall.read", "See who is on call, and pages", "当番と呼び出しを見る"),
        (
            "oncall.answer",
            "Take and resolve pages, keep one's own contacts",
            "呼び出しに対応し、自分の連絡先を管理する",
        ),
        ("oncall.manage", "Change the rota and everybody's contacts", "当番表と全員の連絡先を変更する"),
        ("logs.read", "See imported logs and their runs", "取り込んだログと実行結果を見る"),
        ("logs.import", "Import a file as a log of its own", "ファイルを別ログとして取り込む"),
        ("evaluation.read", "See how decisions compare with labels", "判定と正解の比較を見る"),
        ("simulation.read", "See the ground truth of simulated traffic", "模擬データの正解を見る"),
        (
            "simulation.steer",
            "Pause, restart and leave the simulated evening",
            "模擬の一夜を一時停止・やり直し・終了する",
        ),
        ("staff.read", "See staff and their roles", "スタッフと役割を見る"),
        ("staff.manage", "Invite and disable staff, change roles", "スタッフの招待・停止、役割の変更"),
        ("tokens.read", "See API tokens, never their secrets", "APIトークンの一覧を見る（秘密は表示されない）"),
        ("tokens.manage", "Issue and revoke API tokens", "APIトークンを発行・失効する"),
        ("audit.read", "Read the audit trail", "監査記録を読む"),
        ("audit.verify", "Check that the audit trail is unbroken", "監査記録の改ざん検査を行う"),
        ("people.erase", "Forget a person for good", "本人の個人情報を完全に消去する"),
        ("people.hold", "Place and lift a legal hold", "法的保全を設定・解除する"),
        ("ledger.read", "See books, transfers and statements", "帳簿・振替・明細を見る"),
        ("ledger.propose", "Propose postings, transfers and limits of books", "記帳・振替・帳簿の限度額を提案する"),
        (
            "ledger.approve",
            "Approve or decline what a colleague wants booked",
            "同僚が提案した記帳・振替・限度額を承認・却下する",
        ),
        ("ledger.manage", "Open books", "帳簿を開設する"),
        (
            "ledger.post",
            "Make postings from templates without a second person; machines only",
            "仕訳テンプレートから承認なしで記帳する（システム連携専用）",
        ),
        (
            "ledger.transfer",
            "Make transfers by hand without a second person; machines only",
            "承認なしで手動の振替を行う（システム連携専用）",
        ),
        (
            "ledger.limits",
            "Change limits of books without a second person; machines only",
            "承認なしで帳簿の限度額を変更する（システム連携専用）",
        ),
        ("ledger.verify", "Prove every balance from the ledger's log", "台帳の記録からすべての残高を検証する"),
        ("bank.read", "See cash-outs, batches and statements", "振込・振込データ・入出金明細を見る"),
        (
            "bank.names",
            "Open names and account numbers at banks in full, logged",
            "銀行の口座名義・口座番号を伏せ字なしで見る（記録される）",
        ),
        (
            "bank.request",
            "Ask for cash-outs to bank accounts and take them back; machines only",
            "振込を申請し、取り下げる（システム連携専用）",
        ),
        ("bank.propose", "Draft batches for banks, say what a line is", "振込データを起案し、明細の内容を提案する"),
        (
            "bank.approve",
            "Approve what a colleague proposed, take files out",
            "同僚の起案を承認し、振込データを取り出す",
        ),
        ("bank.import", "Bring in statements of banks", "銀行の入出金明細を取り込む"),
        (
            "bank.manage",
            "Propose our own accounts at banks: new, changed, closed",
            "自社の銀行口座の登録・変更・閉鎖を提案する",
        ),
        ("ledger.close", "Close the books for a period", "期間の帳簿を締める"),
        ("ledger.reopen", "Open a closed period again, logged", "締めた期間を再開する（記録される）"),
        (
            "ledger.journal",
            "Take the journal out for the company's own books, logged",
            "自社の会計帳簿用に仕訳を書き出す（記録される）",
        ),
        ("payments.read", "See payments with their steps and calls", "決済とその手順・通信を見る"),
        ("payments.make", "Pay orders, capture, call off", "注文の決済、確定、取りやめを行う"),
        (
            "payments.payout",
            "Pay people out through providers; machines only",
            "決済会社を通じて利用者へ送金する（システム連携専用）",
        ),
        ("payments.refund", "Give captured money back", "確定した決済を返金する"),
        ("payments.decide", "Let a held payment go on, or refuse it", "保留中の決済を進める、または断る"),
        ("payments.repair", "Try again what a provider refused", "決済会社が断った処理をやり直す"),
        ("reconciliation.read", "See what does not match between ledger, providers and banks", "照合の不一致を見る"),
        (
            "reconciliation.run",
            "Take files in, compare, and say who sees to what",
            "照合用ファイルを取り込み、照合し、担当を決める",
        ),
        ("reconciliation.propose", "Propose an adjustment for an exception", "不一致の調整を提案する"),
        ("reconciliation.approve", "Approve or decline a colleague's adjustment", "同僚が提案した調整を承認・却下する"),
        ("exports.make", "Take lists out as files, logged", "一覧をファイルに書き出す（記録される）"),
        ("settings.read", "See the settings in force", "有効な設定を見る"),
        ("system.backup", "Take a backup", "バックアップを取る"),
    )
}

_AUDITOR: Final = (
    "board.read", "events.read", "quarantine.read", "decisions.read", "subjects.read", "sanctions.read", "rules.read",
    "packs.read", "lists.read", "labels.read", "cases.read", "appeals.read", "webhooks.read", "alerts.read", "logs.read",
    "scores.read",
    "evaluation.read", "simulation.read", "staff.read", "tokens.read", "audit.read", "audit.verify", "settings.read",
    "ledger.read", "ledger.verify", "ledger.journal", "exports.make",
    "oncall.read", "bank.read",
    "payments.read",
    "reconciliation.read",
)  # fmt: skip
_REVIEWER: Final = (
    "board.read", "events.read", "decisions.read", "subjects.read", "sanctions.read", "rules.read", "packs.read",
    "lists.read", "labels.read", "labels.write", "cases.read", "cases.work", "cases.decide", "cases.approve",
    "appeals.read", "appeals.decide", "alerts.read", "messages.read", "simulation.steer",
    "oncall.read", "oncall.answer", "scores.read",
)  # fmt: skip
_SPECIALIST: Final = (
    *_REVIEWER, "personal.read", "sanctions.impose", "sanctions.overturn", "rules.mode", "rules.undo",
    "rules.emergency", "rules.test", "packs.stage", "packs.activate", "lists.write", "quarantine.read",
    "quarantine.replay", "webhooks.read", "alerts.acknowledge", "logs.read", "logs.import", "evaluation.read",
    "simulation.read", "events.write", "ledger.read", "exports.make",
    "payments.read", "payments.decide",
)  # fmt: skip
_LEAD: Final = (
    *_SPECIALIST, "cases.assign", "webhooks.replay", "staff.read", "tokens.read", "people.hold", "settings.read",
    "metrics.read",
    "oncall.manage",
)  # fmt: skip
_INTEGRATOR: Final = (
    "board.read", "metrics.read", "events.write", "events.read", "decisions.read", "subjects.read", "sanctions.read",
    "actions.confirm", "quarantine.read", "quarantine.replay", "rules.read", "packs.read", "webhooks.read",
    "webhooks.manage", "webhooks.replay", "alerts.read", "tokens.read", "settings.read", "appeals.read",
    "appeals.file", "scores.read", "scores.write",
    "ledger.read", "bank.read", "payments.read", "payments.make", "payments.refund",
)  # fmt: skip
_FINANCE: Final = (
    "board.read", "events.read", "decisions.read", "subjects.read", "sanctions.read", "packs.read", "alerts.read",
    "alerts.acknowledge", "cases.read", "cases.work", "audit.read", "audit.verify", "ledger.read",
    "ledger.propose", "ledger.approve", "ledger.manage", "ledger.verify", "bank.read", "bank.names", "bank.propose", "bank.approve", "bank.import",
    "bank.manage",
    "ledger.close", "ledger.reopen", "ledger.journal",
    "payments.read", "payments.refund", "payments.decide", "payments.repair",
    "reconciliation.read", "reconciliation.run", "reconciliation.propose", "reconciliation.approve",
)  # fmt: skip

# What moves money without a second person, or names where it goes: no role brings it, an administrator gives it to a
# machine's token by name.
MACHINES: Final = frozenset({"ledger.post", "ledger.transfer", "ledger.limits", "bank.request", "payments.payout"})

ROLES: Final[Mapping[str, frozenset[str]]] = {
    "admin": frozenset(CATALOGUE) - MACHINES,
    "lead": frozenset(_LEAD),
    "specialist": frozenset(_SPECIALIST),
    "reviewer": frozenset(_REVIEWER),
    "auditor": frozenset(_AUDITOR),
    "integrator": frozenset(_INTEGRATOR),
    "finance": frozenset(_FINANCE),
}

ROLE_TITLES: Final[Mapping[str, Mapping[str, str]]] = {
    "admin": {"en": "Administrator", "ja": "管理者"},
    "lead": {"en": "Operations lead", "ja": "運用責任者"},
    "specialist": {"en": "Trust & Safety specialist", "ja": "T&Sスペシャリスト"},
    "reviewer": {"en": "Reviewer", "ja": "審査担当"},
    "auditor": {"en": "Auditor", "ja": "監査担当"},
    "integrator": {"en": "Integrator", "ja": "連携エンジニア"},
    "finance": {"en": "Finance", "ja": "経理担当"},
}


def grants_of(roles: tuple[str, ...]) -> dict[str, str]:
    """Return each permission of these roles with the first role that brings it; unknown roles bring nothing."""
    grants: dict[str, str] = {}
    for role in roles:
        for permission in sorted(ROLES.get(role, frozenset())):
            grants.setdefault(permission, f"role {role}")
    return grants


def grants_of_scopes(scopes: tuple[str, ...]) -> dict[str, str]:
    """Return each permission of these scopes; a scope is the name of one permission."""
    return {scope: f"scope {scope}" for scope in scopes if scope in CATALOGUE}
