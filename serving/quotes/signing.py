"""Signatures: a checkout that has the keys can verify a quote without a look-up.

A signature covers only fields that a shopper may see, not costs, floors or reasons.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from operator import itemgetter
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from pydantic_core import to_json

from ledger.signing_keys import signing_keys
from pricebook.config import Settings

# The signed fields with their types, in the order of the signed array.
SIGNED: dict[str, tuple[type, ...]] = {
    "quote_id": (str,),
    "sku": (str,),
    "zone": (str,),
    "currency": (str,),
    "price": (int,),
    "list_price": (int,),
    "lowest_30d": (int, type(None)),
    "personalised": (bool,),
    "disclosure": (str, type(None)),
    "issued_at": (str, datetime),
    "expires_at": (str, datetime),
}
_signed_values = itemgetter(*SIGNED)
_offered_values = itemgetter(*list(SIGNED)[1:-2])


@dataclass(frozen=True)
class KeyRing:
    """Signing keys: their secrets by key id. `current` signs, and all verify.

    The secrets are not in the `repr`, so that they never get into a log.
    """

    secrets: Mapping[str, bytes] = field(repr=False)
    current: str

    @cached_property
    def _keyed_hmac(self) -> HMAC:
        """An HMAC that has processed the key. To copy it costs less than to process the key."""
        return HMAC(self.secrets[self.current], SHA256())

    def sign(self, text: bytes) -> str:
        """The signature of canonical text: `<key id>.<HMAC-SHA256 in hexadecimal>`."""
        text_hmac = self._keyed_hmac.copy()
        text_hmac.update(text)
        return f"{self.current}.{text_hmac.finalize().hex()}"

    def check(self, fields: Mapping[str, Any], now: datetime) -> str | None:
        """Verify a quote. None if it is valid, else the reason why not.

        The reasons are `unsigned` (no signature), `malformed` (a signed field is missing or has a
        wrong type), `foreign` (signed with a key of another shop), `tampered` (changed after it
        was signed) and `expired`. It never raises, whatever `fields` contains.
        """
        signature = fields.get("signature")
        if not signature:
            return "unsigned"
        text = _canonical_or_none(fields)
        if text is None or not isinstance(signature, str):
            return "malformed"
        key_id, _, digest = signature.partition(".")
        if key_id not in self.secrets:
            return "foreign"
        expected = hmac.digest(self.secrets[key_id], text, "sha256").hex().encode()
        # The time that this comparison takes does not depend on where the digests differ.
        if not hmac.compare_digest(expected, digest.encode(errors="replace")):
            return "tampered"
        return "expired" if now >= _utc(fields["expires_at"]) else None


def load(settings: Settings, at: datetime) -> KeyRing:
    """The keys at an instant. Load them again every few seconds (see `ACTIVATION_DELAY`).

    Raises:
        ConfigError: a key is too short to be secure, or the file of keys is damaged.
    """
    keys = signing_keys(settings, at)
    return KeyRing(keys, current=next(iter(keys)))


def canonical(fields: Mapping[str, Any]) -> bytes:
    """The JSON array of the signed values. Timestamps are in UTC, whatever zone they came in."""
    *values, issued_at, expires_at = _signed_values(fields)
    return to_json([*values, _utc(issued_at), _utc(expires_at)])


def canonical_offer(fields: Mapping[str, Any]) -> bytes:
    """The values of `canonical` that belong to the offer: all but the id and the timestamps.

    Without brackets, to be joined with the others.
    """
    return to_json(_offered_values(fields))[1:-1]


def _canonical_or_none(fields: Mapping[str, Any]) -> bytes | None:
    """The canonical text of fields from outside; None if they are not those of a quote."""
    try:
        if all(type(fields[name]) in types for name, types in SIGNED.items()):
            return canonical(fields)
    # A missing field; text that is not a date or not Unicode; a year out of range.
    except (KeyError, ValueError, OverflowError):
        pass
    return None


def _utc(instant: str | datetime) -> datetime:
    """A timestamp in UTC. A ValueError if the text is not one, or has no time zone."""
    parsed = datetime.fromisoformat(instant) if isinstance(instant, str) else instant
    if parsed.tzinfo is None:
        raise ValueError(f"A timestamp needs a time zone. Received: {instant}")
    return parsed.astimezone(UTC)
