"""Start servers that outlive the command, wait until they are ready, and stop them."""

from __future__ import annotations

import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from cli.servers.processes import MARK, spawn, stop
from cli.servers.records import (
    Server,
    exclusive_lock,
    load_servers,
    remove_server,
    running_servers,
    save_server,
)
from pricebook.config import Settings
from pricebook.errors import ServiceError

Echo = Callable[[str], None]  # prints one line for the person who waits

POLL_INTERVAL = 0.25  # seconds between two checks of a starting server


@dataclass(frozen=True)
class ServerPlan:
    """How to start a server.

    Attributes:
        name: its name in messages.
        url: where it will listen.
        address: host and port, to check that the port is free.
        port_setting: the environment variable that chooses another port.
        commands: the commands of its processes, by name.
        environment: all environment variables of its processes.
        pending: returns what is not ready yet, or "" when the server is ready. It receives the time
            at which the start began, in seconds since the epoch.
        prepare: runs to its end before the processes start; it receives a log file.
        late_commands: like `commands`, but started once the server is ready, without waiting.
        patience: how long the server may take to be ready, in seconds.
    """

    name: str
    url: str
    address: tuple[str, int]
    port_setting: str
    commands: Mapping[str, list[str]]
    environment: Mapping[str, str]
    pending: Callable[[float], str]
    prepare: Callable[[Path], None] | None = None
    late_commands: Mapping[str, list[str]] = field(default_factory=dict)
    patience: float = 180.0


def start(plans: Sequence[ServerPlan], settings: Settings, echo: Echo) -> dict[str, Server]:
    """Start servers side by side and wait until all are ready. A running one is left as it is.

    A failure or an interrupt stops the servers that this call started.

    Returns:
        the servers of this home, by name.

    Raises:
        ServiceError: a port is taken, a process ended, a server is not ready in time, or it already
            runs for another shop; or another command is starting servers.
    """
    with exclusive_lock(settings):
        before = set(running_servers(settings))
        plans = [plan for plan in plans if not _is_running(plan, settings, echo)]
        for plan in plans:
            check_port(plan)
        try:
            for plan in plans:
                _launch(plan, settings, echo)
            for plan in plans:
                _wait(plan, settings, echo)
        except BaseException:  # Ctrl-C as well
            stop_others(before, settings, echo)
            raise
        return load_servers(settings)


def stop_others(keep: Collection[str], settings: Settings, echo: Echo) -> None:
    """Stop the servers of this home whose names are not in `keep`."""
    for name, server in load_servers(settings).items():
        if name not in keep:
            echo(f"{name}: stopping")
            stop_server(server, settings)


def stop_server(server: Server, settings: Settings) -> int:
    """Stop a server and remove it from the record. Returns the number of its processes."""
    count = stop(server.processes, server.mark)
    remove_server(server.name, settings)
    return count


def environment(settings: Settings) -> dict[str, str]:
    """This process's environment, with the settings as PRICEBOOK_* variables.

    Paths are absolute, because a server may have another working folder.
    """
    absolute = settings.model_copy(
        update={"home": settings.home.resolve(), "params": settings.params.resolve()}
    )
    variables = {
        f"PRICEBOOK_{name.upper()}": str(value)
        for name, value in absolute.model_dump().items()
        if value is not None
    }
    return {**os.environ, **variables}


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt on TERM, too, so that clean-up code runs."""
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen on the port."""
    with socket.socket() as probe:
        # As servers do: a port that still has closing connections counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def check_port(plan: ServerPlan) -> None:
    """Check that the server can have its port.

    Raises:
        ServiceError: another program listens there.
    """
    host, port = plan.address
    if not port_is_free(host, port):
        raise ServiceError(
            f"{plan.name} cannot listen on {host}: another program uses the port. Choose another "
            f"with {plan.port_setting}. Received: {port}"
        )


def log_folder(settings: Settings) -> Path:
    """The folder of the servers' own output."""
    return settings.state / "logs"


def log_tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log file, with a heading."""
    text = log.read_text(errors="replace").splitlines()[-lines:] if log.exists() else []
    return f"The end of {log}:\n" + "\n".join(text)


def _is_running(plan: ServerPlan, settings: Settings, echo: Echo) -> bool:
    server = load_servers(settings).get(plan.name)
    if server is None:
        return False
    if not server.running:
        echo(f"{plan.name}: stopping what is left of an earlier start")
        stop_server(server, settings)
        return False
    if server.params != str(settings.params.resolve()):
        raise ServiceError(
            f"{server.name} of this home already runs with {server.params}. Stop it with "
            "`pricebook down`, or choose another PRICEBOOK_HOME. "
            f"Received: {settings.params.resolve()}"
        )
    echo(f"{plan.name}: already running at {server.url}")
    return True


def _launch(plan: ServerPlan, settings: Settings, echo: Echo) -> None:
    server = Server(plan.name, plan.url, str(settings.params.resolve()), uuid.uuid4().hex)
    save_server(server, settings)
    if plan.prepare:
        echo(f"{plan.name}: preparing its database")
        plan.prepare(log_folder(settings) / f"{plan.name}-prepare.log")
    _spawn_all(plan, plan.commands, settings)


def _spawn_all(plan: ServerPlan, commands: Mapping[str, list[str]], settings: Settings) -> None:
    server = load_servers(settings)[plan.name]
    for name, command in commands.items():
        log = log_folder(settings) / f"{name}.log"
        log.unlink(missing_ok=True)
        process = spawn(name, command, {**plan.environment, MARK: server.mark}, log)
        server = replace(server, processes=(*server.processes, process))
        save_server(server, settings)  # after each process: an interrupt leaves none unrecorded


def _wait(plan: ServerPlan, settings: Settings, echo: Echo) -> None:
    server = load_servers(settings)[plan.name]
    began, message = server.processes[0].began, ""
    deadline = time.monotonic() + plan.patience
    while pending := plan.pending(began):
        _check_processes(server, settings)
        if time.monotonic() > deadline:
            raise ServiceError(
                f"{plan.name} is not ready after {plan.patience:.0f} s. Its logs are in "
                f"{log_folder(settings)}. Received: still waiting for {pending}"
            )
        if pending != message:
            echo(f"{plan.name}: waiting for {pending}")
            message = pending
        time.sleep(POLL_INTERVAL)
    _spawn_all(plan, plan.late_commands, settings)
    echo(f"{plan.name}: ready after {time.time() - began:.0f} s")


def _check_processes(server: Server, settings: Settings) -> None:
    for process in server.processes:
        if not process.alive:
            log = log_folder(settings) / f"{process.name}.log"
            raise ServiceError(f"{process.name} ended while starting. {log_tail(log)}")
