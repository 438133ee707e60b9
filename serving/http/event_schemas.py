"""Request and reply of `POST /events`: a batch of events. Each kind of event has its own fields."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, ConfigDict, Field

from pricebook.events import Event
from serving.http.schemas import INTEGER, Body, Minor, Sku, Units, Zone

MAX_EVENTS = 1_000  # per batch
Id = Annotated[str, Field(min_length=1, max_length=128)]


class EventBase(Body):
    """Fields of every event."""

    event_id: Id = Field(description="identifies the event; a repetition is ignored")
    occurred_at: AwareDatetime = Field(description="with an offset from UTC")
    zone: Zone | None = Field(None, description="if absent, the event applies to every zone")


class ViewOrCart(EventBase):
    """A shopper viewed a sku or put it into the cart."""

    kind: Literal["view", "cart"]
    sku: Sku
    customer_id: Id | None = Field(None, description="the shopper")


class Search(EventBase):
    """A shopper searched; `sku` is the result that was chosen."""

    kind: Literal["search"]
    sku: Sku | None = None
    customer_id: Id | None = Field(None, description="the shopper")


class Order(EventBase):
    """A shopper bought units of a sku. `quote_id` links the order to its quote."""

    kind: Literal["order"]
    sku: Sku
    customer_id: Id | None = Field(None, description="the shopper")
    quantity: Units = Field(description="units bought")
    price: Minor | None = Field(None, description="price paid per unit, in minor units")
    quote_id: Id | None = Field(None, description="the quote that was accepted")


class Stock(EventBase):
    """The stock of a sku was counted."""

    kind: Literal["stock"]
    sku: Sku
    on_hand: Annotated[int, Field(ge=0, le=10**9, description="units in stock"), INTEGER]


class CompetitorPrice(EventBase):
    """A competitor's price of a sku was observed."""

    kind: Literal["competitor_price"]
    sku: Sku
    competitor: Id
    price: Minor
    public: bool = Field(
        True, description="whether any shopper can see the price; others are not used"
    )


EventRequest = Annotated[
    ViewOrCart | Search | Order | Stock | CompetitorPrice, Field(discriminator="kind")
]


class EventsRequest(Body):
    """Events in any order. All of a batch are accepted for processing, or none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "event_id": "3f0c",
                            "occurred_at": "2026-01-05T12:00:00Z",
                            "kind": "view",
                            "sku": "1082185",
                            "customer_id": "1228",
                        },
                        {
                            "event_id": "77ab",
                            "occurred_at": "2026-01-05T12:00:01Z",
                            "kind": "competitor_price",
                            "sku": "1082185",
                            "competitor": "corner shop",
                            "price": 95,
                        },
                    ]
                }
            ]
        }
    )

    items: list[EventRequest] = Field(min_length=1, max_length=MAX_EVENTS)

    def events(self) -> list[Event]:
        return [Event(**dict(item)) for item in self.items]


class EventsReply(Body):
    """How many events count, and how many were ignored, by reason."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"accepted": 2, "duplicates": 0, "late": 0, "early": 0}],
        }
    )

    accepted: int
    duplicates: int = Field(description="events whose event_id is known")
    late: int = Field(description="events a day old or older")
    early: int = Field(description="events dated more than a minute in the future")
