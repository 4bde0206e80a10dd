"""What Alembic runs: the migrations, on the connection that the service hands over, inside of its transaction."""

from __future__ import annotations

from alembic import context

from tallystick_platform.store.tables import METADATA

_connection = context.config.attributes["connection"]
context.configure(connection=_connection, target_metadata=METADATA, transactional_ddl=False)
context.run_migrations()
