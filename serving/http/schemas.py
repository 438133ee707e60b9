"""What goes over HTTP: requests, replies and error bodies. Money is in minor units throughout."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _whole(value: Any) -> Any:
    """JSON knows one kind of number: 2.0 is as whole as 2."""
    return int(value) if type(value) is float and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
Sku = Annotated[str, Field(min_length=1, max_length=128, description="the sku")]
Zone = Annotated[str, Field(min_length=1, max_length=128)]
Minor = Annotated[int, Field(gt=0, le=10**12, description="an amount in minor units"), WHOLE]
Units = Annotated[int, Field(ge=1, le=1_000_000), WHOLE]


class Body(BaseModel):
    """A JSON body: types are not coerced, and a field nobody knows is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class QuoteRequest(Body):
    """A price is asked for one sku."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"sku": "1082185"},
                {"sku": "1082185", "quantity": 2, "customer_id": "1228", "consent": True},
            ]
        }
    )

    sku: Sku
    zone: Zone | None = Field(None, description="where; not needed where the shop prices as one")
    quantity: Units = Field(1, description="units; the price is of one unit")
    customer_id: str | None = Field(None, min_length=1, max_length=128, description="who asks")
    consent: bool | None = Field(
        None, description="to a personal offer; the shopper's stored answer if absent"
    )


class QuotesRequest(Body):
    """Prices are asked for many skus at once: all are answered, or none."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [{"sku": "1082185"}, {"sku": "981760"}]}]}
    )

    items: list[QuoteRequest] = Field(min_length=1)


class ForecastRequest(Body):
    """Demand is asked for: at the reference price, or at a price of your choice (a what-if)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"sku": "1082185"}, {"sku": "1082185", "horizon": 2, "price": 199}]
        }
    )

    sku: Sku
    zone: Zone | None = None
    horizon: Annotated[int, Field(ge=1), WHOLE] | None = Field(
        None, description="steps; as far as the model looks if absent"
    )
    price: Minor | None = Field(None, description="a what-if; the reference price if absent")


class ReasonReply(BaseModel):
    """A rule and the price before and after it; equal where the rule only tells something."""

    rule: str
    before: int
    after: int
    text: str


class QuoteReply(BaseModel):
    """An offer of one unit. Costs and floors stay inside; reasons are for the shop's own eyes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "quote_id": "5b0f7f0c2f0f4b0c9c0e4a3f2d1c0b9a",
                    "sku": "1082185",
                    "zone": "all",
                    "currency": "USD",
                    "price": 89,
                    "list_price": 99,
                    "lowest_30d": 95,
                    "ceiling": 99,
                    "personalised": False,
                    "disclosure": None,
                    "reasons": [
                        {
                            "rule": "model",
                            "before": 99,
                            "after": 89,
                            "text": "model: the most expected profit",
                        },
                        {
                            "rule": "cost",
                            "before": 89,
                            "after": 89,
                            "text": "cost: assumed, from the margin set for its department",
                        },
                    ],
                    "model_name": "response",
                    "model_version": "3",
                    "arm": "champion",
                    "propensity": 1.0,
                    "discount_from": 95,
                    "issued_at": "2026-01-05T12:00:00Z",
                    "expires_at": "2026-01-05T12:15:00Z",
                    "signature": "5f0c21d9.9a1f...",
                }
            ]
        }
    )

    quote_id: str
    sku: str
    zone: str
    currency: str
    price: int
    list_price: int
    lowest_30d: int | None = Field(description="the lowest list price of the past 30 days")
    ceiling: int
    personalised: bool
    disclosure: str | None
    reasons: list[ReasonReply]
    model_name: str
    model_version: str
    arm: str
    propensity: float
    discount_from: int | None = Field(
        description="the one price a discount may be announced against; null: announce none"
    )
    issued_at: datetime
    expires_at: datetime
    signature: str


class QuotesReply(BaseModel):
    """Quotes, in the order asked."""

    quotes: list[QuoteReply]


class VerifyRequest(Body):
    """A signed quote is shown at checkout: the quote as it was given, or its signed fields."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"quote": {"quote_id": "5b0f", "signature": "5f0c.9a1f"}}]}
    )

    quote: dict[str, Any] = Field(max_length=64)


class VerifyReply(BaseModel):
    """Whether the quote is ours and stands; if not, why: unsigned, malformed, foreign, tampered or
    expired."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"valid": False, "reason": "expired"}]}
    )

    valid: bool
    reason: str | None


class ForecastStep(BaseModel):
    """Expected units in one period, and its quantiles by name (`q05` ... `q95`)."""

    step: int
    period: date
    mean: float
    quantiles: dict[str, float]


class ForecastReply(BaseModel):
    """Demand over the horizon, at `price`."""

    sku: str
    zone: str
    currency: str
    grain: str
    price: int
    reference_price: int
    list_price: int
    demand_ratio: float = Field(description="demand at `price` over demand at the reference price")
    notes: list[str]
    steps: list[ForecastStep]
    model_name: str
    model_version: str


class ErrorReply(BaseModel):
    """Why a request was not answered, and what was received."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": "unknown_sku",
                    "detail": "The price book does not list this sku.",
                    "received": "no-such-sku",
                }
            ]
        }
    )

    error: str
    detail: str
    received: Any = None
