"""up, down, status: Airflow and the price service of one home."""

from __future__ import annotations

from cli.servers import airflow_server, price_service
from cli.servers.launch import (
    Tell,
    alone,
    claim,
    forget,
    interruptible,
    names_up,
    recorded,
    start,
    stop_since,
)
from cli.servers.processes import stop
from pricebook.config import Settings


def up(settings: Settings, tell: Tell = print) -> None:
    """Start Airflow and, once there is a champion, the price service; say where they are.

    Interrupted or failing, it stops what it started.

    Raises:
        ServiceError: a port is taken, a server did not start, or another command is starting them.
    """
    before = names_up(settings)
    with interruptible():
        try:
            _up(settings, tell)
        except BaseException:
            stop_since(before, settings, tell)
            raise


def _up(settings: Settings, tell: Tell) -> None:
    plans = [airflow_server.plan(settings)]
    if price_service.champion(settings):
        plans.append(price_service.plan(settings))
    for plan in plans:
        if plan.name not in recorded(settings):  # a port taken is told before anything starts
            claim(plan)
    servers = {plan.name: start(plan, settings, tell) for plan in plans}
    tell(airflow_server.welcome(settings, servers["airflow"].url))
    if service := servers.get("price service"):
        tell(price_service.welcome(service.url))
    else:
        tell("price service: no champion yet. Trigger refresh and retrain, then up again.")


def down(settings: Settings, tell: Tell = print) -> None:
    """Stop every process that was started in this home.

    Raises:
        ServiceError: another command is starting them now.
    """
    with alone(settings):
        servers = recorded(settings)
        for server in servers.values():
            count = stop(server.processes, server.mark)
            tell(f"{server.name}: stopped, {count} processes")
            forget(server.name, settings)
    if not servers:
        tell(f"Nothing is up in {settings.home.resolve()}.")


def status(settings: Settings, tell: Tell = print) -> None:
    """Say what is up, where, and what has ended by itself."""
    servers = recorded(settings)
    for server in servers.values():
        tell(f"{server.name}: {'up' if server.up else 'not up'} at {server.url}")
        for process in server.processes:
            tell(f"  {process.name}: {'running' if process.alive else 'ended'}, pid {process.pid}")
    if not servers:
        tell(f"Nothing is up in {settings.home.resolve()}.")
