"""Alembic's side of the schema; `versions/` holds one file per step, never edited once released."""
