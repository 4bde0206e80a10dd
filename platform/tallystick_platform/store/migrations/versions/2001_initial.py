"""The first schema of format version 2: the tables as tables.py has them.

No release has this schema yet, so it may still change there. The first release that changes it spells it out here beforehand, column by
column: otherwise a new database would get from this step what a later step adds once more.
"""

from __future__ import annotations

from alembic import op

from tallystick_platform.store.tables import METADATA

revision = "2001"
down_revision = None


def upgrade() -> None:
    """Make every table. Raises: OperationalError where one is there already."""
    METADATA.create_all(op.get_bind(), checkfirst=False)
