"""Where the journals of format version 2 begin: a new one gets the newest tables as they are, so there is nothing to do."""

revision = "2001"
down_revision = None


def upgrade() -> None:
    """Nothing comes before."""
