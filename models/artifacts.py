"""Keep MLflow's database valid when a home is moved or copied to another folder.

MLflow stores absolute artifact paths and has no call to change them. Without this, a moved home
could not load its models, and a copied home would write into the artifacts of the original.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def update_artifact_paths(database: Path, experiment: str, folder: Path) -> None:
    """Replace the artifact folder of an experiment in an MLflow SQLite database, if it differs.

    Paths to any other place, such as an object store, stay as they are.
    """
    new = folder.as_uri()
    query = "SELECT artifact_location FROM experiments WHERE name = ?"
    with closing(sqlite3.connect(database)) as connection, connection:  # one transaction
        (old,) = connection.execute(query, [experiment]).fetchone()
        if old == new or not old.endswith(f"/{folder.parent.name}/{folder.name}"):
            return
        for table, column in COLUMNS:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                f" WHERE substr({column}, 1, ?) = ?",
                [new, len(old) + 1, len(old), old],
            )
