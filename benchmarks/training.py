"""Compare the training speed of the demand model with that of neuralforecast's LSTM.

    python -m benchmarks.training

Both train on the same 20,000 sequences of 52 steps by 16 inputs, with the same batch size, on a
CPU. Both are called as their users call them: `models.demand.network.train` and
`NeuralForecast.fit`. Both have an encoder LSTM of the same width and forecast the same quantiles
four steps ahead. Ours also reads the plan with a second LSTM. The measured time starts after the
first epoch, so it excludes setup (tracing, windows, the data loader).
"""

from __future__ import annotations

import argparse
import logging
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.report import Bar, Plot, Row, print_result, write_result
from pricebook.config import Demand

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SEQUENCES, STEPS, INPUTS, HORIZON = 20_000, 52, 16, 4
WIDTH, BATCH, EPOCHS, ROUNDS, SEED = 64, 256, 4, 3, 7
TARGET_RATIO = 1.5
PLANNED = 9  # inputs that are known ahead: three covariates and the calendar
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Sequences:
    """Random training data.

    Attributes:
        units: [sequence, STEPS + HORIZON], with a mean near one.
        others: the other inputs [sequence, STEPS + HORIZON, INPUTS - 1].
    """

    units: Floats
    others: Floats

    @classmethod
    def draw(cls, count: int) -> Sequences:
        random = np.random.default_rng(SEED)
        shape = (count, STEPS + HORIZON)
        units = random.gamma(2.0, 0.5, shape).astype(np.float32)
        return cls(units, random.normal(size=(*shape, INPUTS - 1)).astype(np.float32))

    def rows(self, epochs: int) -> int:
        return len(self.units) * STEPS * epochs


def ours(sequences: Sequences, epochs: int) -> list[float]:
    """Train, and return the time of `perf_counter` at the end of each epoch."""
    import keras
    import tensorflow as tf

    from models.demand import network as forecaster

    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    spec, ends = Demand(units=WIDTH, batch_size=BATCH, epochs=epochs), list[float]()
    inputs = _inputs(sequences)
    sold = np.stack([sequences.units[:, STEPS:], np.ones((len(inputs["past"]), HORIZON))], axis=-1)
    model = forecaster.build_network(inputs, {"sku": (500, 12)}, WIDTH, len(spec.quantiles))
    scale = np.ones(len(sold), dtype=np.float32)
    data = forecaster.batches(inputs, sold.astype(np.float32), scale, BATCH, SEED)
    forecaster.train(model, data, spec, lambda *_: ends.append(time.perf_counter()))
    return ends


def _inputs(sequences: Sequences) -> dict[str, Any]:
    from models.demand.own_history import FEATURES

    count = len(sequences.units)
    past = np.concatenate([sequences.units[..., None], sequences.others], axis=-1)[:, :STEPS]
    ahead = sequences.others[:, STEPS:]
    return {
        "past": past,
        "future": ahead[..., :PLANNED],
        "lifts": ahead[..., -FEATURES:],
        "log_price": ahead[..., :1],
        "static": (np.arange(count, dtype=np.int32) % 500)[:, None],
        "known": np.ones((count, 1), dtype=np.float32),
    }


def neuralforecast(sequences: Sequences, epochs: int) -> list[float]:
    """Train, and return the time of `perf_counter` at the end of each epoch."""
    from neuralforecast import NeuralForecast
    from neuralforecast.losses.pytorch import MQLoss
    from neuralforecast.models import LSTM
    from pytorch_lightning.callbacks import LambdaCallback

    ends = list[float]()
    frame, others = _long(sequences)
    model = LSTM(
        h=HORIZON,
        input_size=STEPS,
        encoder_n_layers=1,
        encoder_hidden_size=WIDTH,
        decoder_hidden_size=WIDTH,
        decoder_layers=1,
        hist_exog_list=others,
        loss=MQLoss(quantiles=list(Demand().quantiles)),
        max_steps=epochs * -(-len(sequences.units) // BATCH),
        batch_size=BATCH,
        windows_batch_size=BATCH,  # a series is one window long
        scaler_type="identity",  # the data already has scale one
        random_seed=SEED,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[
            LambdaCallback(on_train_epoch_end=lambda *_: ends.append(time.perf_counter())),
        ],
    )
    NeuralForecast(models=[model], freq="7D").fit(frame)
    return ends


def _long(sequences: Sequences) -> tuple[pd.DataFrame, list[str]]:
    count, length = sequences.units.shape
    names = [f"x{number}" for number in range(INPUTS - 1)]
    frame = pd.DataFrame(sequences.others.reshape(-1, INPUTS - 1), columns=names)
    weeks = np.tile(pd.date_range("2023-01-02", periods=length, freq="7D"), count)
    frame.insert(0, "y", sequences.units.ravel())
    frame.insert(0, "ds", weeks)
    frame.insert(0, "unique_id", np.repeat(np.arange(count), length))
    return frame, names


def speed(
    train: Callable[[Sequences, int], list[float]], sequences: Sequences, epochs: int
) -> float:
    """Rows per second over all epochs after the first.

    Raises:
        RuntimeError: the training ran a different number of epochs.
    """
    ends = train(sequences, epochs)
    if len(ends) != epochs:
        raise RuntimeError(f"Expected {epochs} epochs. Received: {len(ends)}")
    return sequences.rows(epochs - 1) / (ends[-1] - ends[0])


def compare(sequences: Sequences, epochs: int, rounds: int) -> tuple[list[Row], list[Bar]]:
    """Train both in turns, so that other load affects both. Returns medians over the rounds."""
    us, them = list[float](), list[float]()
    for _ in range(rounds):
        us.append(speed(ours, sequences, epochs))
        them.append(speed(neuralforecast, sequences, epochs))
    rows: list[Row] = [
        {
            "training": name,
            "rows per second": median(rates),
            "slowest": min(rates),
            "best": max(rates),
        }
        for name, rates in (("ours", us), ("neuralforecast LSTM", them))
    ]
    ratio = median(np.divide(us, them).tolist())
    return rows, [Bar("rows per second, ours / neuralforecast", ratio, TARGET_RATIO, at_most=False)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sequences", type=int, default=SEQUENCES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    rows, bars = compare(Sequences.draw(arguments.sequences), EPOCHS, arguments.rounds)
    title = f"Training: {arguments.sequences:,} sequences of {STEPS} × {INPUTS}, LSTM {WIDTH}"
    print_result(title, rows, bars)
    if (arguments.sequences, arguments.rounds) == (SEQUENCES, ROUNDS):
        plot = Plot("training", "rows per second")
        write_result("training", title, "python -m benchmarks.training", rows, bars, plot)


if __name__ == "__main__":
    main()
