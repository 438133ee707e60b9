"""Feast's entities, views and services over the feature files.

The stages call `definitions(folder)` for a home. The module also defines those of the default home,
for Feast's own command line. Feast imports the files of a repo by bare name, so this is one module.

Every feature that a model or a quote may read is listed here. None is a protected attribute. The
service pushes the live views as events come in.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Array, Bool, Float64, Int64, String, UnixTimestamp

from pricebook.config import REPO_ROOT, Settings
from pricebook.latest_values import VALUE_FEATURES
from pricebook.signals import COUNT_FEATURES, DAY

PERIOD_FEATURES = {
    "units": Int64,
    "revenue": Int64,
    "price": Float64,
    "list_price": Float64,
    "display": Float64,
    "mailer": Float64,
    "promotion": Float64,
    "on_hand_share": Float64,
    "competitor_price": Float64,
    "price_carried_back": Bool,
    "sku_period_at": UnixTimestamp,
}
DESCRIPTION = {
    "department": String,
    "category": String,
    "product_type": String,
    "brand": String,
}
TRAILING = {
    "units_4": Int64,
    "price_last": Float64,
    "reference_price": Float64,
    "promotion_share_13": Float64,
    "periods_since_sale": Int64,
    "sku_at": UnixTimestamp,
}
SEGMENT_FEATURES = {
    "units_13": Int64,
    "price_mean_13": Float64,
    "discount_share_13": Float64,
}
SKU_FEATURES = {**DESCRIPTION, **TRAILING, **SEGMENT_FEATURES, "list_price": Float64}
SHOPPER_FEATURES = {
    "recency_days": Int64,
    "orders_13": Int64,
    "spend_13": Int64,
    "basket_mean": Float64,
    "discount_affinity": Float64,
    "top_categories": Array(String),
    "top_category_shares": Array(Float64),
    "segment": String,
    "consent_personalised": Bool,
    "shopper_at": UnixTimestamp,
}
SKU_LIVE = {
    **dict.fromkeys((*COUNT_FEATURES, *VALUE_FEATURES), Int64),
    "sku_live_at": UnixTimestamp,
}
SHOPPER_LIVE = {**dict.fromkeys(COUNT_FEATURES, Int64), "shopper_live_at": UnixTimestamp}


def _entity(name: str, description: str) -> Entity:
    return Entity(name=name, join_keys=[name], value_type=ValueType.STRING, description=description)


SKU = _entity("sku", "a product that the shop sells")
ZONE = _entity("zone", "a price zone; 'all' unless the shop prices by zone")
SEGMENT = _entity("segment", "a group of shoppers with similar purchase habits")
SHOPPER = _entity("customer_id", "a shopper")


def _file(name: str, folder: Path) -> FileSource:
    return FileSource(
        name=f"{name}_file",
        path=str(folder / f"{name}.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )


def _schema(entities: list[Entity], features: dict[str, Any]) -> list[Field]:
    keys = [Field(name=entity.join_key, dtype=String) for entity in entities]
    return [*keys, *(Field(name=feature, dtype=dtype) for feature, dtype in features.items())]


def _view(
    name: str, folder: Path, entities: list[Entity], features: dict[str, Any], description: str
) -> FeatureView:
    schema, source = _schema(entities, features), _file(name, folder)
    return FeatureView(
        name=name, entities=entities, schema=schema, source=source, description=description
    )


def _live(
    name: str, folder: Path, entities: list[Entity], features: dict[str, Any], description: str
) -> FeatureView:
    """A view that is pushed. Feast requires a file for it, but none is ever written."""
    return FeatureView(
        name=name,
        entities=entities,
        schema=_schema(entities, features),
        source=PushSource(name=f"{name}_push", batch_source=_file(name, folder)),
        ttl=timedelta(seconds=DAY.seconds * DAY.buckets),
        description=description,
    )


def definitions(folder: Path) -> dict[str, Entity | FeatureView | FeatureService]:
    """Entities, views and services over the feature files in a folder, by name."""
    segments = {**SEGMENT_FEATURES, "sku_segment_at": UnixTimestamp}
    views = {
        "sku_period": _view(
            "sku_period", folder, [SKU, ZONE], PERIOD_FEATURES, "the sales of a period"
        ),
        "sku": _view("sku", folder, [SKU, ZONE], SKU_FEATURES, "a sku at the end of a period"),
        "sku_segment": _view(
            "sku_segment", folder, [SKU, ZONE, SEGMENT], segments, "a sku in a segment"
        ),
        "shopper": _view(
            "shopper", folder, [SHOPPER], SHOPPER_FEATURES, "what the orders of a shopper say"
        ),
    }
    live = {
        "sku_live": _live("sku_live", folder, [SKU, ZONE], SKU_LIVE, "recent events of a sku"),
        "shopper_live": _live(
            "shopper_live", folder, [SHOPPER], SHOPPER_LIVE, "recent events of a shopper"
        ),
    }
    entities = {"sku_entity": SKU, "zone": ZONE, "segment": SEGMENT, "shopper_entity": SHOPPER}
    return {**entities, **views, **live, **_services(**views)}


def _services(
    sku_period: FeatureView, sku: FeatureView, sku_segment: FeatureView, shopper: FeatureView
) -> dict[str, FeatureService]:
    """demand reads the panel; response a sku in a segment; quote a sku and a shopper."""
    described = sku[[*DESCRIPTION, *TRAILING]]
    features = {
        "demand": [sku_period, described],
        "response": [described, sku_segment],
        "quote": [sku, shopper],
    }
    return {name: FeatureService(name=name, features=parts) for name, parts in features.items()}


# What `feast apply` registers, for the default home of feature_store.yaml.
globals().update(definitions(Settings(home=REPO_ROOT).features))
