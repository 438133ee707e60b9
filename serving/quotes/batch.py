"""The requests of a batch that need a new quote, and what is known about their shoppers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from typing import NamedTuple

from pydantic_core import to_json

from pricebook.pricing.quote import Shopper, Terms, terms
from serving.http.schemas import QuoteRequest
from serving.state.online_store import ShopperProfile

UNKNOWN_SHOPPER = ShopperProfile(None, None)


class KnownShopper(NamedTuple):
    """What is known about the shopper of a request.

    Attributes:
        terms: the shopper's terms outside of experiments.
        json: the shopper as JSON, for the quote log.
    """

    shopper: Shopper
    terms: Terms
    json: bytes


@dataclass(frozen=True)
class Batch:
    """Requests that need a new quote.

    Attributes:
        rows: the row number of each request in the price book.
        profiles: the shoppers that the online store knows, by customer_id.
        now: when the quotes are issued.
        consent_default: the consent of shoppers who have not answered.
        personal: whether there are personal offers.
    """

    requests: Sequence[QuoteRequest]
    rows: Sequence[int]
    profiles: Mapping[str, ShopperProfile]
    now: datetime
    consent_default: bool
    personal: bool = True

    @cached_property
    def shoppers(self) -> list[KnownShopper]:
        """The shopper of each request."""
        profiles, default, personal = self.profiles, self.consent_default, self.personal
        return [
            _known_shopper(
                request.customer_id,
                request.consent,
                profiles.get(request.customer_id or "", UNKNOWN_SHOPPER),
                default,
                personal,
            )
            for request in self.requests
        ]


@lru_cache(maxsize=4096)  # all requests of a shopper, and all anonymous ones, have the same result
def _known_shopper(
    customer_id: str | None,
    consent: bool | None,
    profile: ShopperProfile,
    consent_default: bool,
    personal: bool,
) -> KnownShopper:
    shopper = Shopper(customer_id, consent, profile.segment, profile.consented)
    # The keys belong to the format of the quote log, so they do not follow the names in `Shopper`.
    entry = {
        "customer_id": customer_id,
        "asked": consent,
        "segment": profile.segment,
        "consented": profile.consented,
    }
    own = terms(shopper, consent_default, enabled=personal)
    return KnownShopper(shopper, own, to_json(entry))
