"""The schema of the ledger: created, upgraded from version 0.1.0, and never half upgraded."""

import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from ledger import last_verdicts, list_alerts, open_ledger, schema
from ledger.tables import Base
from pricebook.config import REPO_ROOT
from pricebook.errors import LedgerError

OLD_HOME = Path(__file__).parent / "fixtures" / "home_0_1_0.tar.gz"

ADD_NOTES = """
import os
import signal

from alembic import op
import sqlalchemy as sa

revision, down_revision = "0002", "0001"


def upgrade():
    op.create_table("notes", sa.Column("id", sa.Integer(), primary_key=True))
    op.add_column("alerts", sa.Column("note", sa.String()))
    if os.environ.get("KILL"):
        os.kill(os.getpid(), signal.SIGKILL)
"""

UPGRADE = """
import sys
from pathlib import Path
from sqlalchemy import create_engine
from ledger.schema import bring_up_to_date

bring_up_to_date(create_engine(sys.argv[1]), Path(sys.argv[2]), head="0002")
"""


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def old_ledger(tmp_path):
    """The ledger of a home made by version 0.1.0."""
    with tarfile.open(OLD_HOME) as archive:
        content = archive.extractfile("kiosk/.pricebook/ledger.db").read()
    (tmp_path / "ledger.db").write_bytes(content)
    return tmp_path / "ledger.db"


@pytest.fixture
def next_migrations(tmp_path):
    """The migrations with one more revision, as a later version of Pricebook may have."""
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    for file in schema.MIGRATIONS.rglob("*.py"):
        (folder / file.relative_to(schema.MIGRATIONS)).write_text(file.read_text())
    (folder / "versions" / "v0002_notes.py").write_text(ADD_NOTES)
    return folder


def tables(path) -> set[str]:
    with sqlite3.connect(path) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def rows(path) -> dict[str, list]:
    with sqlite3.connect(path) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()
            for table in Base.metadata.tables
        }


def test_head_is_the_newest_revision():
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


@pytest.mark.parametrize("version", ["new", "0.1.0"])
def test_the_migrations_give_the_tables_of_the_models(url, request, version):
    if version == "0.1.0":
        request.getfixturevalue("old_ledger")
    open_ledger(url)
    with create_engine(url).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_a_ledger_of_version_0_1_0_keeps_all_rows(url, old_ledger):
    before = rows(old_ledger)
    ledger = open_ledger(url)
    assert rows(old_ledger) == before
    assert [len(table) for table in before.values()] == [4, 2, 8, 2]
    assert (len(list_alerts(ledger)), len(last_verdicts(ledger))) == (4, 2)


def test_a_ledger_of_version_0_1_0_without_its_later_tables_gets_them(url, old_ledger):
    with sqlite3.connect(old_ledger) as connection:
        connection.execute("DROP TABLE api_keys")
    open_ledger(url)
    assert "api_keys" in tables(old_ledger)


def test_an_up_to_date_ledger_opens_without_importing_alembic(url):
    open_ledger(url)
    code = "import sys; from ledger import open_ledger; open_ledger(sys.argv[1])"
    code += "; print('alembic' in sys.modules)"
    command = [sys.executable, "-c", code, url]
    printed = subprocess.run(command, cwd=REPO_ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "False"


def test_a_ledger_of_a_newer_version_is_refused(url, tmp_path):
    open_ledger(url)
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerError, match=r"newer version of Pricebook .* Received: .* 9999; "):
        open_ledger(url)


def upgrade(url, migrations, **environment):
    command = [sys.executable, "-c", UPGRADE, url, str(migrations)]
    options = {"cwd": REPO_ROOT, "env": os.environ | environment, "capture_output": True}
    return subprocess.run(command, check=False, text=True, **options)


def test_a_killed_migration_changes_nothing_and_can_run_again(url, old_ledger, next_migrations):
    before = rows(old_ledger)
    assert upgrade(url, next_migrations, KILL="1").returncode == -signal.SIGKILL
    assert tables(old_ledger).isdisjoint({"notes", "alembic_version"})
    assert rows(old_ledger) == before
    done = upgrade(url, next_migrations)
    assert done.returncode == 0, done.stderr
    assert tables(old_ledger) > {"notes", "alembic_version"}
    assert [row[:-1] for row in rows(old_ledger)["alerts"]] == before["alerts"]


def test_processes_may_create_one_ledger_at_the_same_time(url, tmp_path):
    code = "import sys; from ledger import open_ledger; print('ready', flush=True)"
    code += "; sys.stdin.read(); open_ledger(sys.argv[1])"
    command = [sys.executable, "-c", code, url]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | {"text": True}
    processes = [subprocess.Popen(command, cwd=REPO_ROOT, **pipes) for _ in range(4)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.close()  # all have imported the ledger; now they open it together
    errors = [(process.stderr.read(), process.wait()) for process in processes]
    assert errors == [("", 0)] * 4
    assert tables(tmp_path / "ledger.db") > set(Base.metadata.tables)
