"""Every table of the house: importing this module makes the metadata complete, for migrations and for tests."""

import koban.access.store
import koban.audit.store
import koban.banking.expected_store
import koban.banking.store
import koban.board.store
import koban.cases.store
import koban.cases.work_store
import koban.db
import koban.decisions.store
import koban.emergency.store
import koban.enforcement.appeal_store
import koban.enforcement.store
import koban.events.archive.store
import koban.events.store
import koban.features.store
import koban.finding.store
import koban.insight.health_store
import koban.insight.store
import koban.lab.kept
import koban.labels.store
import koban.ledger.booking_store
import koban.ledger.posting_store
import koban.ledger.store
import koban.lists.owners
import koban.lists.store
import koban.oncall.store
import koban.packs.draft_store
import koban.packs.store
import koban.payments.store
import koban.reconciliation.store
import koban.rules.mode_drafts
import koban.rules.store
import koban.scores.store
import koban.vault.store
import koban.webhooks.store

METADATA = koban.db.metadata
INDEX_METADATA = koban.db.index_metadata
