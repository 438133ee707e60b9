"""Offers from the bundle in service, remembered with their JSON until an input changes.

An offer is the same for all who ask on the same terms, so it is decided once; a quote then costs an
id, two instants and a signature.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from pydantic_core import to_json

from pricebook.latest_values import LatestValues
from pricebook.pricing.decision import Listings
from pricebook.pricing.quote import UNDECIDED, Offer, Terms, list_offers, offers
from serving.quotes.bundle import Bundle
from serving.quotes.signing import canonical_offer

log = logging.getLogger("pricebook.offers")

MOST = 32_768  # offers remembered
PRIVATE = frozenset({"floor", "choice"})  # fields of an offer that stay inside


Kind = tuple[str, str, tuple[str, ...]]  # arm, outcome, and the rules that bound the price
FALLBACKS = UNDECIDED | {"no_answer"}
TELLING = frozenset({"cost", "public_offer", "personal", "model"})  # rules that bound none


@dataclass(frozen=True, slots=True)
class RenderedOffer:
    """An offer as JSON, without the braces: what a reply says of it, what of that is signed, and
    what the quote log adds."""

    price: int
    list_price: int
    kind: Kind
    told: bytes
    signed: bytes
    logged: bytes = b""

    @classmethod
    def of(
        cls, told: Mapping[str, Any], rules: Sequence[str], logged: bytes = b""
    ) -> RenderedOffer:
        """From what a reply says, and the rules among its reasons."""
        return cls(
            told["price"],
            told["list_price"],
            _kind(told, rules),
            _inside(told),
            canonical_offer(told),
            logged,
        )


Key = tuple[int, Terms]
NEVER: Any = (None, None)


class Offers:
    """The offers of one bundle; they go with it, so no quote mixes two."""

    def __init__(self, bundle: Bundle, latest_values: LatestValues) -> None:
        self.bundle = bundle
        self._latest_values = latest_values
        self._known = OrderedDict[Key, tuple[int, RenderedOffer]]()

    def of(self, rows: Sequence[int], asked: Sequence[Terms]) -> list[RenderedOffer]:
        """What is offered on each of these terms for a row of the listings.

        A model that fails leaves everything asked for at its list price.
        """
        keys = list(zip(rows, asked, strict=True))
        heard = [self._heard(row) for row in rows]
        known = [self._known.get(key, NEVER) for key in keys]
        missing = {
            key: version
            for key, version, (of, _) in zip(keys, heard, known, strict=True)
            if of != version
        }
        if not missing:
            return [ready for _, ready in known]
        try:
            fresh = dict(zip(missing, self._decided(list(missing)), strict=True))
        except Exception:  # whatever a model raises, a shop never waits for it
            log.exception("The response model failed; quoting list prices.")
            return self.listed(rows, asked, "no_model", "the model failed")
        self._remember(missing, fresh)
        return [fresh.get(key, ready) for key, (_, ready) in zip(keys, known, strict=True)]

    def listed(
        self, rows: Sequence[int], asked: Sequence[Terms], rule: str, because: str
    ) -> list[RenderedOffer]:
        """Offers at the list price, all for one reason."""
        listings = self._listings(rows)
        told = f"{because}; the list price stands"
        made = list_offers(asked, listings, rule, told)
        return list(map(self._ready, made, asked, features(listings)))

    def _heard(self, row: int) -> int:
        return self._latest_values.version(*self.bundle.places[row])

    def _decided(self, keys: Sequence[Key]) -> list[RenderedOffer]:
        listings = self._listings([row for row, _ in keys])
        limits, demand = self.bundle.about.limits, self.bundle.demand
        asked = [terms for _, terms in keys]
        made = offers(asked, listings, limits, demand)
        return list(map(self._ready, made, asked, features(listings)))

    def _listings(self, rows: Sequence[int]) -> Listings:
        """These rows of the price book, with what has been heard since."""
        listings = self.bundle.listings.take(np.asarray(rows))
        heard = [at for at, row in enumerate(rows) if self._heard(row)]
        if not heard:
            return listings
        rival, stock = listings.competitor_price.copy(), np.full(len(rows), np.nan)
        for at in heard:
            of = (listings.sku[at], listings.zone[at])
            rival[at] = _either(self._latest_values.competitor_price(*of), rival[at])
            stock[at] = _either(self._latest_values.on_hand(*of), np.nan)
        return replace(listings, competitor_price=rival, on_hand=stock)

    def _remember(self, missing: dict[Key, int], fresh: dict[Key, RenderedOffer]) -> None:
        for key, version in missing.items():
            if key[1].arm.draw is None:
                self._known[key] = (version, fresh[key])
        while len(self._known) > MOST:
            self._known.popitem(last=False)

    def _ready(self, offer: Offer, on: Terms, features: dict[str, Any]) -> RenderedOffer:
        about = self.bundle.about
        told = {name: getattr(offer, name) for name in offer.__slots__ if name not in PRIVATE}
        told |= {
            "discount_from": offer.discount_from,
            "currency": about.currency,
            "model_name": "response",
            "model_version": about.models["response"].version,
        }
        terms = on._asdict() | on.arm._asdict()
        terms["arm"] = terms.pop("name")
        logged: dict[str, Any] = {"choice": offer.choice, "terms": terms, "features": features}
        logged |= {"verdict": about.built_from}
        more = b'"floor":%b},%b' % (to_json(offer.floor), _inside(logged))
        return RenderedOffer.of(told, [reason.rule for reason in offer.reasons], more)


def features(listings: Listings) -> list[dict[str, Any]]:
    """What each offer was decided from, as plain values."""
    known = {name: column for name, column in vars(listings).items() if column is not None}
    rows = zip(*(column.tolist() for column in known.values()), strict=True)
    return [dict(zip(known, row, strict=True)) for row in rows]


def remade(quote: dict[str, Any]) -> RenderedOffer:
    """The offer of a quote as the log has it, without its id and instants."""
    told = {name: value for name, value in quote.items() if name not in PRIVATE}
    return _same(RenderedOffer.of(told, [reason["rule"] for reason in quote["reasons"]]))


@lru_cache(maxsize=4_096)
def _same(ready: RenderedOffer) -> RenderedOffer:
    """The first that is equal: many shoppers hold one offer, which is kept once."""
    return ready


def _kind(told: Mapping[str, Any], rules: Sequence[str]) -> Kind:
    outcome = "list_price" if told["price"] == told["list_price"] else "public"
    if told["personalised"]:
        outcome = "personal"
    return told["arm"], outcome, tuple(rule for rule in rules if rule not in TELLING)


def _inside(fields: Mapping[str, Any]) -> bytes:
    return to_json(fields, inf_nan_mode="null")[1:-1]


def _either(heard: int | None, known: float) -> float:
    return known if heard is None else heard
