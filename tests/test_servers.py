"""up and down: what is started is found again, and nothing of it is left behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace

import httpx
import psutil
import pytest

from cli.demo import on_free_ports
from cli.servers import airflow_server, down, status, up
from cli.servers.launch import Plan, alone, interruptible, recorded, start
from cli.servers.processes import MARK, family, spawn, stop
from pricebook.config import Settings
from pricebook.errors import ServiceError

FORKS_AND_IGNORES_TERM = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
open(f"{os.getpid()}.forked", "w").close()
time.sleep(600)
"""

LEAVES = """
import os, time
if os.fork():
    os._exit(0)
os.setsid()
time.sleep(600)
"""


UP = """
import signal, sys
from cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits it ignored
sys.argv = ["pricebook", "up"]
main()
"""


def _quiet(text):
    del text


def _eventually(found, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)
    return value


@pytest.fixture
def settings(tmp_path):
    home = Settings(home=tmp_path, airflow_port=_free(), service_port=_free())
    yield home
    down(home, _quiet)


def _free():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def plan(settings):
    """A server that is real and quick to start: Python's own, for files."""
    port = settings.airflow_port
    url = f"http://127.0.0.1:{port}"
    return Plan(
        name="files",
        url=url,
        address=("127.0.0.1", port),
        port_setting="PRICEBOOK_AIRFLOW_PORT",
        commands={"file-server": [sys.executable, "-m", "http.server", str(port)]},
        environment=os.environ,
        pending=lambda _: "" if _answers(url) else "its page",
        patience=20,
    )


def _answers(url):
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False


def _spawned(code, folder):
    command = [sys.executable, "-c", f"import os; os.chdir({str(folder)!r})\n{code}"]
    return spawn("one", command, {**os.environ, MARK: str(folder)}, folder / "one.log")


def test_a_stubborn_process_and_its_children_are_ended(tmp_path):
    process = _spawned(FORKS_AND_IGNORES_TERM, tmp_path)
    _eventually(lambda: len(list(tmp_path.glob("*.forked"))) == 2)
    assert stop([process], "", graces=(0.3, 0.3)) == 2
    assert family([process], "") == []


def test_children_of_a_dead_leader_are_ended(tmp_path):
    process = _spawned(FORKS_AND_IGNORES_TERM, tmp_path)
    _eventually(lambda: len(list(tmp_path.glob("*.forked"))) == 2)
    os.kill(process.pid, signal.SIGKILL)
    assert len(_eventually(lambda: family([process], ""))) == 1
    stop([process], "", graces=(0.2, 0.2))
    assert family([process], "") == []


def test_what_left_its_session_and_lost_its_parent_is_found_by_its_mark(tmp_path):
    process = _spawned(LEAVES, tmp_path)
    _eventually(lambda: not process.alive)
    assert len(family([process], str(tmp_path))) == 1
    stop([], str(tmp_path), graces=(2, 1))
    assert family([process], str(tmp_path)) == []


def test_a_recycled_pid_is_left_alone(tmp_path):
    stranger = _spawned("import time; time.sleep(600)", tmp_path)
    ours = replace(stranger, began=stranger.began - 100)
    assert not ours.alive
    assert stop([ours], "", graces=(0.1, 0.1)) == 0
    assert stranger.alive
    stop([stranger], "", graces=(2, 1))


def test_a_program_that_is_not_installed_is_named(tmp_path):
    with pytest.raises(ServiceError, match="Received: /no/such/program"):
        spawn("airflow", ["/no/such/program"], {}, tmp_path / "log")


def test_started_twice_a_server_says_it_is_up(plan, settings):
    told = []
    first = start(plan, settings, told.append)
    assert start(plan, settings, told.append) == first
    assert told[-1] == f"files: already up at {plan.url}"


def test_a_server_is_found_again_and_stopped(plan, settings):
    server = start(plan, settings, _quiet)
    assert recorded(settings) == {"files": server}
    down(settings, _quiet)
    assert not server.up
    assert not _answers(plan.url)
    assert recorded(settings) == {}


