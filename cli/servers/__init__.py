"""The servers of one home: Airflow, MLflow's web page, and the price service."""

from __future__ import annotations

from cli.servers import airflow_server, mlflow_server, price_service
from cli.servers.launch import Echo, ServerPlan, sigterm_as_interrupt, start, stop_server
from cli.servers.records import exclusive_lock, load_servers
from pricebook.config import Settings


def up(settings: Settings, echo: Echo = print) -> None:
    """Start Airflow, MLflow and, if there is a price book, the price service.

    Prints their addresses, and what the service quotes.

    A failure or an interrupt stops what this call started.

    Raises:
        ServiceError: a port is taken, a server did not start, or another command is starting them.
    """
    with sigterm_as_interrupt():
        servers = start(_plans(settings), settings, echo)
    echo(airflow_server.welcome(settings, servers["airflow"].url))
    echo(mlflow_server.welcome(servers["mlflow"].url if "mlflow" in servers else settings.mlflow))
    if "price service" in servers:
        echo(price_service.welcome(servers["price service"].url))
        echo(price_service.prices(settings))
    else:
        echo(
            "price service: not started, because there is no price book yet. "
            "Trigger refresh in Airflow, then run `pricebook up` again."
        )


def _plans(settings: Settings) -> list[ServerPlan]:
    plans = [airflow_server.plan(settings)]
    if not mlflow_server.runs_elsewhere(settings):
        plans.insert(0, mlflow_server.plan(settings))
    if price_service.can_serve(settings):
        plans.append(price_service.plan(settings))
    return plans


def down(settings: Settings, echo: Echo = print) -> None:
    """Stop every server that was started in this home.

    Raises:
        ServiceError: another command is starting them now.
    """
    with exclusive_lock(settings):
        servers = load_servers(settings)
        for server in servers.values():
            echo(f"{server.name}: stopped, {stop_server(server, settings)} processes")
    if not servers:
        echo(f"Nothing is running in {settings.home.resolve()}.")


def status(settings: Settings, echo: Echo = print) -> None:
    """Print which servers run, where, which of their processes have ended, and what is quoted."""
    servers = load_servers(settings)
    for server in servers.values():
        echo(f"{server.name}: {'up' if server.running else 'not up'} at {server.url}")
        for process in server.processes:
            echo(f"  {process.name}: {'running' if process.alive else 'ended'}, pid {process.pid}")
    if not servers:
        echo(f"Nothing is running in {settings.home.resolve()}.")
    echo(price_service.prices(settings))
