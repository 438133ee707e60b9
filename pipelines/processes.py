"""Processes that outlive the command that starts them, and can be found and stopped afterwards.

Each is the leader of a session of its own, so whatever it forks can be found by the session's id,
even after the leader has died. A pid alone proves nothing (pids are recycled): the instant the
process began is kept beside it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from pricebook.errors import ServiceError

CLOCK_SLACK = 2.0  # seconds; the kernel's boot time, and all that is derived from it, may drift


@dataclass(frozen=True)
class Process:
    """A process we started: `pid` is its session's id too, `began` is in epoch seconds."""

    name: str
    pid: int
    began: float

    @property
    def alive(self) -> bool:
        """Whether it runs, and is not another process that was given its pid."""
        try:
            return _began_then(self) and not _zombie(psutil.Process(self.pid))
        except psutil.NoSuchProcess:
            return False


def spawn(name: str, command: list[str], environment: Mapping[str, str], log: Path) -> Process:
    """Start `command` (its first word is a path) in its own session, its output added to `log`.

    Raises:
        ServiceError: there is no such program.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    try:
        pid = os.posix_spawn(command[0], command, environment, file_actions=files, setsid=True)
    except FileNotFoundError:
        raise ServiceError(
            f"{name} needs a program that is not installed. Received: {command[0]}"
        ) from None
    return Process(name, pid, psutil.Process(pid).create_time())


def members(process: Process) -> list[psutil.Process]:
    """Everything in the session of `process`, and what descends from it; empty if it is long gone.

    The kernel gives no new process the id of a living session, so a session with this id is ours,
    unless its leader is a stranger or it began before the machine did.
    """
    stranger = psutil.pid_exists(process.pid) and not _began_then(process)
    if stranger or process.began < psutil.boot_time() - CLOCK_SLACK:
        return []
    found = {one.pid: one for one in psutil.process_iter() if _session(one.pid) == process.pid}
    for one in list(found.values()):
        found |= {child.pid: child for child in _children(one)}
    return [one for one in found.values() if one.pid != os.getpid()]


def stop(processes: Iterable[Process], graces: tuple[float, float] = (4.0, 8.0)) -> int:
    """End the sessions of `processes`, politely at first.

    TERM to the leaders; after the first grace (seconds) TERM to all that is left, such as tasks a
    leader waits for; after the second KILL.

    Returns:
        how many processes were ended.
    """
    processes = list(processes)
    leaders = {process.pid for process in processes}
    count = len(_living(processes))
    for one in _living(processes):
        if one.pid in leaders:
            _signal(one, "terminate")
    for grace, last in zip(graces, ("terminate", "kill"), strict=True):
        _wait(processes, grace)
        for one in _living(processes):
            _signal(one, last)
    _wait(processes, 5.0)
    return count


def _wait(processes: list[Process], grace: float) -> None:
    deadline = time.monotonic() + grace
    while _living(processes) and time.monotonic() < deadline:
        time.sleep(0.1)


def _living(processes: Iterable[Process]) -> list[psutil.Process]:
    """What has not ended; a leader that has, and is our child, is reaped."""
    for process in processes:
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
    return [one for process in processes for one in members(process) if not _zombie(one)]


def _zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _began_then(process: Process) -> bool:
    try:
        apart = float(psutil.Process(process.pid).create_time()) - process.began
        return abs(apart) < CLOCK_SLACK
    except psutil.NoSuchProcess:
        return True


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, name: str) -> None:
    try:
        getattr(process, name)()
    except psutil.NoSuchProcess:
        return
