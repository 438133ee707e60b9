"""Server processes: start them, find them again in a later command, and stop them.

A server outlives the command that starts it, forks workers, and may crash before it is stopped.
So a process is identified by its pid and creation time, because the kernel reuses pids, and its
descendants are searched in three ways (see `find_family`).
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

MARK = "PRICEBOOK_STARTED_AS"  # an environment variable that all processes of one start inherit

# Seconds by which two readings of one creation time may differ: it is derived from the boot time,
# and that moves when the system clock is adjusted.
CLOCK_TOLERANCE = 2.0

KILL_GRACE = 5.0  # seconds; after KILL only the kernel's own work remains


@dataclass(frozen=True)
class Process:
    """A process that was started here, as `servers.json` records it.

    Attributes:
        name: the name in messages and of the log file.
        pid: the process id, and the id of the session it leads.
        began: its creation time, in seconds since the epoch.
    """

    name: str
    pid: int
    began: float

    @property
    def alive(self) -> bool:
        """Whether it still runs. Another process that received its pid does not count."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            return self._is_same(process) and not _is_zombie(process)
        return False

    @property
    def owns_session(self) -> bool:
        """Whether processes in the session `pid` descend from this process.

        The kernel does not reuse a pid while a session of that id has members. So the session is
        ours unless another process has the pid now, or the machine restarted since.
        """
        if self.began < psutil.boot_time() - CLOCK_TOLERANCE:
            return False
        try:
            return self._is_same(psutil.Process(self.pid))
        except psutil.NoSuchProcess:
            return True  # the leader has ended; its children may still run

    def _is_same(self, process: psutil.Process) -> bool:
        return abs(float(process.create_time()) - self.began) < CLOCK_TOLERANCE


def spawn(name: str, command: list[str], environment: Mapping[str, str], log: Path) -> Process:
    """Start a process that outlives this one, and append its output to a log file.

    Args:
        name: its name in messages.
        command: the path of the program, and its arguments.
        environment: all its environment variables.
        log: where its standard output and error go.

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
        # A new session, so that Ctrl-C in the terminal does not reach the server. Not
        # subprocess.Popen: it expects its child to end before the object is deleted.
        pid = os.posix_spawn(command[0], command, environment, file_actions=files, setsid=True)
    except FileNotFoundError:
        raise ServiceError(
            f"{name} needs a program that is not installed. Received: {command[0]}"
        ) from None
    return Process(name, pid, psutil.Process(pid).create_time())


def find_family(processes: Iterable[Process], mark: str) -> set[psutil.Process]:
    """Find `processes` and everything they started that still runs.

    No single search finds all of it:

    - by session: a child whose parent has died, and that has overwritten its environment (Airflow's
      workers set their process title, which does that);
    - by mark: a process that has left the session and lost its parent;
    - by parent: a process that has left the session and overwritten its environment.
    """
    sessions = {process.pid for process in processes if process.owns_session}
    family = {
        process
        for process in psutil.process_iter()
        if _session(process) in sessions or _mark(process) == mark
    }
    for process in tuple(family):
        family |= _descendants(process)
    return {process for process in family if process.pid != os.getpid() and not _is_zombie(process)}


def stop(processes: Iterable[Process], mark: str, graces: tuple[float, float] = (4.0, 8.0)) -> int:
    """Stop `processes` and everything they started.

    1. TERM to the leaders only: a leader stops its own workers in order, but would replace a worker
       that ends by itself.
    2. After the first grace period, TERM to the rest, such as a task that a leader waits for.
    3. After the second grace period, KILL.

    Args:
        processes: the leaders.
        mark: the value of `MARK` in their environment.
        graces: both grace periods, in seconds.

    Returns:
        the number of processes that were stopped.
    """
    processes = list(processes)
    family: set[psutil.Process] = set()

    def alive() -> set[psutil.Process]:
        # Searched again each time: processes fork while they are stopped. Collected, because a
        # process that was found by its parent cannot be found once the parent has ended.
        family.update(find_family(processes, mark))
        return {process for process in family if process.is_running() and not _is_zombie(process)}

    pids = {process.pid for process in processes}
    leaders = {process for process in alive() if process.pid in pids}
    _send("terminate", leaders or alive())
    _wait(alive, graces[0])
    _send("terminate", alive())
    _wait(alive, graces[1])
    _send("kill", alive())
    _wait(alive, KILL_GRACE)
    return len(family)


def _wait(alive: Callable[[], set[psutil.Process]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (running := alive()) and time.monotonic() < deadline:
        psutil.wait_procs(running, timeout=0.1)  # also collects those that are our own children


def _send(signal: str, processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # psutil checks the creation time before it signals
            getattr(process, signal)()


def _is_zombie(process: psutil.Process) -> bool:
    """Whether it has ended, and only waits for its parent to collect it."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _session(process: psutil.Process) -> int | None:
    with suppress(ProcessLookupError, PermissionError):
        return os.getsid(process.pid)
    return None


def _mark(process: psutil.Process) -> str | None:
    with suppress(psutil.Error, OSError):  # it has ended, or is another user's
        value: str | None = process.environ().get(MARK)
        return value
    return None


def _descendants(process: psutil.Process) -> set[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return set(process.children(recursive=True))
    return set()
