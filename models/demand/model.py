"""How many units, over the horizon, at a planned price: one global LSTM over all series.

`fit` learns from a panel, `DemandModel.forecast` answers for any series with a history, trained on
or not. `models.demand.network` holds the network, `models.demand.windows` what it reads.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.backend import keras, ops, tf
from models.demand import grid as dense
from models.demand import network as forecaster
from models.demand import windows as seen
from models.demand.grid import Floats, Grid, Ints
from models.demand.network import OnEpoch
from models.demand.windows import Windows
from pricebook.config import Demand
from pricebook.errors import EmptyHistory

MOST_WINDOWS = 40_000
FORECAST_BATCH = 4096
EMBEDDING_WIDTH = {"zone": 4, "department": 4, "category": 8, "product_type": 8, "sku": 12}
DAYS_TO_KNOW_A_YEAR = 540
OUTCOMES_TO_CALIBRATE = 100
SPREAD_RANGE = (0.5, 2.0)


@dataclass(frozen=True)
class Shape:
    """What a network was built for; saved beside its weights."""

    context: int
    horizon: int
    quantiles: tuple[float, ...]
    yearly: bool
    words: dict[str, tuple[str, ...]]  # static column: its vocabulary; index 0 is unknown


@dataclass(frozen=True)
class DemandModel:
    """A trained network, the shape it expects, and how far to spread its quantiles.

    `spread` multiplies each quantile's distance from the median.
    """

    network: keras.Model
    shape: Shape
    spread: float = 1.0

    def forecast(self, history: pd.DataFrame, planned: pd.DataFrame) -> pd.DataFrame:
        """Forecast every series in `planned` over the horizon that follows `history`.

        Args:
            history: panel rows up to the origin; the columns `fit` takes. Skus never trained on
                are welcome: they are read through their category and their own past.
            planned: sku, zone, period, price (minor units; null: as it was last), display,
                mailer, promotion; one row per series and period of the horizon.

        Returns:
            sku, zone, period, step (1 is the first), mean, and a column per quantile (q05 …), in
            units, sorted by series and step.

        Raises:
            ValueError: a column is missing, or `planned` is not the whole horizon.
            EmptyHistory: a planned series has no history.
        """
        grid, origin = dense.with_plan(history, planned, self.shape.horizon)
        names = ["mean", *(f"q{round(100 * q):02d}" for q in self.shape.quantiles)]
        values = self._predict(grid, origin).reshape(-1, len(names))
        frame = dense.long_frame(grid.keys, grid.periods[origin:])
        return frame.assign(**dict(zip(names, values.T, strict=True)))

    def _predict(self, grid: Grid, origin: int) -> Floats:
        """[series, horizon, 1 + quantiles] from column `origin` of the grid on, in units."""
        rows = np.arange(len(grid.keys))
        _, window, inputs = _read(grid, self.shape, (rows, np.full_like(rows, origin)))
        starts = range(0, len(rows), FORECAST_BATCH)
        parts = [
            self._batch({k: v[i : i + FORECAST_BATCH] for k, v in inputs.items()}) for i in starts
        ]
        predicted: Floats = np.concatenate(parts) * window.scale[:, None, None]
        return predicted

    def _batch(self, inputs: dict[str, Any]) -> Floats:
        said = self.network(inputs)
        mean, quantiles = (ops.convert_to_numpy(said[name]) for name in ("mean", "quantiles"))
        median = quantiles[..., [_median(self.shape.quantiles)]]
        wider = np.maximum(median + self.spread * (quantiles - median), 0)
        return np.concatenate([mean, wider], axis=-1)

    def save(self, folder: Path) -> None:
        """Write demand.keras and demand.json into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.network.save(folder / "demand.keras")
        told = {"spread": self.spread, **asdict(self.shape)}
        (folder / "demand.json").write_text(json.dumps(told, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> DemandModel:
        """Read what `save` wrote; its forecasts are the same."""
        told = json.loads((folder / "demand.json").read_text())
        spread, quantiles = told.pop("spread"), tuple(told.pop("quantiles"))
        words = {name: tuple(values) for name, values in told.pop("words").items()}
        shape = Shape(**told, quantiles=quantiles, words=words)
        return cls(keras.models.load_model(folder / "demand.keras", compile=False), shape, spread)


def load_registered(path: str) -> _Registered:
    return _Registered(DemandModel.load(Path(path)))


@dataclass(frozen=True)
class _Registered:
    """The model as MLflow calls it: one frame in which the planned rows have no units."""

    model: DemandModel

    def predict(self, frame: pd.DataFrame, params: object = None) -> pd.DataFrame:
        planned = frame["units"].isna()
        return self.model.forecast(frame[~planned], frame[planned])


def fit(
    panel: pd.DataFrame, params: Demand, horizon: int, seed: int, on_epoch: OnEpoch
) -> DemandModel:
    """Train on the `max_series` series that sold most; the same seed and panel repeat exactly.

    A shorter rehearsal first forecasts the last `horizon` periods unseen: quantiles fitted in
    sample are too narrow out of it, and the rehearsal says by how much.

    Args:
        panel: sku_period rows strictly before the cut-off, at any grain: sku, zone, period,
            units, price, display, mailer, promotion; department, category and product_type
            where known.
        horizon: periods to forecast.
        on_epoch: called after each epoch, the rehearsal's left out, with its number from 1 and
            its losses.

    Raises:
        EmptyHistory: the history is too short for one training window.
        ValueError: a column is missing or a series has a period twice.
    """
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    grid = _best_sellers(dense.to_grid(panel), params.max_series)
    shape = _shape(grid, params, horizon)
    spread = _rehearsed_spread(grid, shape, params, seed)
    return DemandModel(_learn(grid, shape, params, seed, on_epoch), shape, spread)


def _best_sellers(grid: Grid, most: int | None) -> Grid:
    order = np.argsort(-grid.units.sum(axis=1), kind="stable")[:most]
    return grid.take(np.sort(order))


def _shape(grid: Grid, params: Demand, horizon: int) -> Shape:
    words = {
        name: tuple(sorted(set(grid.keys[name].dropna().astype(str))))
        for name in EMBEDDING_WIDTH
        if name in grid.keys
    }
    if len(words["zone"]) < 2:
        del words["zone"]
    return Shape(
        context=max(2, min(params.context, grid.shape[1] - horizon)),
        horizon=horizon,
        quantiles=params.quantiles,
        yearly=(grid.periods[-1] - grid.periods[0]).days >= DAYS_TO_KNOW_A_YEAR,
        words=words,
    )


def _learn(grid: Grid, shape: Shape, params: Demand, seed: int, on_epoch: OnEpoch) -> keras.Model:
    at = seen.training_pairs(grid, shape.context, shape.horizon, MOST_WINDOWS)
    pairs, window, inputs = _read(grid, shape, at)
    sold = seen.targets(grid, pairs, window.scale, shape.horizon)
    words = {name: (len(known) + 1, EMBEDDING_WIDTH[name]) for name, known in shape.words.items()}
    model = forecaster.network(inputs, words, params.units, len(shape.quantiles))
    data = forecaster.batches(inputs, sold, window.scale, params.batch_size, seed)
    forecaster.train(model, data, params, on_epoch)
    return model


def _rehearsed_spread(grid: Grid, shape: Shape, params: Demand, seed: int) -> float:
    """Train short of the last horizon, forecast it, and see how wide the quantiles should be.

    1.0 (as they are) where there is too little to rehearse on.
    """
    origin = grid.shape[1] - shape.horizon
    if len(grid.keys) * shape.horizon < OUTCOMES_TO_CALIBRATE:
        return 1.0
    brief = params.model_copy(update={"epochs": max(1, params.epochs // 2)})
    try:
        model = _learn(grid.until(origin), shape, brief, seed, lambda *_: None)
    except EmptyHistory:
        return 1.0
    said = DemandModel(model, shape)._predict(grid, origin)[..., 1:]
    return conformal_spread(grid.asked[:, origin:], said, shape.quantiles)


def conformal_spread(sold: Floats, said: Floats, quantiles: tuple[float, ...]) -> float:
    """How much wider the central interval must be to have held the share it claims to.

    Romano, Patterson and Candès (2019), "Conformalized quantile regression", NeurIPS 32, with the
    score as a ratio: each outcome's distance from the median over that of the interval's end.
    The interval is the second widest (10-90 % by default): its ends are the less extreme.

    Args:
        sold: [series, horizon].
        said: [series, horizon, quantiles].
        quantiles: the levels of `said`.
    """
    i = min(1, (len(quantiles) - 1) // 2)
    low, middle, high = (said[..., k] for k in (i, _median(quantiles), len(quantiles) - 1 - i))
    reach = np.where(sold > middle, high - middle, middle - low)
    score = np.abs(sold - middle) / np.maximum(reach, 1e-6)
    share = quantiles[len(quantiles) - 1 - i] - quantiles[i]
    return float(np.clip(np.quantile(score, share), *SPREAD_RANGE))


def _median(quantiles: tuple[float, ...]) -> int:
    return int(np.argmin(np.abs(np.asarray(quantiles) - 0.5)))


def _read(
    grid: Grid, shape: Shape, pairs: tuple[Ints, Ints]
) -> tuple[tuple[Ints, Ints], Windows, dict[str, Any]]:
    dates = seen.calendar(grid.periods, shape.yearly)
    window = seen.windows(grid, dates, pairs, shape.context, shape.horizon)
    return pairs, window, _inputs(window, _codes(grid.keys, shape.words))


def _codes(keys: pd.DataFrame, words: dict[str, tuple[str, ...]]) -> Ints:
    """[series, static column]: the position in the vocabulary from 1, or 0 if it is not in it."""
    nothing = pd.Series([None] * len(keys), index=keys.index, dtype=object)
    columns = [
        pd.Index(known, dtype=object).get_indexer(_text(keys.get(name, nothing))) + 1
        for name, known in words.items()
    ]
    return np.stack(columns, axis=1).astype(np.int64)


def _text(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.isna(), column.astype(str))


def _inputs(window: Windows, codes: Ints) -> dict[str, Any]:
    static = codes[window.series]
    return {
        "past": window.past,
        "future": window.future,
        "lifts": window.lifts,
        "log_price": window.log_price[..., None],
        "static": static.astype(np.int32),
        "known": (static > 0).astype(np.float32),
    }
