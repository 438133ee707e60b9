"""The margin that a listing takes from its category, for each row of the price book."""

import numpy as np
import pandas as pd

from models.response.cannibalisation import cannibalised, recent_units

BOOK = pd.DataFrame(
    {
        "sku": ["cola", "lemonade", "bread", "salt"],
        "zone": "all",
        "department": ["DRINKS", "DRINKS", "BAKERY", None],
        "category": ["SODA", "SODA", "BREAD", None],
        "unit_cost": [50.0, 60.0, None, 20.0],
        "reference_price": [100.0, 110.0, 300.0, 80.0],
    }
)
UNITS = pd.DataFrame({"sku": ["cola", "lemonade"], "zone": "all", "units": [30.0, 10.0]})


def lost_margin(cross):
    """With own elasticities of -2, and this cross elasticity within SODA."""
    own = pd.DataFrame({"sku": ["cola", "lemonade"], "zone": "all", "elasticity": -2.0})
    others = own.assign(elasticity=cross, kind="category")
    return cannibalised(own.assign(segment="everyone"), others, BOOK, UNITS)


def test_each_unit_gained_costs_a_share_of_the_margin_of_its_category():
    lost = lost_margin(0.3)
    assert (lost[:2] > 0).all() and (lost[:2] < 50).all()
    assert lost[0] < lost[1], "cola sells most of the category, so it takes less from the rest"


def test_a_listing_without_a_category_or_a_substitute_has_no_cannibalisation():
    assert lost_margin(1.0)[2:].tolist() == [0, 0]


def test_without_a_cross_elasticity_there_is_no_cannibalisation():
    assert not lost_margin(np.nan).any()


def test_recent_units_are_the_mean_of_the_last_thirteen_periods():
    periods = pd.date_range("2024-01-01", periods=20, freq="7D")
    history = pd.DataFrame({"sku": "a", "zone": "all", "period": periods, "units": range(20)})
    assert recent_units(history)["units"].tolist() == [13.0]
