"""Alembic's environment: runs on the connection that `koban.db.migrate` hands over."""

from alembic import context

from koban.db import index_metadata, metadata

connection = context.config.attributes["connection"]
is_sqlite = connection.dialect.name == "sqlite"
context.configure(
    connection=connection,
    target_metadata=metadata if is_sqlite else [metadata, index_metadata],  # SQLite has these in a file of their own
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
