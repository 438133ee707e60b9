"""up, down and status: servers are found again, and no process is left behind."""

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
from cli.servers import _plans, airflow_server, down, mlflow_server, status, up
from cli.servers.launch import ServerPlan, sigterm_as_interrupt, start
from cli.servers.processes import MARK, find_family, spawn, stop
from cli.servers.records import exclusive_lock, load_servers, running_servers
from pricebook.config import Settings
from pricebook.errors import ServiceError
from pricebook.files import write_json

FORKS_AND_IGNORES_TERM = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
open(f"{os.getpid()}.forked", "w").close()
time.sleep(600)
"""

LEAVES_ITS_SESSION_AND_PARENT = """
import os, time
if os.fork():
    os._exit(0)
os.setsid()
time.sleep(600)
"""

SLEEPS = "import time; time.sleep(600)"

UP = """
import signal, sys
from cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
sys.argv = ["pricebook", "up"]
main()
"""


def _ignore(text):
    del text


def _eventually(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)
    return value


@pytest.fixture
def settings(tmp_path):
    ports = {name: _free_port() for name in ("airflow_port", "mlflow_port", "service_port")}
    home = Settings(home=tmp_path, **ports)
    yield home
    down(home, _ignore)


def _free_port():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def plan(settings):
    """A real server that starts quickly: Python's file server."""
    return _file_server("files", settings.airflow_port)


def _file_server(name, port):
    url = f"http://127.0.0.1:{port}"
    return ServerPlan(
        name=name,
        url=url,
        address=("127.0.0.1", port),
        port_setting="PRICEBOOK_AIRFLOW_PORT",
        commands={f"{name}-server": [sys.executable, "-m", "http.server", str(port)]},
        environment=os.environ,
        pending=lambda _: "" if _responds(url) else "its page",
        patience=20,
    )


def _responds(url):
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False


def _spawn_python(code, folder):
    command = [sys.executable, "-c", f"import os; os.chdir({str(folder)!r})\n{code}"]
    return spawn("python", command, {**os.environ, MARK: str(folder)}, folder / "python.log")


def test_a_process_that_ignores_term_and_its_children_are_killed(tmp_path):
    process = _spawn_python(FORKS_AND_IGNORES_TERM, tmp_path)
    _eventually(lambda: len(list(tmp_path.glob("*.forked"))) == 2)
    assert stop([process], "", graces=(0.3, 0.3)) == 2
    assert find_family([process], "") == set()


def test_children_of_a_dead_leader_are_stopped(tmp_path):
    process = _spawn_python(FORKS_AND_IGNORES_TERM, tmp_path)
    _eventually(lambda: len(list(tmp_path.glob("*.forked"))) == 2)
    os.kill(process.pid, signal.SIGKILL)
    _eventually(lambda: not process.alive)
    assert len(find_family([process], "")) == 1
    stop([process], "", graces=(0.2, 0.2))
    assert find_family([process], "") == set()


def test_a_process_that_left_its_session_and_parent_is_found_by_its_mark(tmp_path):
    process = _spawn_python(LEAVES_ITS_SESSION_AND_PARENT, tmp_path)
    _eventually(lambda: not process.alive)
    assert len(find_family([process], str(tmp_path))) == 1
    stop([], str(tmp_path), graces=(2, 1))
    assert find_family([process], str(tmp_path)) == set()


def test_a_process_that_reuses_a_pid_is_not_touched(tmp_path):
    stranger = _spawn_python(SLEEPS, tmp_path)
    ours = replace(stranger, began=stranger.began - 100)
    assert not ours.alive
    assert stop([ours], "", graces=(0.1, 0.1)) == 0
    assert stranger.alive
    stop([stranger], "", graces=(2, 1))


def test_a_process_from_before_a_reboot_owns_no_session(tmp_path):
    process = _spawn_python(SLEEPS, tmp_path)
    assert process.owns_session
    assert not replace(process, began=psutil.boot_time() - 60).owns_session
    stop([process], "", graces=(2, 1))