def test_a_taken_port_is_named_with_its_setting(plan, settings):
    with (
        closing(socket.create_server(plan.address)),
        pytest.raises(ServiceError, match=rf"PRICEBOOK_AIRFLOW_PORT.*{plan.address[1]}"),
    ):
        start(plan, settings, _quiet)
    assert recorded(settings) == {}


def test_the_demo_moves_away_from_a_taken_port(settings):
    with closing(socket.create_server(("127.0.0.1", settings.airflow_port))):
        moved = on_free_ports(settings)
    assert moved.airflow_port != settings.airflow_port
    assert moved.service_port == settings.service_port


def test_a_stale_record_is_cleared_away(plan, settings):
    server = start(plan, settings, _quiet)
    stop(server.processes, server.mark, graces=(2, 1))
    told = []
    assert start(plan, settings, told.append).up
    assert "clearing away" in told[0]


def test_a_server_that_ends_while_starting_shows_its_log(plan, settings):
    broken = replace(plan, commands={"broken": [sys.executable, "-c", "exit('no such luck')"]})
    with pytest.raises(ServiceError, match=r"broken ended while starting.*\n.*no such luck"):
        start(broken, settings, _quiet)
    assert recorded(settings) == {}


def test_a_server_that_is_never_ready_is_stopped(plan, settings):
    slow = replace(plan, pending=lambda _: "a miracle", patience=0.5)
    with pytest.raises(ServiceError, match="still waiting for a miracle"):
        start(slow, settings, _quiet)
    assert not _answers(plan.url)


def test_a_server_of_another_shop_is_not_taken_for_ours(plan, settings, tmp_path):
    start(plan, settings, _quiet)
    other = settings.model_copy(update={"params": tmp_path / "other.yaml"})
    with pytest.raises(ServiceError, match=r"pricebook down.*other\.yaml"):
        start(plan, other, _quiet)


def test_two_commands_do_not_start_one_home_at_once(plan, settings):
    with alone(settings), pytest.raises(ServiceError, match="Another command"):
        start(plan, settings, _quiet)


def test_term_interrupts_like_ctrl_c():
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)


def test_down_with_nothing_up_says_so(settings):
    told = []
    down(settings, told.append)
    assert told[0].startswith("Nothing is up in")


def test_interrupting_up_leaves_nothing(settings):
    env = {
        **os.environ,
        "PRICEBOOK_HOME": str(settings.home),
        "PRICEBOOK_AIRFLOW_PORT": str(settings.airflow_port),
    }
    running = subprocess.Popen(
        [sys.executable, "-c", UP], env=env, stdout=subprocess.PIPE, cwd=settings.home
    )
    begun = _eventually(lambda: _begun(settings))
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode not in (0, None)
    assert recorded(settings) == {}
    assert family(begun.processes, begun.mark) == []


def _begun(settings):
    server = recorded(settings).get("airflow")
    return server if server and server.processes else None


def test_airflow_comes_up_with_both_dags_and_goes_without_a_trace(settings):
    told = []
    up(settings, told.append)
    up(settings, told.append)
    server = recorded(settings)["airflow"]
    assert sum(line.startswith("airflow: already up") for line in told) == 1
    with airflow_server.client(settings) as airflow:
        assert airflow.dags() >= {"refresh", "retrain"}
        assert airflow.import_errors() == {}
        assert airflow.is_paused("retrain")
    status(settings, told.append)
    assert told[-4:][0].startswith("  airflow-api-server: running")
    assert _memory(family(server.processes, server.mark)) < 1500
    down(settings, _quiet)
    assert family(server.processes, server.mark) == []


def _memory(living):
    """Megabytes, what is shared counted once."""
    return sum(_proportional(one) for one in living) / 1e6


def _proportional(process):
    try:
        return process.memory_full_info().pss
    except (AttributeError, psutil.Error):
        return 0
