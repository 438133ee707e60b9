"""The model card, from the code and the results on disk.

    python -m benchmarks.model_card

writes docs/model-card.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.report import PAGE, results, shown
from models.demand.grid import COVARIATES, STATIC
from models.response.controls import PROMOTION
from models.response.network import COLUMNS
from pipelines.materialize import feature_repo
from pricebook.files import atomic_path

CARD = PAGE.parent / "model-card.md"
OF_DEMAND = ("forecast", "forecast-all", "censoring", "training")
OF_RESPONSE = ("response", "profit", "anyshop")

_HEAD = """\
# Model card

Written by `python -m benchmarks.model_card` from the code and `benchmarks/results/`; do not edit it
here. [Benchmarks](benchmarks.md) has the tables behind the figures, missed bars included.
"""

_DEMAND = """\
## demand

**For**: how many units of a sku sell over the next periods, at planned prices and promotions, with
quantiles. It serves `POST /forecast` and the gate. It sets no price.

**How**: one Keras LSTM over all skus (an encoder of the past, a decoder of what is planned), which
corrects what a small regression on the sku's own past expects. The planned price enters last, through
a factor that can only fall as price rises, so price up never means demand up, for any sku and step.
Quantiles cannot cross; a rehearsal on held-out periods says how wide they must be. Where stock is
known, units are those sold over the share of the period the sku was there.

**Data**: the shop's own orders before the cut-off, at its grain. Default: The Complete Journey, one
year of a household panel.

**Inputs**: units and price of the past; {covariates}, known for the past and planned for the future;
{static} and the sku as embeddings, forgotten at random in training so that a new sku is read through
its category; the calendar.
"""

_DEMAND_LIMITS = """\
**Limits**
- A season is left out until a year and a half is known: a holiday it has not seen, it cannot foresee.
- With prices and promotions unknown it forecasts a mean, and a plain mean of four weeks may have the
  smaller absolute error.
- Demand that no stock record explains counts as demand.
- It needs a price for each series and at least two periods of context before a horizon.
"""

_RESPONSE = """\
## response

**For**: how demand changes with a sku's own price, for shoppers as a whole and for a segment of them.
It chooses among the rungs between floor and list price; the guardrails have the last word.

**How**: double machine learning. Units and price are freed of sku, season, promotion, stock and rivals
by regressions fitted on other stretches of time; the slope of what is left is the elasticity. A tree
from shop to {levels} shrinks what a sku's own rows cannot tell; a softplus makes every elasticity
negative. Each has a standard error and a 90 % interval. Cross elasticities (to the category, to single
skus of small categories, to competitors) come from the same residuals, and say what a lower price
takes from the shop's own substitutes.

**Data**: as for demand, and the orders of known shoppers by segment.

**Inputs of the exported model**: the places of {columns} in its tables, and the log of price over
reference price. Controls while learning: {promotion}, category-mates' and competitors' prices, stock,
season.
"""

_RESPONSE_LIMITS = """\
**Limits**
- It learns from prices the shop has tried; far outside them the curve is an assumption.
- Intervals carry an allowance of a tenth of the elasticity for what the model leaves out
  (`MISFIT` in `models/runtime.py`), set on simulated markets.
- A segment keeps an elasticity of its own only where held-out likelihood improves; such deviations
  come out smaller than they are where any price cut counts as a promotion.
- Single cross elasticities between two skus are uncertain; their sign is surer than their size.
- Without a unit cost or a floor, or with too few sales, the list price stands, and the quote says so.
"""

_FAIR = """\
## Fairness

No age, income, marital status or household make-up is a feature; `tests/test_fairness.py` reads the
feature lists, the files and the exported model's inputs. Of shoppers, the features are: {shopper}.
A personal offer needs consent, is only ever lower than the public price, and says that it is personal.
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
    """The card as Markdown, with the figures of the results that there are."""
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
            wanted = f"{relation} {shown(bar['bar'])} wanted{word}"
            lines.append(f"- {name}: {bar['what']} {shown(bar['figure'])}, {wanted}")
    return "\n".join([*lines, ""])


def _and(names: Iterable[str]) -> str:
    *first, last = (name.replace("_", " ") for name in names)
    return f"{', '.join(first)} and {last}"


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    with atomic_path(CARD) as partial:
        partial.write_text(card(results()))


if __name__ == "__main__":
    main()