def test_a_missing_program_is_named(tmp_path):
    with pytest.raises(ServiceError, match="Received: /no/such/program"):
        spawn("airflow", ["/no/such/program"], {}, tmp_path / "log")


def test_starting_a_running_server_changes_nothing(plan, settings):
    messages = []
    first = start([plan], settings, messages.append)
    assert start([plan], settings, messages.append) == first
    assert messages[-1] == f"files: already running at {plan.url}"


def test_a_server_is_found_again_and_stopped(plan, settings):
    server = start([plan], settings, _ignore)["files"]
    assert running_servers(settings) == {"files": server}
    down(settings, _ignore)
    assert not server.running
    assert not _responds(plan.url)
    assert load_servers(settings) == {}


def test_a_taken_port_is_named_with_its_setting(plan, settings):
    with (
        closing(socket.create_server(plan.address)),
        pytest.raises(ServiceError, match=rf"PRICEBOOK_AIRFLOW_PORT.*{plan.address[1]}"),
    ):
        start([plan], settings, _ignore)
    assert load_servers(settings) == {}


def test_a_taken_port_of_one_server_keeps_the_others_from_starting(plan, settings):
    other = _file_server("other", settings.service_port)
    with closing(socket.create_server(other.address)), pytest.raises(ServiceError, match="other"):
        start([plan, other], settings, _ignore)
    assert not _responds(plan.url)


def test_a_server_that_fails_stops_the_ones_started_with_it(plan, settings):
    broken = replace(
        _file_server("broken", settings.service_port),
        commands={"broken": [sys.executable, "-c", "exit('no such luck')"]},
    )
    with pytest.raises(ServiceError, match=r"broken ended while starting.*\n.*no such luck"):
        start([plan, broken], settings, _ignore)
    assert load_servers(settings) == {}
    assert not _responds(plan.url)


def test_a_server_that_fails_leaves_a_running_one(plan, settings):
    start([plan], settings, _ignore)
    slow = replace(_file_server("slow", settings.service_port), pending=lambda _: "x", patience=0.1)
    with pytest.raises(ServiceError, match="still waiting for x"):
        start([plan, slow], settings, _ignore)
    assert set(running_servers(settings)) == {"files"}
    assert _responds(plan.url)


def test_late_processes_are_started_and_stopped_with_the_others(plan, settings):
    late = replace(plan, late_commands={"late": [sys.executable, "-c", SLEEPS]})
    server = start([late], settings, _ignore)["files"]
    assert [process.name for process in server.processes] == ["files-server", "late"]
    down(settings, _ignore)
    assert not any(process.alive for process in server.processes)


def test_the_demo_moves_away_from_a_taken_port(settings):
    with closing(socket.create_server(("127.0.0.1", settings.mlflow_port))):
        moved = on_free_ports(settings)
    assert moved.mlflow_port != settings.mlflow_port
    assert moved.airflow_port == settings.airflow_port


def test_the_demo_uses_the_port_of_a_running_server(plan, settings):
    server = replace(plan, name="airflow")
    start([server], settings, _ignore)
    other = settings.model_copy(update={"airflow_port": _free_port()})
    assert on_free_ports(other).airflow_port == settings.airflow_port


def test_a_server_that_crashed_is_started_again(plan, settings):
    server = start([plan], settings, _ignore)["files"]
    stop(server.processes, server.mark, graces=(2, 1))
    messages = []
    assert start([plan], settings, messages.append)["files"].running
    assert messages[0] == "files: stopping what is left of an earlier start"


def test_a_server_of_another_shop_is_an_error(plan, settings, tmp_path):
    start([plan], settings, _ignore)
    other = settings.model_copy(update={"params": tmp_path / "other.yaml"})
    with pytest.raises(ServiceError, match=r"pricebook down.*other\.yaml"):
        start([plan], other, _ignore)


