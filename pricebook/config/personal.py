"""The section `quote.personal` of params.yaml: whether there are personal offers, and how many."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pricebook.config.section import Section, Share


class Purpose(Section):
    """An occasion for a larger discount."""

    discount: Share = Field(
        0.05, description="below the price without the occasion, at most; 0 turns the purpose off"
    )
    lift: Annotated[float, Field(ge=0, le=1)] = Field(
        0.10,
        description="purchases that the offer adds beyond what its price explains, as a share; "
        "an assumption, to be replaced by the shop's own measurement",
    )


class Personal(Section):
    """Personal offers: whether there are any, their budget, caps and purposes."""

    enabled: bool = Field(
        True, description="false: every shopper gets the public offer, and no segment is looked up"
    )
    period: Literal["day", "week"] = Field(
        "day", description="of the budget and the caps; in UTC, a week begins on Monday"
    )
    budget: Share = Field(
        0.02,
        description="personal discounts per period, at most this share of the value of the quotes "
        "to named shoppers",
    )
    max_offers: Annotated[int, Field(ge=0)] = Field(
        100, description="personal offers to a shopper per period, at most"
    )
    max_discount: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="sum of the personal discounts quoted to a shopper per period, in minor units, "
        "at most; null: no limit",
    )
    abandoned_cart: Purpose = Field(
        Purpose(), description="for a sku that the shopper left in the cart in the last day"
    )
    cart_minutes: Annotated[int, Field(ge=1, le=1380)] = Field(
        60, description="minutes after which a sku in the cart counts as abandoned"
    )
    lapsing: Purpose = Field(Purpose(), description="for a shopper who is about to lapse")
    lapsing_segments: tuple[str, ...] = Field(
        ("fading",), description="the segments of shoppers who are about to lapse"
    )
