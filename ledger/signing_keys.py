"""The secrets that sign quotes: PRICEBOOK_SIGNING_KEY, else a file of the home that only its
owner reads. They are kept here because the service loads them and the command line rotates them.

A rotation reaches every worker before the new key signs (`SETTLES`), so no worker is shown a
quote by a key it has yet to read; the keys before it go on verifying for longer than a quote
lives (`KEPT`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pricebook.config import Settings
from pricebook.errors import ConfigError

FILE = "signing_keys.json"
OLDER_FILE = "signing.key"  # of a version that had one key; taken over as the first
SHORTEST = 16  # characters
SETTLES = timedelta(seconds=10)
KEPT = timedelta(days=1)


class SigningKey(BaseModel):
    """A key as the file has it."""

    model_config = ConfigDict(frozen=True)

    id: str
    secret: str = Field(repr=False)
    made_at: AwareDatetime


NewestFirst = list[SigningKey]
_FILED = TypeAdapter(NewestFirst)


def signing_keys(settings: Settings, at: datetime) -> dict[str, bytes]:
    """Secrets by key id, the one that signs first; all verify. The file is made on first use.

    Raises:
        ConfigError: a secret is too short to be one, or the file is not as it was written.
    """
    if settings.signing_key:
        texts = [text.strip() for text in settings.signing_key.split(",")]
        return {key_id(text): _secret(text) for text in texts}
    path = settings.state / FILE
    keys = _read(path) or _change(path, lambda found: found or [_first(path, at)])
    signs = next((key for key in keys if key.made_at + SETTLES <= at), keys[-1])
    return {key.id: _secret(key.secret) for key in (signs, *keys)}


def rotate(settings: Settings, made_at: datetime) -> str:
    """Add a key, which signs from `SETTLES` on, and return its id; drop those retired for a day.

    Raises:
        ConfigError: the keys are in PRICEBOOK_SIGNING_KEY, where whoever sets it rotates them.
    """
    if settings.signing_key:
        raise ConfigError(
            "PRICEBOOK_SIGNING_KEY holds the signing keys: add the new one at its end, and once "
            "every worker has it move it to the front. Received: a rotation of the home's own"
        )
    new, path = _made(secrets.token_hex(32), made_at), settings.state / FILE
    _change(path, lambda found: _needed([new, *(found or [_first(path, made_at)])], made_at))
    return new.id


def key_id(secret: str) -> str:
    """Names a secret without telling it.

    >>> key_id("correct horse battery staple")
    'c4bbcb1f'
    """
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


def _secret(text: str) -> bytes:
    if len(text) < SHORTEST:
        raise ConfigError(
            f"A signing key has at least {SHORTEST} characters. Received: {len(text)} characters"
        )
    return text.encode()


def _made(secret: str, made_at: datetime) -> SigningKey:
    return SigningKey(id=key_id(secret), secret=secret, made_at=made_at)


def _first(path: Path, made_at: datetime) -> SigningKey:
    older = path.with_name(OLDER_FILE)
    return _made(older.read_text().strip() if older.exists() else secrets.token_hex(32), made_at)


def _needed(keys: NewestFirst, at: datetime) -> NewestFirst:
    """The newest, and those that were the newest within `KEPT`."""
    return keys[:1] + [key for newer, key in pairwise(keys) if at - newer.made_at <= KEPT]


def _read(path: Path) -> NewestFirst:
    try:
        return _FILED.validate_json(path.read_bytes())
    except FileNotFoundError:
        return []
    except ValidationError as error:  # which quotes the secrets
        raise ConfigError(
            f"A signing key is an id, a secret and made_at. Received: {path}, "
            f"with {error.error_count()} mistakes"
        ) from None


def _change(path: Path, change: Callable[[NewestFirst], NewestFirst]) -> NewestFirst:
    """Replace the keys, whole; of several processes at once each sees what the one before left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.parent):
        keys = change(_read(path))
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_FILED.dump_json(keys, indent=2))
        partial.replace(path)
        path.with_name(OLDER_FILE).unlink(missing_ok=True)
    return keys


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is in here; the folder itself is the lock."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