def test_two_commands_do_not_start_one_home_at_once(plan, settings):
    with exclusive_lock(settings), pytest.raises(ServiceError, match="Another command"):
        start([plan], settings, _ignore)


@pytest.mark.parametrize("content", ["{", "[]", '{"airflow": {"url": "x"}}', '{"airflow": 1}'])
def test_a_damaged_record_is_named(tmp_path, content):
    settings = Settings(home=tmp_path)
    settings.state.mkdir()
    (settings.state / "servers.json").write_text(content)
    with pytest.raises(ServiceError, match=r"servers\.json is damaged"):
        status(settings, _ignore)


def test_term_raises_an_interrupt_like_ctrl_c():
    with pytest.raises(KeyboardInterrupt), sigterm_as_interrupt():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)


def test_the_price_service_is_started_once_there_is_a_price_book(settings):
    assert "price service" not in {plan.name for plan in _plans(settings)}
    write_json(settings.price_list / "bundle.json", {"models": {}, "why": "none was promoted"})
    assert "price service" in {plan.name for plan in _plans(settings)}


def test_down_with_no_server_says_so(settings):
    messages = []
    down(settings, messages.append)
    assert messages[0].startswith("Nothing is running in")


def test_an_interrupted_up_leaves_no_process(settings):
    environment = {
        **os.environ,
        "PRICEBOOK_HOME": str(settings.home),
        "PRICEBOOK_AIRFLOW_PORT": str(settings.airflow_port),
        "PRICEBOOK_MLFLOW_PORT": str(settings.mlflow_port),
    }
    command = subprocess.Popen(
        [sys.executable, "-c", UP], env=environment, stdout=subprocess.PIPE, cwd=settings.home
    )
    server = _eventually(lambda: _server_with_processes(settings))
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=60)
    assert command.returncode not in (0, None)
    assert load_servers(settings) == {}
    assert find_family(server.processes, server.mark) == set()


def _server_with_processes(settings):
    server = load_servers(settings).get("airflow")
    return server if server and server.processes else None


def test_up_starts_airflow_and_mlflow_and_down_leaves_no_process(settings):
    messages = []
    up(settings, messages.append)
    up(settings, messages.append)
    servers = load_servers(settings)
    assert sum("already running" in message for message in messages) == 2
    with airflow_server.client(settings) as airflow:
        assert airflow.dags() >= {"refresh", "retrain"}
        assert airflow.import_errors() == {}
        assert airflow.is_paused("retrain")
    _check_mlflow(settings, messages)
    messages.clear()
    status(settings, messages.append)
    assert f"mlflow: up at {mlflow_server.url(settings)}" in messages
    assert any(message.startswith("  airflow-triggerer: running") for message in messages)
    assert _memory(_family(servers["airflow"])) < 1500
    assert _memory(_family(servers["mlflow"])) < 700
    down(settings, _ignore)
    assert not any(_family(server) for server in servers.values())
    assert not _responds(mlflow_server.url(settings))


def _check_mlflow(settings, messages):
    """Its page opens by either name of the loopback address, and its API reads the home."""
    assert mlflow_server.welcome(mlflow_server.url(settings)) in messages
    for host in ("127.0.0.1", "localhost"):
        page = httpx.get(f"http://{host}:{settings.mlflow_port}/")
        assert (page.status_code, "<title>MLflow" in page.text) == (200, True)
        search = f"http://{host}:{settings.mlflow_port}/api/2.0/mlflow/registered-models/search"
        assert httpx.get(search).status_code == 200
    assert (settings.state / "mlflow.db").exists()


def _family(server):
    return find_family(server.processes, server.mark)


def _memory(processes):
    """Megabytes. Shared memory is counted once."""
    return sum(_proportional_set_size(process) for process in processes) / 1e6


def _proportional_set_size(process):
    try:
        return process.memory_full_info().pss
    except (AttributeError, psutil.Error):
        return 0
