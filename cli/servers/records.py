"""The record of the servers that were started in a home: `.pricebook/servers.json`.

It is written before the first process of a server and after each one. So `down` finds every
process, whatever interrupted the start.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cli.servers.processes import Process
from pricebook.config import Settings
from pricebook.errors import DamagedFile, ServiceError
from pricebook.files import read_json, write_json


@dataclass(frozen=True)
class Server:
    """A server that was started.

    Attributes:
        name: its name in messages.
        url: where it listens.
        params: the params file it was started with.
        mark: the value of the environment variable `MARK` in its processes.
        processes: the processes that were started, without those they started themselves.
    """

    name: str
    url: str
    params: str
    mark: str
    processes: tuple[Process, ...] = ()

    @property
    def running(self) -> bool:
        """Whether all its processes run."""
        return bool(self.processes) and all(process.alive for process in self.processes)


def load_servers(settings: Settings) -> dict[str, Server]:
    """The servers that were started in this home, by name, whether they still run or not.

    Raises:
        ServiceError: the record cannot be read.
    """
    path = _path(settings)
    if not path.exists():
        return {}
    try:
        return {name: _server(name, entry) for name, entry in read_json(path).items()}
    except (DamagedFile, KeyError, TypeError, AttributeError) as error:
        raise ServiceError(
            f"{path} is damaged. Stop the servers of this home by hand, then delete the file. "
            f"Received: {error!r}"
        ) from None


def running_servers(settings: Settings) -> dict[str, Server]:
    """The servers of this home that run now, by name."""
    return {name: server for name, server in load_servers(settings).items() if server.running}


def save_server(server: Server, settings: Settings) -> None:
    """Add a server to the record, or replace its entry."""
    _write(load_servers(settings) | {server.name: server}, settings)


def remove_server(name: str, settings: Settings) -> None:
    """Remove a server from the record."""
    servers = load_servers(settings)
    servers.pop(name, None)
    _write(servers, settings)


@contextmanager
def exclusive_lock(settings: Settings) -> Iterator[None]:
    """Keep other commands from starting or stopping servers of this home meanwhile.

    The kernel releases the lock when the process ends, however it ends.

    Raises:
        ServiceError: another command holds the lock.
    """
    settings.state.mkdir(parents=True, exist_ok=True)
    with (settings.state / "servers.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceError(
                "Another command is starting or stopping the servers of this home. Wait for it, or "
                f"interrupt it. Received: {settings.home.resolve()}"
            ) from None
        yield


def _server(name: str, entry: dict[str, Any]) -> Server:
    processes = tuple(Process(**process) for process in entry["processes"])
    return Server(name, entry["url"], entry["params"], entry["mark"], processes)


def _path(settings: Settings) -> Path:
    return settings.state / "servers.json"


def _write(servers: dict[str, Server], settings: Settings) -> None:
    if servers:
        entries = {name: asdict(server) for name, server in servers.items()}
        write_json(_path(settings), entries)
    else:
        _path(settings).unlink(missing_ok=True)
