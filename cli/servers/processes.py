"""Processes that outlive the command that starts them, and can be found and stopped afterwards.

Each is the leader of a session of its own and carries a mark in its environment, so whatever it
forks can be found even after the leader has died. A pid alone proves nothing (pids are recycled):
the instant the process began is kept beside it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from pricebook.errors import ServiceError

MARK = "PRICEBOOK_STARTED_AS"  # a variable that says by which start a process came to be
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


def family(processes: Iterable[Process], mark: str) -> list[psutil.Process]:
    """Everything alive in the sessions of `processes`, what descends from it, and what is marked.

    The mark finds what has left its session and lost its parent. The session finds what has
    overwritten its environment: the kernel gives no new process the id of a living session, so one
    with this id is ours, unless its leader is a stranger or it began before the machine did.
    """
    processes = list(processes)
    _reap(processes)
    sessions = {process.pid for process in processes if _may_live(process)}
    found = {
        one.pid: one
        for one in psutil.process_iter()
        if _session(one.pid) in sessions or _mark(one) == mark
    }
    for one in list(found.values()):
        found |= {child.pid: child for child in _children(one)}
    return [one for one in found.values() if one.pid != os.getpid() and not _zombie(one)]


def stop(processes: Iterable[Process], mark: str, graces: tuple[float, float] = (4.0, 8.0)) -> int:
    """End the family of `processes`, politely at first.

    TERM to the leaders; after the first grace (seconds) TERM to all that is left, such as tasks a
    leader waits for; after the second KILL.

    Returns:
        how many processes were ended.
    """
    processes = list(processes)
    ended = {one.pid: one for one in family(processes, mark)}

    def living() -> list[psutil.Process]:
        ended.update({one.pid: one for one in family(processes, mark)})
        return [one for one in ended.values() if one.is_running() and not _zombie(one)]

    leaders = {process.pid for process in processes} or set(ended)
    _signal([one for one in living() if one.pid in leaders], "terminate")
    for grace, last in zip(graces, ("terminate", "kill"), strict=True):
        _wait(living, grace)
        _signal(living(), last)
    _wait(living, 5.0)
    return len(ended)


def _wait(living: Callable[[], list[psutil.Process]], grace: float) -> None:
    deadline = time.monotonic() + grace
    while living() and time.monotonic() < deadline:
        time.sleep(0.1)


def _reap(processes: Iterable[Process]) -> None:
    """Collect leaders that have ended and are children of this very process."""
    for process in processes:
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


def _may_live(process: Process) -> bool:
    stranger = psutil.pid_exists(process.pid) and not _began_then(process)
    return not stranger and process.began >= psutil.boot_time() - CLOCK_SLACK


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


def _mark(process: psutil.Process) -> str | None:
    try:
        found: str | None = process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None
    return found


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _signal(processes: Iterable[psutil.Process], name: str) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            getattr(process, name)()
