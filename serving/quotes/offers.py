"""Offers of the bundle in service, cached with their JSON until an input changes.

An offer is the same for all shoppers with the same terms, so it is decided and rendered to JSON
once. Each quote of it only adds an id, two timestamps and a signature. In a large batch, the first
quote of an offer takes about 45 µs, each further one 11 to 18 µs.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from pydantic_core import to_json

from pricebook.latest_values import LatestValues
from pricebook.pricing.arms import CHAMPION
from pricebook.pricing.decision import Listings
from pricebook.pricing.personal import Expectation
from pricebook.pricing.prior_price import prior_price
from pricebook.pricing.quote import FALLBACKS, Offer, Terms, list_offers, offers
from serving.quotes.bundle import Bundle
from serving.quotes.public_prices import PublicPrices, is_new
from serving.quotes.signing import canonical_offer

log = logging.getLogger("pricebook.offers")

MAX_OFFERS = 32_768  # cached
# Fields of an offer that replies do not have.
PRIVATE_FIELDS = frozenset({"floor", "choice", "expectation"})
# They limit no price.
INFORMATIVE_RULES = frozenset({"cost", "long_run", "public_offer", "personal", "model"})


class MetricLabels(NamedTuple):
    """What the metrics count an offer by.

    Attributes:
        outcome: `list_price`, `public` or `personal`.
        rules: the guardrails and fallbacks that changed the price.
    """

    arm: str
    outcome: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RenderedOffer:
    """An offer as pieces of JSON text, which a quote joins to a reply and a log line.

    Attributes:
        public_json: the fields of the reply, without braces.
        signed_json: the values among them that are signed, without brackets.
        log_json: the additional text of a line of the quote log.
        expectation: what a personal offer is expected to earn; None for a public one.
        new_price: whether a quote of it may change the public price.
    """

    price: int
    list_price: int
    labels: MetricLabels
    public_json: bytes
    signed_json: bytes
    log_json: bytes = b""
    expectation: Expectation | None = None
    new_price: bool = False

    @classmethod
    def from_fields(
        cls,
        fields: Mapping[str, Any],
        rules: Sequence[str],
        log_json: bytes = b"",
        expectation: Expectation | None = None,
        new_price: bool = False,
    ) -> RenderedOffer:
        """Render the public fields of an offer. `rules` are those of its reasons."""
        return cls(
            fields["price"],
            fields["list_price"],
            _metric_labels(fields, rules),
            _json_fields(fields),
            canonical_offer(fields),
            log_json,
            expectation,
            new_price,
        )


Key = tuple[int, Terms]  # row of the price book, terms
Version = tuple[int, int]  # of the latest stock and competitor prices, and of the public prices
NOT_CACHED: Any = (None, None)


class Offers:
    """The offers of one bundle. A new bundle gets a new object, so no quote mixes two bundles.

    Of the price list every offer is the list price, and `why_list_price` says why; it is empty for
    a champion.

    Only the event loop's thread uses the cache, so it needs no lock.
    """

    def __init__(
        self,
        bundle: Bundle,
        latest_values: LatestValues,
        why_list_price: str = "",
        public_prices: PublicPrices | None = None,
    ) -> None:
        self.bundle, self.why_list_price = bundle, why_list_price
        self._latest_values = latest_values
        self.public_prices = PublicPrices() if public_prices is None else public_prices
        self._public_version = self.public_prices.versions.get
        # With each offer the version of the values that it was decided from.
        self._cache = OrderedDict[Key, tuple[Version, RenderedOffer]]()

    def get(
        self, rows: Sequence[int], terms: Sequence[Terms], now: datetime
    ) -> list[RenderedOffer]:
        """The offer for each row of the price book on its terms.

        If the model fails, all of them are at list price.
        """
        keys = list(zip(rows, terms, strict=True))
        versions = [self._version(row) for row in rows]
        cached = [self._cache.get(key, NOT_CACHED) for key in keys]
        missing = {
            key: version
            for key, version, (cached_version, _) in zip(keys, versions, cached, strict=True)
            if cached_version != version
        }
        if not missing:
            return [offer for _, offer in cached]
        try:
            decided = dict(zip(missing, self._decide(list(missing), now), strict=True))
        except Exception:  # any error of the model: a shop never waits for it
            log.exception("The response model failed. List prices are quoted.")
            return self.at_list_price(keys, "no_model", "the model failed", now)
        self._add_to_cache(missing, decided)
        return [decided.get(key, offer) for key, (_, offer) in zip(keys, cached, strict=True)]

    def at_list_price(
        self, keys: Sequence[Key], rule: str, because: str, now: datetime
    ) -> list[RenderedOffer]:
        """Offers at the list price, all with the same reason."""
        listings = self._listings([row for row, _ in keys])
        terms = [terms for _, terms in keys]
        listed = list_offers(terms, listings, rule, f"{because}; the list price applies")
        return self._with_prior_prices(keys, listed, listings, now)

    def keep_recorded(
        self, rows: Sequence[int], terms: Sequence[Terms], quoted: Sequence[RenderedOffer]
    ) -> None:
        """Keep cached offers whose price was recorded as public just now.

        A record gives its row a new version. The offer that caused it stays the same: its prior
        price counts from before the price that it changed. Without this, every sku would be decided
        twice after a swap.
        """
        for row, row_terms, offer in zip(rows, terms, quoted, strict=True):
            version, cached = self._cache.get((row, row_terms), NOT_CACHED)
            place = self.bundle.places[row]
            public = self.public_prices.get(place)
            if not offer.new_price or cached is not offer or public is None:
                continue
            if public.price == offer.price:
                settled = (version[0], self._public_version(place, 0))
                self._cache[row, row_terms] = settled, replace(offer, new_price=False)

    def _version(self, row: int) -> Version:
        place = self.bundle.places[row]
        return self._latest_values.version(*place), self._public_version(place, 0)

    def _decide(self, keys: Sequence[Key], now: datetime) -> list[RenderedOffer]:
        listings = self._listings([row for row, _ in keys])
        terms = [terms for _, terms in keys]
        decided = offers(terms, listings, self.bundle.manifest.limits, self.bundle.demand)
        return self._with_prior_prices(keys, decided, listings, now)

    def _with_prior_prices(
        self, keys: Sequence[Key], decided: Sequence[Offer], listings: Listings, now: datetime
    ) -> list[RenderedOffer]:
        """The offers with their prior prices, rendered.

        A prior price is also logged as the feature `lowest_30d`, so that a past quote is decided
        the same again.
        """
        pairs = zip(keys, decided, strict=True)
        prior = [self._prior_price(row, offer, now) for (row, _), offer in pairs]
        features = feature_rows(replace(listings, lowest_30d=np.array(prior, np.float64)))
        return [
            self._render(replace(offer, lowest_30d=lowest), terms, logged)
            for (_, terms), offer, lowest, logged in zip(
                keys, decided, prior, features, strict=True
            )
        ]

    def _prior_price(self, row: int, offer: Offer, now: datetime) -> int | None:
        """The prior price; None if the sku is new or its department announces no discounts."""
        public = self.public_prices.get(self.bundle.places[row])
        history = self.bundle.earlier_prices(row) if public is None else public.history
        rules = self.bundle.discount_rules[row]
        if history is None or rules is None:
            return None
        for_everyone = offer.arm == CHAMPION and not offer.personalised
        return prior_price(history, now, offer.price, rules, for_everyone)

    def _listings(self, rows: Sequence[int]) -> Listings:
        """Rows of the price book, updated with the latest stock and competitor prices."""
        listings = self.bundle.listings.take(np.asarray(rows))
        updated = [position for position, row in enumerate(rows) if self._version(row)[0]]
        if not updated:
            return listings
        prices, stock = listings.competitor_price.copy(), np.full(len(rows), np.nan)
        for position in updated:
            place = (listings.sku[position], listings.zone[position])
            if (price := self._latest_values.competitor_price(*place)) is not None:
                prices[position] = price
            if (units := self._latest_values.on_hand(*place)) is not None:
                stock[position] = units
        return replace(listings, competitor_price=prices, on_hand=stock)

    def _add_to_cache(
        self, versions: dict[Key, Version], decided: dict[Key, RenderedOffer]
    ) -> None:
        for key, version in versions.items():
            _, terms = key
            if terms.arm.draw is None:  # each shopper of the exploration arm has another draw
                self._cache[key] = (version, decided[key])
        while len(self._cache) > MAX_OFFERS:
            self._cache.popitem(last=False)

    def _render(self, offer: Offer, terms: Terms, features: dict[str, Any]) -> RenderedOffer:
        manifest = self.bundle.manifest
        model_name, model_version = manifest.pricing_model
        public = {n: getattr(offer, n) for n in offer.__slots__ if n not in PRIVATE_FIELDS}
        public |= {
            "discount_from": None if self.why_list_price else offer.discount_from,
            "currency": manifest.currency,
            "model_name": model_name,
            "model_version": model_version,
        }
        logged = {
            "choice": offer.choice,
            "personal": offer.expectation and offer.expectation._asdict(),
            "terms": _log_terms(terms),
            "features": features,
            "verdict": manifest.built_from,
        }
        # The floor is the last field of the quote's object. The brace closes that object, and the
        # other fields follow it in the log line.
        log_json = b'"floor":%b},%b' % (to_json(offer.floor), _json_fields(logged))
        rules = [reason.rule for reason in offer.reasons]
        known = self.public_prices.get((offer.sku, offer.zone))
        new_price = is_new(offer, known, not FALLBACKS.isdisjoint(rules))
        return RenderedOffer.from_fields(public, rules, log_json, offer.expectation, new_price)


def _log_terms(terms: Terms) -> dict[str, Any]:
    return {
        "segment": terms.segment,
        "because": terms.because,
        "arm": terms.arm.name,
        "share": terms.arm.share,
        "draw": terms.arm.draw,
        "purpose": terms.purpose,
        "withheld": terms.withheld,
    }


def feature_rows(listings: Listings) -> list[dict[str, Any]]:
    """The inputs of each decision as plain values, to be logged."""
    columns = {name: column for name, column in vars(listings).items() if column is not None}
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def from_log(quote: Mapping[str, Any]) -> RenderedOffer:
    """The offer of a quote in the quote log."""
    public = {name: value for name, value in quote.items() if name not in PRIVATE_FIELDS}
    rules = [reason["rule"] for reason in quote["reasons"]]
    return _shared(RenderedOffer.from_fields(public, rules))


@lru_cache(maxsize=4_096)
def _shared(offer: RenderedOffer) -> RenderedOffer:
    """The first of equal offers. Many locked quotes have the same offer; it is kept once."""
    return offer


def _metric_labels(fields: Mapping[str, Any], rules: Sequence[str]) -> MetricLabels:
    outcome = "list_price" if fields["price"] == fields["list_price"] else "public"
    if fields["personalised"]:
        outcome = "personal"
    changes = tuple(rule for rule in rules if rule not in INFORMATIVE_RULES)
    return MetricLabels(fields["arm"], outcome, changes)


def _json_fields(fields: Mapping[str, Any]) -> bytes:
    """JSON fields without the braces. NaN, an unknown feature, becomes null."""
    return to_json(fields, inf_nan_mode="null")[1:-1]
