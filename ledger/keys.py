"""API keys of the price service: their scopes, rate limits and expiry.

A key is `pb_<id>_<secret>` and is shown only once. The ledger stores the SHA-256 of the secret. A
slow password hash is not needed: the secret is 192 random bits, which cannot be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ledger.connection import Ledger
from ledger.tables import KeyRow
from pricebook.errors import LedgerError

PREFIX = "pb"


class Scope(StrEnum):
    """What a key may be used for. No scope includes another."""

    QUOTE = "quote"
    EVENTS = "events"
    ADMIN = "admin"


class KeyRefusal(StrEnum):
    """Why a key is not accepted."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class Grant:
    """What a key allows. `per_second` limits quotes or events; None means no limit.

    Raises:
        LedgerError: the name or the scopes are empty, or `per_second` is not above zero.
    """

    name: str
    scopes: frozenset[Scope]
    per_second: float | None = None
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise LedgerError(f"A key needs a name. Received: {self.name!r}")
        if not self.scopes:
            raise LedgerError(f"A key needs a scope: {', '.join(Scope)}. Received: none")
        if self.per_second is not None and not self.per_second > 0:
            raise LedgerError(f"A rate must be above zero. Received: {self.per_second}")


@dataclass(frozen=True)
class Key:
    """An API key as stored in the ledger."""

    id: str
    grant: Grant
    made_at: datetime
    revoked_at: datetime | None
    digest: str = field(repr=False)

    def refusal(self, at: datetime) -> KeyRefusal | None:
        """Why the key is not accepted at an instant; None while it is accepted."""
        if self.revoked_at is not None:
            return KeyRefusal.REVOKED
        ends = self.grant.expires_at
        return KeyRefusal.EXPIRED if ends is not None and at >= ends else None


@dataclass(frozen=True)
class Keys:
    """All keys ever issued, by id."""

    by_id: Mapping[str, Key]

    def find(self, text: str, at: datetime) -> Key | KeyRefusal:
        """The key of a text `pb_<id>_<secret>`, or why it is not accepted.

        Only a caller with the right secret learns that a key has expired or was revoked.
        """
        prefix, _, rest = text.partition("_")
        key_id, _, secret = rest.partition("_")
        if prefix != PREFIX or not secret:
            return KeyRefusal.MALFORMED
        key = self.by_id.get(key_id)
        if key is None or not hmac.compare_digest(key.digest, _digest(secret)):
            return KeyRefusal.UNKNOWN
        return key.refusal(at) or key


def issue(ledger: Ledger, grant: Grant, at: datetime) -> str:
    """Create a key and return its text, which cannot be shown again.

    Raises:
        LedgerError: the expiry is in the past.
    """
    with ledger.begin() as session:
        return _issue(session, grant, at)


def revoke(ledger: Ledger, key_id: str, at: datetime) -> Key:
    """Revoke a key. Revoking it again changes nothing.

    Raises:
        LedgerError: there is no such key.
    """
    with ledger.begin() as session:
        row = _row(session, key_id)
        row.revoked_at = row.revoked_at or at
        return _key(row)


def rotate(ledger: Ledger, key_id: str, at: datetime, overlap: timedelta) -> str:
    """Create a key with the same grant and lifetime, and let the old one expire after `overlap`.

    The overlap gives the holder time to change over. An old key that expires sooner stays so.

    Raises:
        LedgerError: there is no such key, or it has expired or was revoked.
    """
    with ledger.begin() as session:
        row = _row(session, key_id)
        old = _key(row)
        if reason := old.refusal(at):
            raise LedgerError(f"Only a valid key can be rotated. Received: {key_id}, {reason}")
        ends = old.grant.expires_at
        row.expires_at = min(at + overlap, ends or at + overlap)
        grant = replace(old.grant, expires_at=ends and at + (ends - old.made_at))
        return _issue(session, grant, at)


def list_keys(ledger: Ledger) -> tuple[Key, ...]:
    """All keys, the oldest first.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    try:
        with ledger() as session:
            rows = session.scalars(select(KeyRow).order_by(KeyRow.made_at, KeyRow.id))
            return tuple(_key(row) for row in rows)
    except (SQLAlchemyError, ValueError) as error:
        cause = str(error).splitlines()[0]
        raise LedgerError(f"The API keys cannot be read. Received: {cause}") from None


def load(ledger: Ledger) -> Keys:
    """All keys, for look-up by text."""
    return Keys({key.id: key for key in list_keys(ledger)})


def _issue(session: Session, grant: Grant, at: datetime) -> str:
    if grant.expires_at is not None and grant.expires_at <= at:
        raise LedgerError(
            f"A key must expire after it is issued, {at}. Received: {grant.expires_at}"
        )
    key_id, secret = secrets.token_hex(6), secrets.token_hex(24)
    scopes = sorted(grant.scopes)
    row = KeyRow(**vars(grant) | {"scopes": scopes}, id=key_id, digest=_digest(secret), made_at=at)
    session.add(row)
    return f"{PREFIX}_{key_id}_{secret}"


def _row(session: Session, key_id: str) -> KeyRow:
    row = session.get(KeyRow, key_id)
    if row is None:
        raise LedgerError(f"No such key; `pricebook keys list` shows all. Received: {key_id!r}")
    return row


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: KeyRow) -> Key:
    scopes = frozenset(Scope(scope) for scope in row.scopes)
    grant = Grant(row.name, scopes, row.per_second, row.expires_at)
    return Key(row.id, grant, row.made_at, row.revoked_at, row.digest)
