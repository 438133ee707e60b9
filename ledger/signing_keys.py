"""The keys that sign quotes: from PRICEBOOK_SIGNING_KEY, or from a private file in the home.

They are in the ledger package because the service reads them and the command line rotates them.

A new key starts to sign only after `ACTIVATION_DELAY`. By then every worker has read it, so no
worker gets a quote signed by a key that it does not know. Replaced keys still verify for
`RETENTION`, which is longer than any quote is valid.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from filelock import FileLock
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pricebook.config import Settings
from pricebook.errors import ConfigError

FILE = "signing_keys.json"
LEGACY_FILE = "signing.key"  # written by versions that had a single key; becomes the first key
MIN_LENGTH = 16  # characters of a secret
ACTIVATION_DELAY = timedelta(seconds=10)
RETENTION = timedelta(days=1)


class SigningKey(BaseModel):
    """A key as stored in the file."""

    model_config = ConfigDict(frozen=True)

    id: str
    secret: str = Field(repr=False)
    made_at: AwareDatetime


NewestFirst = list[SigningKey]
_FILE_FORMAT = TypeAdapter(NewestFirst)


def signing_keys(settings: Settings, at: datetime) -> dict[str, bytes]:
    """Secrets by key id. The first one signs, all of them verify. Creates the file on first use.

    Raises:
        ConfigError: a secret is too short, or the file is malformed.
    """
    if settings.signing_key:
        texts = [text.strip() for text in settings.signing_key.split(",")]
        return {key_id(text): _secret(text) for text in texts}
    path = settings.state / FILE
    keys = _read(path) or _update(path, lambda stored: stored or [_first_key(path, at)])
    active = next((key for key in keys if key.made_at + ACTIVATION_DELAY <= at), keys[-1])
    return {key.id: _secret(key.secret) for key in (active, *keys)}


def rotate(settings: Settings, made_at: datetime) -> str:
    """Add a key and return its id. Keys that were replaced more than `RETENTION` ago are deleted.

    Raises:
        ConfigError: the keys come from PRICEBOOK_SIGNING_KEY, so they must be rotated there.
    """
    if settings.signing_key:
        raise ConfigError(
            "PRICEBOOK_SIGNING_KEY holds the signing keys. Add the new one at its end, and move it "
            "to the front once every worker has read it. Received: a rotation of the home's keys"
        )
    new, path = _new_key(secrets.token_hex(32), made_at), settings.state / FILE

    def add(stored: NewestFirst) -> NewestFirst:
        return _retained([new, *(stored or [_first_key(path, made_at)])], made_at)

    _update(path, add)
    return new.id


def key_id(secret: str) -> str:
    """A public name for a secret, which does not reveal it.

    >>> key_id("correct horse battery staple")
    'c4bbcb1f'
    """
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


def _secret(text: str) -> bytes:
    if len(text) < MIN_LENGTH:
        raise ConfigError(
            f"A signing key has at least {MIN_LENGTH} characters. Received: {len(text)} characters"
        )
    return text.encode()


def _new_key(secret: str, made_at: datetime) -> SigningKey:
    return SigningKey(id=key_id(secret), secret=secret, made_at=made_at)


def _first_key(path: Path, made_at: datetime) -> SigningKey:
    legacy = path.with_name(LEGACY_FILE)
    secret = legacy.read_text().strip() if legacy.exists() else secrets.token_hex(32)
    return _new_key(secret, made_at)


def _retained(keys: NewestFirst, at: datetime) -> NewestFirst:
    """The newest key, and the keys that were replaced within `RETENTION`."""
    return keys[:1] + [key for newer, key in pairwise(keys) if at - newer.made_at <= RETENTION]


def _read(path: Path) -> NewestFirst:
    try:
        return _FILE_FORMAT.validate_json(path.read_bytes())
    except FileNotFoundError:
        return []
    except ValidationError as error:
        # The text of a validation error quotes the input, which here is secret.
        raise ConfigError(
            f"A signing key has an id, a secret and made_at. Received: {path}, "
            f"with {error.error_count()} mistakes"
        ) from None


def _update(path: Path, change: Callable[[NewestFirst], NewestFirst]) -> NewestFirst:
    """Replace the stored keys atomically, one process at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        keys = change(_read(path))
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        # Private from the start: a chmod after writing would leave a moment to read the secrets.
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_FILE_FORMAT.dump_json(keys, indent=2))
        partial.replace(path)
        path.with_name(LEGACY_FILE).unlink(missing_ok=True)
    return keys
