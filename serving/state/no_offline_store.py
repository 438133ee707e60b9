"""The offline store of a process that reads none.

Feast asks for one, and its own load as much again as the rest of Feast. This one is named by its
path, and loaded by Feast alone.
"""

from feast.infra.offline_stores.offline_store import OfflineStore
from feast.repo_config import FeastConfigBaseModel


class NoOfflineStoreConfig(FeastConfigBaseModel):
    type: str = "serving.state.no_offline_store.NoOfflineStore"


class NoOfflineStore(OfflineStore):
    """Whatever is asked of it is not implemented."""
