"""What Alembic runs for every command: it connects to the ledger and runs the migrations.

`ledger.schema` passes its own connection, inside a transaction. On the command line
(`alembic revision --autogenerate`) this opens the ledger of the current home.
"""

from alembic import context
from sqlalchemy import Connection, create_engine

from ledger.tables import Base
from pricebook.config import Settings


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,  # SQLite changes a column by copying its table
    )
    with context.begin_transaction():
        context.run_migrations()


if "connection" in context.config.attributes:
    run(context.config.attributes["connection"])
else:
    with create_engine(Settings().ledger).begin() as opened:
        run(opened)
