"""The model card, from the code and the results on disk.

    python -m benchmarks.model_card

writes docs/model-card.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.report import PAGE, format_value, load_results
from models.demand.grid import COVARIATES, STATIC
from models.response.controls import PROMOTION
from models.response.network import COLUMNS
from pipelines.feature_store import feature_repo
from pricebook.files import atomic_path

CARD = PAGE.parent / "model-card.md"
OF_DEMAND = ("forecast", "forecast-all", "censoring", "training")
OF_RESPONSE = ("response", "profit", "anyshop")

_HEAD = """\
# Model card

Written by `python -m benchmarks.model_card` from the code and `benchmarks/results/`; do not edit it
here. [Benchmarks](benchmarks.md) has the tables behind the figures.
"""

_DEMAND = """\
## demand

**Purpose**: forecasts how many units of a sku sell over the next periods, with quantiles, at planned
prices and promotions. `POST /forecast` and the gate use it. It sets no price.

**Method**: one global Keras LSTM for all skus. An encoder reads the past and a decoder reads the planned
promotions and the calendar. The network corrects a small regression on the sku's own past. The planned
price enters last, through a factor that falls as the price rises, so a higher price never means a higher
forecast, for any sku and step. Quantiles cannot cross. Their width is calibrated on held-out periods.
Where stock is known, units are divided by the share of the period in which the sku was in stock.

**Data**: the shop's own orders before the cut-off, by day, week or month. Default: The Complete Journey,
one year of orders of a household panel.

**Inputs**: past units and prices; {covariates}, for the past and as planned; {static} and the sku as
embeddings; the calendar. Training drops sku embeddings at random, so that the model can forecast a new
sku from its category.
"""

_DEMAND_LIMITS = """\
**Limits**
- The model uses no yearly season until it has one and a half years of data. It cannot foresee a holiday
  that it has not seen.
- Without planned prices and promotions it forecasts a mean; the mean of the last four weeks may then
  have the smaller absolute error.
- Without a stock record, a stock-out counts as low demand.
- A series needs a price and at least two periods of history before the forecast.
"""

_RESPONSE = """\
## response

**Purpose**: estimates how demand changes with a sku's own price, for all shoppers and for each segment.
It chooses among the rungs between floor and list price. The guardrails are applied after it.

**Method**: double machine learning. Regressions, cross-fitted on blocks of time, remove the effects of
sku, season, promotion, stock and competitors from units and from price. The slope between the residuals
is the elasticity. A hierarchy from shop to {levels} shrinks estimates that have little data. A softplus
makes every elasticity negative. Each has a standard error and a 90 % interval. Cross elasticities (to
the category, to single skus of small categories, to competitors) come from the same residuals. They
measure how much a lower price takes from the shop's own substitutes.

**Data**: as for demand, and the orders of known shoppers by segment.

**Inputs of the exported model**: the indices of {columns}, and the log of price over reference price.
Controls in training: {promotion}, prices of the category's other skus and of competitors, stock, season.
"""

_RESPONSE_LIMITS = """\
**Limits**
- The model learns from prices that the shop has charged. Far outside them the curve is an assumption.
- Intervals include an allowance of a tenth of the elasticity for what the model leaves out
  (`MISFIT` in `models/runtime.py`). It was set on simulated markets.
- A segment gets its own elasticity only if that improves the held-out likelihood. Where every price cut
  counts as a promotion, differences between segments are underestimated.
- A cross elasticity between two skus is uncertain; its sign is more reliable than its size.
- Without a unit cost or a floor, or with too few sales, the quote is the list price and says so.
"""

_FAIR = """\
## Fairness

Age, income, marital status and household composition are not features. `tests/test_fairness.py` checks
the feature lists, the files and the inputs of the exported model. The features of a shopper are:
{shopper}. A personal offer needs consent, is never above the public price, and says that it is personal.
"""

_SOURCES = """\
## Sources

- Hochreiter & Schmidhuber 1997, "Long short-term memory", Neural Computation 9(8): the network.
- Jørgensen 1987, "Exponential dispersion models", JRSS B 49(2): the loss of the mean.
- Koenker & Bassett 1978, "Regression quantiles", Econometrica 46(1); Romano, Patterson & Candès 2019,
  "Conformalized quantile regression", NeurIPS 32: quantiles and their width.
- Hoerl & Kennard 1970, "Ridge regression", Technometrics 12(1): what a sku's own past expects.
- Chernozhukov et al. 2018, "Double/debiased machine learning for treatment and structural parameters",
  Econometrics Journal 21(1): the price response.
- Clarke & Polselli 2026, "Double machine learning for static panel models with fixed effects",
  Econometrics Journal 29(1): the same with an effect for each series.
- Santos Silva & Tenreyro 2006, "The log of gravity", Review of Economics and Statistics 88(4): counts
  with zeros.
- Pearl 1988, Probabilistic Reasoning in Intelligent Systems, ch. 7; Paule & Mandel 1982, "Consensus
  values and weighting factors", Journal of Research of the NBS 87(5): shrinkage and pooling.
- Tellis 1988, "The price elasticity of selective demand", Journal of Marketing Research 25(4);
  Bijmolt, van Heerde & Pieters 2005, "New empirical generalizations on the determinants of price
  elasticity", Journal of Marketing Research 42(2): the prior of the shop's elasticity.
- Farrell & Shapiro 2010, "Antitrust evaluation of horizontal mergers", B.E. Journal of Theoretical
  Economics 10(1): what a lower price takes from substitutes.
"""


def card(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """The card as Markdown, with the figures of all recorded results."""
    demand = _DEMAND.format(covariates=_and(COVARIATES), static=_and(STATIC))
    levels = [name.replace("_", " ") for name in COLUMNS if name != "segment"]
    response = _RESPONSE.format(
        levels=_and(levels), columns=_and(COLUMNS), promotion=_and(PROMOTION)
    )
    parts = [_HEAD, demand, _figures(metrics, OF_DEMAND), _DEMAND_LIMITS]
    parts += [response, _figures(metrics, OF_RESPONSE), _RESPONSE_LIMITS]
    return "\n".join(
        [*parts, _FAIR.format(shopper=_and(_plain(feature_repo()["SHOPPER_FEATURES"]))), _SOURCES]
    )


def _plain(features: Mapping[str, Any]) -> list[str]:
    return [name for name in features if not name.endswith("_at")]


def _figures(metrics: Mapping[str, Mapping[str, Any]], names: Iterable[str]) -> str:
    lines = ["**Figures**", ""]
    for name in names:
        for bar in metrics[name]["bars"] if name in metrics else ():
            relation = "at most" if bar["at_most"] else "at least"
            word = "" if bar["met"] else " (**missed**)"
            wanted = f"{relation} {format_value(bar['bar'])} wanted{word}"
            lines.append(f"- {name}: {bar['what']} {format_value(bar['figure'])}, {wanted}")
    return "\n".join([*lines, ""])


def _and(names: Iterable[str]) -> str:
    *first, last = (name.replace("_", " ") for name in names)
    return f"{', '.join(first)} and {last}"


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    with atomic_path(CARD) as partial:
        partial.write_text(card(load_results()))


if __name__ == "__main__":
    main()
