"""Forecast metrics: wape, bias, rmsse, mase, pinball, coverage.

`actual` and `forecast` are arrays of the same shape, in units. The scaled errors take series in
rows. Every function returns one float and neither rounds nor clips it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def wape(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Weighted absolute percentage error, Σ|y − f| / Σ|y|: absolute error per unit sold.

    Kolassa and Schütz (2007), "Advantages of the MAD/Mean ratio over the MAPE", Foresight 6.

    Raises:
        ValueError: the shapes differ, or nothing was sold.

    >>> wape([10, 0, 5], [8, 1, 5])
    0.2
    """
    y, f = _pair(actual, forecast)
    return float(np.abs(y - f).sum() / _total(y))


def bias(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Relative bias, Σ(f − y) / Σ|y|: above 0 the forecast is too high.

    Raises:
        ValueError: the shapes differ, or nothing was sold.

    >>> bias([10, 0, 10], [11, 1, 10])
    0.1
    """
    y, f = _pair(actual, forecast)
    return float((f - y).sum() / _total(y))


def rmsse(actual: ArrayLike, forecast: ArrayLike, history: ArrayLike) -> float:
    """Root mean squared scaled error, a mean over series of √(mean e² / mean (yₜ − yₜ₋₁)²).

    Below 1, the forecast has a smaller error than the one-step naive forecast had in sample. A
    series whose history never changes has no scale and is left out. Makridakis, Spiliotis and
    Assimakopoulos (2022), "M5 accuracy competition", IJF 38(4).

    Args:
        actual: [series, horizon].
        forecast: [series, horizon].
        history: [series, periods] before the horizon; NaN where a series did not exist.

    Raises:
        ValueError: the shapes differ, or no series has a scale.

    >>> rmsse([[3.0, 5.0]], [[4.0, 4.0]], [[1.0, 3.0, 1.0]])
    0.5
    """
    y, f = _pair(actual, forecast)
    squared: Floats = np.square(y - f).mean(axis=-1)
    return float(np.sqrt(_scaled(squared, np.square(_steps(history, len(y))))).mean())


def mase(actual: ArrayLike, forecast: ArrayLike, history: ArrayLike) -> float:
    """Mean absolute scaled error, a mean over series of mean |e| / mean |yₜ − yₜ₋₁|.

    Shapes, errors and the series that are left out are as for `rmsse`. Hyndman and Koehler (2006),
    "Another look at measures of forecast accuracy", IJF 22(4).

    >>> mase([[3.0, 5.0]], [[4.0, 4.0]], [[1.0, 3.0, 1.0]])
    0.5
    """
    y, f = _pair(actual, forecast)
    absolute: Floats = np.abs(y - f).mean(axis=-1)
    return float(_scaled(absolute, np.abs(_steps(history, len(y)))).mean())


def pinball(actual: ArrayLike, forecast: ArrayLike, quantile: float) -> float:
    """Mean pinball loss of a quantile forecast, mean of max(q(y − f), (q − 1)(y − f)), in units.

    Koenker and Bassett (1978), "Regression quantiles", Econometrica 46(1).

    Raises:
        ValueError: the shapes differ, or the quantile is not strictly between 0 and 1.

    >>> round(pinball([10.0, 10.0], [8.0, 12.0], 0.9), 6)
    1.0
    """
    if not 0 < quantile < 1:
        raise ValueError(f"A quantile lies strictly between 0 and 1. Received: {quantile}")
    y, f = _pair(actual, forecast)
    return float(np.maximum(quantile * (y - f), (quantile - 1) * (y - f)).mean())


def coverage(actual: ArrayLike, low: ArrayLike, high: ArrayLike) -> float:
    """The share of outcomes inside [low, high], both ends included.

    A well calibrated central 80 % interval covers about .8. Sales are whole units, so intervals of
    small counts cover somewhat more. Gneiting, Balabdaoui and Raftery (2007),
    "Probabilistic forecasts, calibration and sharpness", JRSS B 69(2).

    Raises:
        ValueError: the shapes differ.

    >>> coverage([1, 5, 9, 4], [0, 6, 8, 4], [2, 7, 9, 6])
    0.75
    """
    y, lowest = _pair(actual, low)
    _, highest = _pair(actual, high)
    return float(((lowest <= y) & (y <= highest)).mean())


def _pair(actual: ArrayLike, forecast: ArrayLike) -> tuple[Floats, Floats]:
    y, f = np.asarray(actual, dtype=np.float64), np.asarray(forecast, dtype=np.float64)
    if y.shape != f.shape or y.size == 0:
        raise ValueError(
            f"Actual and forecast must have one shape, not empty. Received: {y.shape} and {f.shape}"
        )
    return y, f


def _total(actual: Floats) -> float:
    total = float(np.abs(actual).sum())
    if total == 0:
        raise ValueError("Nothing was sold, so a relative error has no scale. Received: all zeros")
    return total


def _steps(history: ArrayLike, series: int) -> Floats:
    past = np.asarray(history, dtype=np.float64)
    if past.ndim != 2 or len(past) != series or past.shape[1] < 2:
        raise ValueError(
            f"History needs {series} series of two periods or more. Received: shape {past.shape}"
        )
    return np.diff(past, axis=1)


def _scaled(error: Floats, step: Floats) -> Floats:
    count = (~np.isnan(step)).sum(axis=1)
    scale = np.nansum(step, axis=1) / np.maximum(count, 1)
    if not (scale > 0).any():
        raise ValueError("No series has a history that changes. Received: constant histories")
    scaled: Floats = error[scale > 0] / scale[scale > 0]
    return scaled
