"""Servers in processes of their own, and load on them from another."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from benchmarks.serving.home import Shop
from benchmarks.serving.load import Plan
from pricebook.config import REPO_ROOT

PATIENCE = 120.0  # seconds
MEGABYTE = 2**20
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Server:
    """A server on a port of its own, which logs into `log`."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def workers(self) -> list[int]:
        """Processes under the server's own, which answer; BentoML's may be in other sessions."""
        parent = f"\nPPid:\t{self.process.pid}\n"
        statuses = Path("/proc").glob("[0-9]*/status")
        return sorted(int(path.parent.name) for path in statuses if parent in _text(path))

    def connections(self, worker: int) -> int:
        """How many clients are connected to a worker."""
        sockets = psutil.Process(worker).net_connections("tcp")
        return sum(socket.raddr != () and socket.laddr.port == self.port for socket in sockets)

    def megabytes(self) -> float:
        """Resident memory of the one worker."""
        (worker,) = self.workers()
        (line,) = [x for x in _text(Path(f"/proc/{worker}/status")).split("\n") if "VmRSS" in x]
        return int(line.split()[1]) * 1024 / MEGABYTE

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; status 0 where nobody listens."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, HTTPException):
            return 0, ""
        finally:
            connection.close()

    def counted(self, metric: str) -> float:
        """A metric, summed over its labels."""
        lines = self.get("/metrics")[1].splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(metric))

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            for worker in self.workers():
                os.kill(worker, signal.SIGKILL)
            self.process.kill()
            self.process.wait()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended
        return ""


@contextmanager
def served(command: Sequence[str], ready: str, folder: Path, **env: str) -> Iterator[Server]:
    """The server of a command, which is told its port, once `ready` answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / f"server-{port}.log"
    arguments = [str(BIN / command[0]), *command[1:], "--host", "127.0.0.1", "--port", str(port)]
    with log.open("w") as file:
        process = subprocess.Popen(
            arguments,
            cwd=REPO_ROOT,
            env=os.environ | {"BENTOML_DO_NOT_TRACK": "True"} | env,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    server = Server(process, port, log)
    try:
        until(lambda: server.get(ready)[0] == 200, log.read_text)
        yield server
    finally:
        server.stop()


def pricebook(shop: Shop, workers: int = 1, **env: str) -> Any:
    """The price service of a shop."""
    return served(
        ["bentoml", "serve", "serving.service:PricebookService"],
        "/readyz",
        shop.settings.home,
        PRICEBOOK_HOME=str(shop.settings.home),
        PRICEBOOK_SERVICE_WORKERS=str(workers),
        BENTOML_HOME=str(shop.settings.state / "bentoml"),
        **env,
    )


def until(
    condition: Callable[[], bool], why: Callable[[], str], patience: float = PATIENCE
) -> None:
    """Wait until it is so.

    Raises:
        RuntimeError: it never was; `why` may tell.
    """
    ends = time.monotonic() + patience
    while not condition():
        if time.monotonic() > ends:
            raise RuntimeError(f"Waited {patience:g} s in vain. Received: {why()[-3000:]}")
        time.sleep(0.05)


@dataclass(frozen=True)
class Loading:
    """A load under way."""

    process: subprocess.Popen[str]

    @classmethod
    def begun(cls, plan: Plan) -> Loading:
        command = [sys.executable, "-m", "benchmarks.serving.load"]
        process = subprocess.Popen(
            command, cwd=REPO_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        json.dump(asdict(plan), process.stdin)
        process.stdin.close()
        return cls(process)

    def ended(self) -> dict[str, Any]:
        """What was answered, once the plan ends."""
        assert self.process.stdout is not None
        output = self.process.stdout.read()
        if self.process.wait() != 0:
            raise RuntimeError(f"The load fell over. Received: {self.process.returncode}")
        result: dict[str, Any] = json.loads(output)
        return result

    def stopped(self) -> dict[str, Any]:
        """What was answered until now."""
        self.process.terminate()
        return self.ended()


def loaded(plan: Plan) -> dict[str, Any]:
    """What a plan was answered."""
    return Loading.begun(plan).ended()


class Client:
    """Asks one thing at a time on a connection that is kept, beside a load."""

    def __init__(self, server: Server, shop: Shop) -> None:
        self._http = HTTPConnection("127.0.0.1", server.port, timeout=10)
        self._headers = {"authorization": f"Bearer {shop.key}"}

    def post(self, path: str, body: Any) -> Any:
        self._http.request("POST", path, json.dumps(body), self._headers)
        answer = self._http.getresponse()
        reply = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"{path} is answered. Received: {answer.status} {reply}")
        return reply
