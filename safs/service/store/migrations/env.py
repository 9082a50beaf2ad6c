"""What Alembic runs to migrate: on the connection, and in the transaction, of `Database.migrate`."""

from alembic import context

from safs.service.store.tables import Base

if __name__ == "env_py":  # so Alembic calls it; imported, it does nothing
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=Base.metadata,
        render_as_batch=True,
        compare_type=True,
    )
    context.run_migrations()
