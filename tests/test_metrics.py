"""Forecast metrics: known values, edge cases and refused inputs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pricebook.metrics import bias, coverage, mase, pinball, rmsse, wape

UNITS = arrays(np.float64, (3, 4), elements=st.floats(0, 1e4))


@given(UNITS)
def test_a_perfect_forecast_has_no_error(sold):
    sold[0, 0] += 1
    history = np.array([[1.0, 2.0, 1.0]] * 3)
    errors = [wape(sold, sold), bias(sold, sold), pinball(sold, sold, 0.9)]
    assert [*errors, rmsse(sold, sold, history), mase(sold, sold, history)] == [0] * 5


@given(UNITS, UNITS)
def test_bias_is_never_larger_than_wape(sold, forecast):
    sold[0, 0] += 1
    assert abs(bias(sold, forecast)) <= wape(sold, forecast) * (1 + 1e-9)


@given(UNITS, UNITS)
def test_pinball_at_the_median_is_half_the_absolute_error(sold, forecast):
    assert pinball(sold, forecast, 0.5) == pytest.approx(np.abs(sold - forecast).mean() / 2)


def test_a_naive_forecast_of_a_linear_series_scores_one():
    history, sold, forecast = [[0.0, 2.0, 4.0, 6.0]], [[8.0]], [[6.0]]
    assert rmsse(sold, forecast, history) == mase(sold, forecast, history) == 1


def test_scaled_errors_average_series_and_not_units():
    history = [[0.0, 1.0], [0.0, 100.0]]
    assert mase([[1.0], [100.0]], [[0.0], [100.0]], history) == 0.5


def test_a_series_that_never_changed_has_no_scale_and_is_left_out():
    assert mase([[1.0], [9.0]], [[2.0], [0.0]], [[0.0, 2.0], [5.0, 5.0]]) == 0.5


def test_periods_before_a_series_existed_do_not_count():
    whole = rmsse([[4.0]], [[2.0]], [[1.0, 3.0, 2.0]])
    assert rmsse([[4.0]], [[2.0]], [[np.nan, 1.0, 3.0, 2.0]]) == whole


def test_the_ends_of_an_interval_are_inside_it():
    assert coverage([1, 2, 3], [1, 1, 1], [2, 2, 2]) == pytest.approx(2 / 3)


def test_different_shapes_are_refused_and_shown():
    with pytest.raises(ValueError, match=r"Received: \(2,\) and \(1, 2\)"):
        wape([1, 2], [[1, 2]])


@pytest.mark.parametrize("metric", [wape, bias])
def test_relative_errors_need_sales(metric):
    with pytest.raises(ValueError, match="Received: all zeros"):
        metric([0, 0], [1, 2])


def test_scaled_errors_need_a_history_that_changes():
    with pytest.raises(ValueError, match="Received: constant histories"):
        rmsse([[1.0]], [[1.0]], [[3.0, 3.0]])


def test_a_history_of_one_period_is_refused():
    with pytest.raises(ValueError, match=r"Received: shape \(1, 1\)"):
        mase([[1.0]], [[1.0]], [[3.0]])


@pytest.mark.parametrize("quantile", [0, 1, 1.5])
def test_a_quantile_outside_its_range_is_refused(quantile):
    with pytest.raises(ValueError, match=f"Received: {quantile}"):
        pinball([1.0], [1.0], quantile)
