"""What Alembic runs: the migrations, on the connection that the service hands over, in one transaction."""

from __future__ import annotations

from alembic import context

from tallystick_platform.store.tables import METADATA

_connection = context.config.attributes["connection"]
_connection.exec_driver_sql("BEGIN IMMEDIATE")
try:
    context.configure(connection=_connection, target_metadata=METADATA, transactional_ddl=False)
    context.run_migrations()
except BaseException:
    _connection.exec_driver_sql("ROLLBACK")
    raise
_connection.exec_driver_sql("COMMIT")
