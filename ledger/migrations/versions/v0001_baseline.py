"""The tables of version 0.1.0.

That version created them without Alembic, and an early home of it may lack the later ones. So this
revision creates only what does not exist yet.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _alerts()
    _verdicts()
    _prices()
    _api_keys()


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("fingerprint", sa.String(), nullable=False, unique=True),
        sa.Column("table_name", sa.String(), nullable=False),
        sa.Column("check_name", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("failing", sa.BigInteger(), nullable=False),
        sa.Column("sample", sa.JSON(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_passed", sa.DateTime(timezone=True)),
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("occurrences", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String()),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("waived_until", sa.Date()),
        sa.Column("reason", sa.String()),
        if_not_exists=True,
    )


def _verdicts() -> None:
    op.create_table(
        "verdicts",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_verdicts_created_at", "verdicts", ["created_at"], if_not_exists=True)


def _prices() -> None:
    op.create_table(
        "prices",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        if_not_exists=True,
    )
    series = ["sku", "zone", "effective_from"]
    op.create_index("prices_by_series", "prices", series, if_not_exists=True)


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("per_second", sa.Double()),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        if_not_exists=True,
    )
