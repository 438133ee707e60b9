"""Requests, replies and error bodies of the HTTP API. Money is in minor units."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _to_integer(value: Any) -> Any:
    """Accept 2.0 as an integer: JSON does not distinguish it from 2."""
    return int(value) if type(value) is float and value.is_integer() else value


INTEGER = BeforeValidator(_to_integer)
Sku = Annotated[str, Field(min_length=1, max_length=128, description="the sku")]
Zone = Annotated[str, Field(min_length=1, max_length=128)]
Minor = Annotated[int, Field(gt=0, le=10**12, description="an amount in minor units"), INTEGER]
Units = Annotated[int, Field(ge=1, le=1_000_000), INTEGER]


class Body(BaseModel):
    """A JSON body. Types are not coerced, and unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class QuoteRequest(Body):
    """Asks for the price of one sku."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"sku": "1082185"},
                {"sku": "1082185", "quantity": 2, "customer_id": "1228", "consent": True},
            ]
        }
    )

    sku: Sku
    zone: Zone | None = Field(None, description="required if the shop prices by zone")
    quantity: Units = Field(1, description="units; the price is per unit")
    customer_id: str | None = Field(None, min_length=1, max_length=128, description="the shopper")
    consent: bool | None = Field(
        None, description="to a personal offer; if absent, the shopper's stored answer"
    )


class QuotesRequest(Body):
    """Asks for the prices of many skus at once. All are answered, or none."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [{"sku": "1082185"}, {"sku": "981760"}]}]}
    )

    items: list[QuoteRequest] = Field(min_length=1)


class ForecastRequest(Body):
    """Asks for the demand for a sku, at its reference price or at another price (a what-if)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"sku": "1082185"}, {"sku": "1082185", "horizon": 2, "price": 199}]
        }
    )

    sku: Sku
    zone: Zone | None = None
    horizon: Annotated[int, Field(ge=1), INTEGER] | None = Field(
        None, description="periods; if absent, as many as the model forecasts"
    )
    price: Minor | None = Field(None, description="if absent, the reference price")


class ReasonReply(BaseModel):
    """A rule, with the price before and after it. They are equal if the rule only informs."""

    rule: str
    before: int
    after: int
    text: str


class QuoteReply(BaseModel):
    """A quote for one unit, without cost and floor. Reasons are for the shop, not for shoppers."""

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
                            "text": "model: highest expected profit",
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
    lowest_30d: int | None = Field(
        description="the prior price: the lowest price that everybody could pay in the 30 days "
        "before the current reduction; without one, in the past 30 days; null: the sku is too new"
    )
    ceiling: int
    personalised: bool
    disclosure: str | None
    reasons: list[ReasonReply]
    model_name: str = Field(description="`none` while there is no champion")
    model_version: str = Field(description="`0` while there is no champion")
    arm: str
    propensity: float
    discount_from: int | None = Field(
        description="the price that a discount may be advertised against; null: none may be"
    )
    issued_at: datetime
    expires_at: datetime
    signature: str


class QuotesReply(BaseModel):
    """Quotes, in the order of the request."""

    quotes: list[QuoteReply]


class VerifyRequest(Body):
    """Checks a quote at checkout: the quote as it was received, or its signed fields."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"quote": {"quote_id": "5b0f", "signature": "5f0c.9a1f"}}]}
    )

    quote: dict[str, Any] = Field(max_length=64)


class VerifyReply(BaseModel):
    """Whether the quote is authentic and valid. If not, `reason` is one of: unsigned, malformed,
    foreign, tampered, expired."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"valid": False, "reason": "expired"}]}
    )

    valid: bool
    reason: str | None


class ForecastStep(BaseModel):
    """Expected units in one period, and quantiles by name (`q05` ... `q95`)."""

    step: int
    period: date
    mean: float
    quantiles: dict[str, float]


class ForecastReply(BaseModel):
    """Demand at `price`, for each period of the horizon."""

    sku: str
    zone: str
    currency: str
    grain: str
    price: int
    reference_price: int
    list_price: int
    demand_ratio: float = Field(description="demand at `price` / demand at the reference price")
    notes: list[str]
    steps: list[ForecastStep]
    model_name: str
    model_version: str


class ErrorReply(BaseModel):
    """Why a request was refused, and the wrong value that was received."""

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
