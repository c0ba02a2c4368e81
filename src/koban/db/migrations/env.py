"""Alembic's environment: runs on the connection that `koban.db.migrate` hands over."""

from alembic import context

from koban.db.core import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
