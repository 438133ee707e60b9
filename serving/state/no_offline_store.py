"""A Feast offline store without any function, for a process that reads the online store only.

Feast requires an offline store in its configuration. Its default one takes as long to import as the
rest of Feast. Feast imports this class by its path, so nothing else refers to it.
"""

from feast.infra.offline_stores.offline_store import OfflineStore
from feast.repo_config import FeastConfigBaseModel


class NoOfflineStoreConfig(FeastConfigBaseModel):
    type: str = "serving.state.no_offline_store.NoOfflineStore"


class NoOfflineStore(OfflineStore):
    """Every method raises NotImplementedError."""
