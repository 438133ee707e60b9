"""Starting a server and finding it again: it outlives the command, and is ready when that returns.

`servers.json` in the home says what was started; it is written before the first process and after
each one, so that whatever interrupts a start, `down` finds everything. A lock keeps two commands
from starting the same home at once.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cli.servers.processes import MARK, Process, spawn, stop
from pricebook.config import Settings
from pricebook.errors import ServiceError
from pricebook.files import read_json, write_json

Tell = Callable[[str], None]

POLL = 0.25  # seconds between two looks at a starting server


@dataclass(frozen=True)
class Plan:
    """How to start a server.

    `commands` are its processes by name; `prepare` runs to its end before them. `pending` says what
    is not ready yet (nothing: all is), given the epoch second at which the start began.
    """

    name: str
    url: str
    address: tuple[str, int]
    port_setting: str
    commands: Mapping[str, list[str]]
    environment: Mapping[str, str]
    pending: Callable[[float], str]
    prepare: Sequence[str] = ()
    patience: float = 180.0  # seconds


@dataclass(frozen=True)
class Server:
    """A server that was started, where it is, its params file, and the mark of its processes."""

    name: str
    url: str
    params: str
    mark: str
    processes: tuple[Process, ...] = ()

    @property
    def up(self) -> bool:
        return bool(self.processes) and all(process.alive for process in self.processes)


def start(plan: Plan, settings: Settings, tell: Tell) -> Server:
    """Start a server and wait until it is ready; one that is up already is left as it is.

    Raises:
        ServiceError: its port is taken, a process of it ended, it is not ready in time, or it is up
            for another shop.
    """
    with alone(settings):
        known = recorded(settings).get(plan.name)
        if known and known.up:
            _same_shop(known, settings)
            tell(f"{plan.name}: already up at {known.url}")
            return known
        if known:
            tell(f"{plan.name}: clearing away what is left of an earlier start")
            stop_server(known, settings)
        claim(plan)
        try:
            return _start(plan, settings, tell)
        except BaseException:
            if begun := recorded(settings).get(plan.name):
                tell(f"{plan.name}: stopping what was started")
                stop_server(begun, settings)
            raise


def names_up(settings: Settings) -> set[str]:
    """The servers of this home that are up."""
    return {name for name, server in recorded(settings).items() if server.up}


def stop_since(before: set[str], settings: Settings, tell: Tell) -> None:
    """Stop the servers that were not up `before`."""
    for name, server in recorded(settings).items():
        if name not in before:
            tell(f"{name}: stopping")
            stop_server(server, settings)


def stop_server(server: Server, settings: Settings) -> None:
    """Stop a server's processes and forget it."""
    stop(server.processes, server.mark)
    forget(server.name, settings)


def recorded(settings: Settings) -> dict[str, Server]:
    """The servers started in this home, by name, whether they still run or not."""
    path = _record(settings)
    if not path.exists():
        return {}
    return {
        name: Server(
            name,
            entry["url"],
            entry["params"],
            entry["mark"],
            tuple(Process(**one) for one in entry["processes"]),
        )
        for name, entry in read_json(path).items()
    }


def environment(settings: Settings) -> dict[str, str]:
    """This environment, with the settings as PRICEBOOK_* variables for the processes started."""
    here = settings.model_copy(
        update={"home": settings.home.resolve(), "params": settings.params.resolve()}
    )
    given = {
        f"PRICEBOOK_{name.upper()}": str(value)
        for name, value in here.model_dump().items()
        if value is not None
    }
    return {**os.environ, **given}


@contextmanager
def interruptible() -> Iterator[None]:
    """Let TERM interrupt like Ctrl-C, so that what was started is stopped either way."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def logs(settings: Settings) -> Path:
    """Where the servers' own output goes."""
    return settings.state / "logs"


def _params(settings: Settings) -> str:
    return str(settings.params.resolve())


def _same_shop(server: Server, settings: Settings) -> None:
    if server.params != _params(settings):
        raise ServiceError(
            f"{server.name} of this home is up with {server.params}; `pricebook down` first, or "
            f"choose another PRICEBOOK_HOME. Received: {_params(settings)}"
        )


def _start(plan: Plan, settings: Settings, tell: Tell) -> Server:
    began = time.time()
    server = Server(plan.name, plan.url, _params(settings), uuid.uuid4().hex)
    _remember(server, settings)
    if plan.prepare:
        tell(f"{plan.name}: preparing its database")
        _prepare(plan, logs(settings) / f"{plan.name}-prepare.log")
    for name, command in plan.commands.items():
        log = logs(settings) / f"{name}.log"
        log.unlink(missing_ok=True)
        process = spawn(name, command, {**plan.environment, MARK: server.mark}, log)
        server = replace(server, processes=(*server.processes, process))
        _remember(server, settings)
    _wait(plan, server, settings, tell)
    tell(f"{plan.name}: up after {time.time() - began:.0f} s")
    return server


def _prepare(plan: Plan, log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        done = subprocess.run(
            plan.prepare,
            env=dict(plan.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise ServiceError(f"{plan.name} could not prepare its database. {_tail(log)}")


def _wait(plan: Plan, server: Server, settings: Settings, tell: Tell) -> None:
    began, told = server.processes[0].began, ""
    deadline = time.monotonic() + plan.patience
    while pending := plan.pending(began):
        for process in server.processes:
            if not process.alive:
                log = logs(settings) / f"{process.name}.log"
                raise ServiceError(f"{process.name} ended while starting. {_tail(log)}")
        if time.monotonic() > deadline:
            raise ServiceError(
                f"{plan.name} is not ready after {plan.patience:.0f} s; its logs are in "
                f"{logs(settings)}. Received: still waiting for {pending}"
            )
        if pending != told:
            tell(f"{plan.name}: waiting for {pending}")
            told = pending
        time.sleep(POLL)


def claim(plan: Plan) -> None:
    """Check that the server can have its port.

    Raises:
        ServiceError: another program listens there.
    """
    host, port = plan.address
    if not port_is_free(host, port):
        raise ServiceError(
            f"{plan.name} cannot listen on {host}: another program has the port. Choose another "
            f"with {plan.port_setting}. Received: {port}"
        )


def _tail(log: Path, lines: int = 12) -> str:
    text = log.read_text(errors="replace").splitlines()[-lines:] if log.exists() else []
    return f"The end of {log}:\n" + "\n".join(text)


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    settings.state.mkdir(parents=True, exist_ok=True)
    with (settings.state / "servers.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceError(
                "Another command is starting or stopping the servers of this home; wait for it, or "
                f"interrupt it. Received: {settings.home.resolve()}"
            ) from None
        yield


def _record(settings: Settings) -> Path:
    return settings.state / "servers.json"


def _remember(server: Server, settings: Settings) -> None:
    _write(recorded(settings) | {server.name: server}, settings)


def forget(name: str, settings: Settings) -> None:
    _write({key: one for key, one in recorded(settings).items() if key != name}, settings)


def _write(servers: dict[str, Server], settings: Settings) -> None:
    if servers:
        write_json(_record(settings), {name: asdict(one) for name, one in servers.items()})
    else:
        _record(settings).unlink(missing_ok=True)
