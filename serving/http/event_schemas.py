"""What `POST /events` takes and answers: a batch of events, each of a kind with its own fields."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, ConfigDict, Field

from pricebook.signals import Event
from serving.http.schemas import WHOLE, Body, Minor, Sku, Units, Zone

MOST = 1_000  # events of a batch
Identity = Annotated[str, Field(min_length=1, max_length=128)]


class Happening(Body):
    """What every event tells."""

    event_id: Identity = Field(description="the event; sent again, it changes nothing")
    occurred_at: AwareDatetime = Field(description="when, with its offset from UTC")
    zone: Zone | None = Field(None, description="where; everywhere if absent")


class ViewOrCart(Happening):
    """A sku was looked at, or put into a cart."""

    kind: Literal["view", "cart"]
    sku: Sku
    customer_id: Identity | None = Field(None, description="who")


class Search(Happening):
    """A shopper searched; `sku` is what was chosen from what was found."""

    kind: Literal["search"]
    sku: Sku | None = None
    customer_id: Identity | None = Field(None, description="who")


class Order(Happening):
    """Units of a sku were bought; with its quote, what the quote led to is known."""

    kind: Literal["order"]
    sku: Sku
    customer_id: Identity | None = Field(None, description="who")
    quantity: Units = Field(description="units")
    price: Minor | None = Field(None, description="paid for a unit, in minor units")
    quote_id: Identity | None = Field(None, description="the quote it was bought at")


class Stock(Happening):
    """A sku's stock was counted."""

    kind: Literal["stock"]
    sku: Sku
    on_hand: Annotated[int, Field(ge=0, le=10**9, description="units"), WHOLE]


class CompetitorPrice(Happening):
    """A competitor's price of a sku was seen."""

    kind: Literal["competitor_price"]
    sku: Sku
    competitor: Identity
    price: Minor
    public: bool = Field(True, description="any shopper could see it; if not, it is not followed")


EventRequest = Annotated[
    ViewOrCart | Search | Order | Stock | CompetitorPrice, Field(discriminator="kind")
]


class EventsRequest(Body):
    """Events in any order; a single one is a batch of one. All are taken in, or none."""

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

    items: list[EventRequest] = Field(min_length=1, max_length=MOST)

    def events(self) -> list[Event]:
        return [Event(**dict(one)) for one in self.items]


class EventsReply(Body):
    """How many events were taken in, and how many changed nothing, by why."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"accepted": 2, "duplicates": 0, "late": 0, "early": 0}],
        }
    )

    accepted: int
    duplicates: int = Field(description="known by their event_id")
    late: int = Field(description="older than the longest window, a day")
    early: int = Field(description="more than a minute ahead of the service's clock")
