"""Alembic's entry. In: an open connection in a transaction, from `storage.migrate`. Out: the migrations run in it."""

from alembic import context

from trunkline.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
