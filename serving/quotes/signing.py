"""Signatures: whoever holds the keys can check a quote at checkout with no look-up.

Signed is what a shopper may see; costs, floors and reasons are not part of it.
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

# The signed fields in the order they are signed, and what each may be; the instants come last.
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
    """Secrets by key id: `current` signs, and each checks what it signed."""

    secrets: Mapping[str, bytes] = field(repr=False)
    current: str

    @cached_property
    def _keyed(self) -> HMAC:
        """Ready for a text: to begin with the key costs more than to sign with it."""
        return HMAC(self.secrets[self.current], SHA256())

    def sign(self, text: bytes) -> str:
        """`<key id>.<HMAC-SHA256 in hex>` of signed fields in their canonical form."""
        signing = self._keyed.copy()
        signing.update(text)
        return f"{self.current}.{signing.finalize().hex()}"

    def check(self, fields: Mapping[str, Any], now: datetime) -> str | None:
        """None for a quote of this shop that still stands, else what is wrong, in a word.

        `unsigned`: it has no signature. `malformed`: a signed field is absent or is none.
        `foreign`: no key of ours has signed it. `tampered`: it was signed, but not like this.
        `expired`: it was ours, until a moment ago. Never raises, whatever `fields` hold.
        """
        signature = fields.get("signature")
        if not signature:
            return "unsigned"
        text = _checked(fields)
        if text is None or not isinstance(signature, str):
            return "malformed"
        key, _, mark = signature.partition(".")
        if key not in self.secrets:
            return "foreign"
        ours = _mark(self.secrets[key], text).encode()
        if not hmac.compare_digest(ours, mark.encode(errors="replace")):
            return "tampered"
        return "expired" if now >= _utc(fields["expires_at"]) else None


def load(settings: Settings, at: datetime) -> KeyRing:
    """The keys as they are at an instant; to be loaded again every few seconds (`ACTIVATION_DELAY`).

    Raises:
        ConfigError: a key is too short to keep a secret, or the file is not as it was written.
    """
    keys = signing_keys(settings, at)
    return KeyRing(keys, current=next(iter(keys)))


def canonical(fields: Mapping[str, Any]) -> bytes:
    """The JSON array of the signed values; instants in UTC, so text and datetime are one."""
    *values, issued_at, expires_at = _signed_values(fields)
    return to_json([*values, _utc(issued_at), _utc(expires_at)])


def canonical_offer(fields: Mapping[str, Any]) -> bytes:
    """The part of it that an offer says, without brackets: between quote_id and the instants."""
    return to_json(_offered_values(fields))[1:-1]


def _checked(fields: Mapping[str, Any]) -> bytes | None:
    """The canonical form of fields nobody vouches for; None where they are not a quote's."""
    try:
        if all(type(fields[name]) in types for name, types in SIGNED.items()):
            return canonical(fields)
    except (KeyError, ValueError, OverflowError):  # absent; no date, or no text; no such year
        pass
    return None


def _utc(instant: str | datetime) -> datetime:
    """An instant in UTC; a ValueError where the text is none, or the zone is not said."""
    known = datetime.fromisoformat(instant) if isinstance(instant, str) else instant
    if known.tzinfo is None:
        raise ValueError(f"An instant has a zone. Received: {instant}")
    return known.astimezone(UTC)


def _mark(secret: bytes, text: bytes) -> str:
    return hmac.digest(secret, text, "sha256").hex()
