"""The sections of params.yaml for the stages, and for `quote`: the limits of a price."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pricebook.config.personal import Personal
from pricebook.config.section import Section, Severity, Share

OBJECTIVES = ("calibrated", "profit", "volume", "revenue")
LOWEST_LONG_RUN = -20.0


def _check_objective(value: Any) -> Any:
    terms = list(value.values()) if isinstance(value, dict) else [value]
    numbers = [t for t in terms if isinstance(t, int | float) and LOWEST_LONG_RUN <= t <= 0]
    if value not in OBJECTIVES and (not terms or len(numbers) < len(terms)):
        raise ValueError(
            f"must be one of {', '.join(OBJECTIVES)}, or a long-run term from "
            f"{LOWEST_LONG_RUN:g} to 0, or such a term for each department"
        )
    return value


Objective = Annotated[str | float | dict[str, float], BeforeValidator(_check_objective)]


class Ingest(Section):
    """What `ingest` reads."""

    sample: Share | None = Field(
        None, description="share of skus to keep, chosen by a stable hash; null: all"
    )


class Validate(Section):
    """How strict `validate` is."""

    quarantine_limit: Share = 0.05
    severities: dict[str, Severity] = Field(
        default_factory=dict, description="check name: severity that replaces the contract's"
    )
    rows_per_batch: Annotated[int, Field(ge=1_000)] = Field(
        2_000_000, description="unused since DuckDB measures whole tables; old files still load"
    )
    sample_rows: Annotated[int, Field(ge=0, le=100)] = 5


class Featurize(Section):
    """Which series are modelled, and the resources of DuckDB."""

    min_periods: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="a series with fewer periods with sales is not modelled; null: 40, or three "
        "quarters of a shorter history",
    )
    memory_limit: str = "1500MB"
    threads: Annotated[int, Field(ge=1)] = 2
    reference_periods: Annotated[int, Field(ge=1)] = 8


class Materialize(Section):
    """What `materialize` pushes to the online store."""

    active_periods: Annotated[int, Field(ge=1)] = Field(
        26, description="a shopper or sku without a sale for longer is not pushed"
    )


class Demand(Section):
    """The demand model: one global LSTM."""

    max_series: int | None = Field(
        500, description="train on the series with most units; null: on all series"
    )
    context: Annotated[int, Field(ge=2)] = Field(32, description="periods the encoder reads")
    units: Annotated[int, Field(ge=1)] = 48
    epochs: Annotated[int, Field(ge=1)] = 24
    batch_size: Annotated[int, Field(ge=1)] = 256
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    quantiles: tuple[float, ...] = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


class Response(Section):
    """The response model: negative price elasticities, shrunk towards their category's."""

    folds: Annotated[int, Field(ge=2)] = 8
    epochs: Annotated[int, Field(ge=1)] = 200
    learning_rate: Annotated[float, Field(gt=0)] = 1e-1
    min_sales_periods: Annotated[int, Field(ge=2)] = 8


class Train(Section):
    """What `train` fits."""

    seed: int = 7
    horizon: Annotated[int, Field(ge=1)] = 4
    demand: Demand = Demand()
    response: Response = Response()


class Gate(Section):
    """The limits that a challenger must meet."""

    forecast_margin: Share = 0.02
    max_bias: Share = 0.15
    coverage_band: tuple[Share, Share] = (0.65, 0.95)
    profit_margin: Share = 0.005
    response_margin: Share = Field(
        0.02, description="worse than the champion on held-out price response, at most"
    )
    most_elastic: Annotated[float, Field(lt=0)] = Field(
        -8.0, description="an elasticity below this is implausible"
    )
    max_extreme: Share = Field(0.01, description="share of implausible elasticities, at most")
    segment_margin: Share = 0.15
    export_tolerance: Annotated[float, Field(gt=0)] = 1e-4
    parity_sample: Annotated[int, Field(ge=1)] = 50


class Promote(Section):
    """What `promote` does once the gate has passed."""

    build_bento: bool = True


class Experiment(Section):
    """Shares of shoppers in each arm, assigned by a stable hash. All others get the champion."""

    control: Share = Field(0.0, description="pays the list price, as a baseline")
    canary: Share = Field(0.0, description="gets the challenger's prices, if there is a challenger")
    explore: Share = Field(0.0, description="gets a random rung near the best one, to learn from")
    public: Share = Field(
        0.0, description="gets no personal offer, to measure what personal offers earn"
    )
    shadow: bool = Field(
        False, description="whether the challenger also prices every quote, for the log only"
    )
    reach: Annotated[int, Field(ge=1, le=10)] = Field(
        2, description="of exploration: rungs away from the best one, at most"
    )
    temperature: Annotated[float, Field(gt=0)] = Field(
        0.5, description="of exploration: near 0 the best rung, high values all rungs equally"
    )
    salt: str = Field("", description="a new value assigns the shoppers to the arms again")

    @property
    def splits(self) -> bool:
        """Whether any shopper is in an arm other than the champion's."""
        return self.control + self.canary + self.explore + self.public > 0

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        total = self.control + self.canary + self.explore + self.public
        if total > 1:
            raise ValueError(f"control, canary, explore and public exceed 1, received: {total}")
        return self


class PriorPrice(Section):
    """The price that a discount is announced against (Directive 98/6/EC, Article 6a).

    The defaults are allowed in every member state. The other values are allowed only where national
    law provides for them.
    """

    days: Annotated[int, Field(ge=30)] = Field(
        30, description="the prior price is the lowest public price of so many days"
    )
    progressive: bool = Field(
        False,
        description="whether a reduction that grows step by step keeps the prior price of its "
        "first step (Article 6a(5))",
    )
    new_products: Literal["none", "shorter"] = Field(
        "none",
        description="on the market for less than `days`: none announces no discount, shorter takes "
        "the lowest price since then (Article 6a(4))",
    )
    perishables: dict[str, Annotated[int, Field(ge=0)] | None] = Field(
        default_factory=dict,
        description="department or category: its own days, 0 for the price just before the "
        "reduction, null for no announced discount (Article 6a(3))",
    )


class Quote(Section):
    """The guardrails of a price."""

    min_margin: Share = Field(0.05, description="over unit cost, at least; sets the floor")
    max_markdown: Share = Field(0.30, description="below list price, at most")
    max_step: Share = Field(0.15, description="from the last public price, at most")
    competitor_band: Share | None = Field(
        None, description="above the cheapest competitor, at most"
    )
    max_dispersion: Share = Field(
        0.10, description="of a personal price below the public one, at most"
    )
    endings: tuple[int, ...] = Field((9,), description="digits a rung may end with, in minor units")
    ttl_seconds: Annotated[int, Field(ge=1)] = 900
    consent_default: bool = False
    max_batch: Annotated[int, Field(ge=1)] = 1000
    experiment: Experiment = Experiment()
    personal: Personal = Personal()
    prior_price: PriorPrice = PriorPrice()
