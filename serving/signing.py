"""Signatures: whoever holds the key can check a quote at checkout with no look-up.

Signed is what a shopper may see; costs, floors and reasons are not part of it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pricebook.config import Settings
from pricebook.errors import ConfigError

SIGNED = (
    "quote_id",
    "sku",
    "zone",
    "currency",
    "price",
    "list_price",
    "personalised",
    "disclosure",
    "issued_at",
    "expires_at",
)
SHORTEST_KEY = 16  # characters


def signing_key(settings: Settings) -> bytes:
    """The key from PRICEBOOK_SIGNING_KEY, else the home's own, made on first use for its owner.

    Raises:
        ConfigError: the key is too short to keep a secret.
    """
    key = settings.signing_key or _key_file(settings.state / "signing.key")
    if len(key) < SHORTEST_KEY:
        raise ConfigError(
            f"A signing key has at least {SHORTEST_KEY} characters. Received: {len(key)} characters"
        )
    return key.encode()


def _key_file(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(partial, path)  # the first of two workers wins
        except FileExistsError:
            pass
        finally:
            partial.unlink()
    return path.read_text().strip()


def sign(fields: Mapping[str, Any], key: bytes) -> str:
    """HMAC-SHA256, in hex, over the canonical JSON of the signed fields.

    Instants may be datetimes or their ISO text, so a quote checks the same before and after HTTP.
    """
    signed = {name: _plain(name, fields[name]) for name in SIGNED}
    text = json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def verify(fields: Mapping[str, Any], key: bytes) -> bool:
    """Whether a quote's signature is this key's, over the fields as they are."""
    return hmac.compare_digest(sign(fields, key), str(fields["signature"]))


def _plain(name: str, value: Any) -> Any:
    if not name.endswith("_at"):
        return value
    instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return instant.astimezone(UTC).isoformat()
