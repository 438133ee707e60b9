"""Alembic migrations of the ledger; `ledger.schema` runs them when a ledger is opened."""
