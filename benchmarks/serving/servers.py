"""Run servers and load generators in separate processes."""

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

TIMEOUT = 120.0  # seconds
MEGABYTE = 2**20
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Server:
    """A running server, its port and its log file."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def workers(self) -> list[int]:
        """The child processes, which serve requests."""
        return sorted(child.pid for child in psutil.Process(self.process.pid).children())

    def connections(self, worker: int) -> int:
        """How many clients are connected to a worker."""
        sockets = psutil.Process(worker).net_connections("tcp")
        return sum(socket.raddr != () and socket.laddr.port == self.port for socket in sockets)

    def megabytes(self) -> float:
        """Resident memory of the only worker."""
        (worker,) = self.workers()
        return float(psutil.Process(worker).memory_info().rss / MEGABYTE)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET request. Status 0 if there is no response."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, HTTPException):
            return 0, ""
        finally:
            connection.close()

    def counted(self, metric: str) -> float:
        """The sum of a Prometheus metric over its labels."""
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


@contextmanager
def run_server(command: Sequence[str], ready: str, folder: Path, **env: str) -> Iterator[Server]:
    """Start a server on a free port, and wait until a GET of the path `ready` succeeds."""
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
        wait_until(lambda: server.get(ready)[0] == 200, log.read_text)
        yield server
    finally:
        server.stop()


def run_service(shop: Shop, workers: int = 1, **env: str) -> Any:
    """The price service of a shop."""
    return run_server(
        ["bentoml", "serve", "serving.service:PricebookService"],
        "/readyz",
        shop.settings.home,
        PRICEBOOK_HOME=str(shop.settings.home),
        PRICEBOOK_SERVICE_WORKERS=str(workers),
        BENTOML_HOME=str(shop.settings.state / "bentoml"),
        **env,
    )


def wait_until(
    condition: Callable[[], bool], why: Callable[[], str], timeout: float = TIMEOUT
) -> None:
    """Wait until a condition holds.

    Raises:
        RuntimeError: it did not hold in time. The message ends with the text of `why`.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"Not ready after {timeout:g} s. Received: {why()[-3000:]}")
        time.sleep(0.05)


@dataclass(frozen=True)
class BackgroundLoad:
    """A load generator that runs in another process."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, plan: Plan) -> BackgroundLoad:
        command = [sys.executable, "-m", "benchmarks.serving.load"]
        process = subprocess.Popen(
            command, cwd=REPO_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        json.dump(asdict(plan), process.stdin)
        process.stdin.close()
        return cls(process)

    def result(self) -> dict[str, Any]:
        """Wait for the end of the plan. Returns the measured figures."""
        assert self.process.stdout is not None
        output = self.process.stdout.read()
        if self.process.wait() != 0:
            raise RuntimeError(
                f"The load generator failed. Received: exit code {self.process.returncode}"
            )
        result: dict[str, Any] = json.loads(output)
        return result

    def stop(self) -> dict[str, Any]:
        """End the load now. Returns the measured figures."""
        self.process.terminate()
        return self.result()


def run_load(plan: Plan) -> dict[str, Any]:
    """Run a plan to its end. Returns the measured figures."""
    return BackgroundLoad.start(plan).result()


class Client:
    """A client with one kept-alive connection."""

    def __init__(self, server: Server, shop: Shop) -> None:
        self._http = HTTPConnection("127.0.0.1", server.port, timeout=10)
        self._headers = {"authorization": f"Bearer {shop.key}"}

    def post(self, path: str, body: Any) -> Any:
        self._http.request("POST", path, json.dumps(body), self._headers)
        response = self._http.getresponse()
        content = json.loads(response.read())
        if response.status != 200:
            raise RuntimeError(f"{path} failed. Received: {response.status} {content}")
        return content
