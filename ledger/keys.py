"""API keys: who may ask the price service for what, how fast, and until when.

A key reads `pb_<id>_<secret>`, and is shown once. The ledger keeps the SHA-256 of its secret
alone: a slow hash is for passwords, which people choose, and this is 192 random bits, which
nobody guesses at any speed.
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

from ledger.tables import KeyRow, Ledger
from pricebook.errors import LedgerError

PREFIX = "pb"


class Scope(StrEnum):
    """What a key is for; none includes another."""

    QUOTE = "quote"
    EVENTS = "events"
    ADMIN = "admin"


class Refused(StrEnum):
    """Why a text is not a key that counts."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class Grant:
    """What a key allows; `per_second` quotes or events at most, as many as come if None.

    Raises:
        LedgerError: it has no name or scope, or allows nothing.
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
            raise LedgerError(f"A rate is above zero. Received: {self.per_second}")


@dataclass(frozen=True)
class Key:
    """A key as the ledger knows it."""

    id: str
    grant: Grant
    made_at: datetime
    revoked_at: datetime | None
    digest: str = field(repr=False)

    def standing(self, at: datetime) -> Refused | None:
        """Why it no longer counts at an instant; None while it does."""
        if self.revoked_at is not None:
            return Refused.REVOKED
        ends = self.grant.expires_at
        return Refused.EXPIRED if ends is not None and at >= ends else None


@dataclass(frozen=True)
class Keys:
    """Every key that was ever issued, by id."""

    by_id: Mapping[str, Key]

    def find(self, text: str, at: datetime) -> Key | Refused:
        """The key a text is. That it expired or was revoked is told only to who has its secret."""
        prefix, _, rest = text.partition("_")
        key_id, _, secret = rest.partition("_")
        if prefix != PREFIX or not secret:
            return Refused.MALFORMED
        key = self.by_id.get(key_id)
        if key is None or not hmac.compare_digest(key.digest, _digest(secret)):
            return Refused.UNKNOWN
        return key.standing(at) or key


def issue(ledger: Ledger, grant: Grant, at: datetime) -> str:
    """Make a key, and return it whole, which nothing can do again.

    Raises:
        LedgerError: it would have expired already.
    """
    with ledger.begin() as session:
        return _issue(session, grant, at)


def revoke(ledger: Ledger, key_id: str, at: datetime) -> Key:
    """A key counts no more; revoking it again changes nothing.

    Raises:
        LedgerError: there is no such key.
    """
    with ledger.begin() as session:
        row = _row(session, key_id)
        row.revoked_at = row.revoked_at or at
        return _key(row)


def rotate(ledger: Ledger, key_id: str, at: datetime, overlap: timedelta) -> str:
    """A new key that allows the same, for as long as the old one was to live.

    The old one counts through `overlap`, for its holder to change over, or to its own end.

    Raises:
        LedgerError: there is no such key, or it no longer counts.
    """
    with ledger.begin() as session:
        row = _row(session, key_id)
        old = _key(row)
        if reason := old.standing(at):
            raise LedgerError(f"Only a key that counts is rotated. Received: {key_id}, {reason}")
        ends = old.grant.expires_at
        row.expires_at = min(at + overlap, ends or at + overlap)
        anew = replace(old.grant, expires_at=ends and at + (ends - old.made_at))
        return _issue(session, anew, at)


def listed(ledger: Ledger) -> tuple[Key, ...]:
    """Every key, the oldest first.

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
    """Every key, to be found by its text."""
    return Keys({key.id: key for key in listed(ledger)})


def _issue(session: Session, grant: Grant, at: datetime) -> str:
    if grant.expires_at is not None and grant.expires_at <= at:
        raise LedgerError(f"A key expires after it is made, {at}. Received: {grant.expires_at}")
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
