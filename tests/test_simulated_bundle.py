"""Bundles of simulated shops, which benchmarks quote from without a home."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from benchmarks.inputs.bundles import simulated_bundle
from pricebook.config import Quote
from pricebook.latest_values import LatestValues
from pricebook.pricing.decision import Listings
from pricebook.pricing.quote import Terms
from serving.quotes.offers import Offers


class Elastic:
    """Demand with an elasticity of -3."""

    def demand_ratio(self, rows, ratios):
        return ratios**-3.0


def test_a_simulated_bundle_can_be_quoted_from():
    listings = Listings(
        sku=np.array(["a"], object),
        zone=np.array(["all"], object),
        list_price=np.array([999]),
        reference_price=np.array([999.0]),
        unit_cost=np.array([600.0]),
        cost_assumed=np.array([False]),
        map_price=np.array([np.nan]),
        competitor_price=np.array([np.nan]),
        modelled=np.array([True]),
    )
    bundle = simulated_bundle(listings, Quote(max_step=0.5), Elastic(), "shop", 3)
    (offer,) = Offers(bundle, LatestValues(max_places=1)).get(
        [0], [Terms()], datetime(2026, 1, 5, tzinfo=UTC)
    )
    assert (offer.price, offer.labels.outcome) == (899, "public")  # 600 x 3 / 2 = 900
    assert bundle.manifest.built_from == "shop 3"
