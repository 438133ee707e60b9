"""Imports TensorFlow and Keras once for all model code, without TensorFlow's start-up messages.

Model code imports `keras`, `layers`, `ops` and `tf` from here, so that the log of every command
and task shows the project's own lines only.
"""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

from models.stderr import without_messages

# The libraries print these lines while they load, before they read TF_CPP_MIN_LOG_LEVEL
# (tensorflow/tensorflow#100442), so no setting removes them.
STARTUP_MESSAGE = re.compile(rb"(I\d{4} |WARNING: All log messages before absl::InitializeLog)")

# TensorFlow reads this once it has loaded: only fatal C++ errors are printed from then on. Errors
# of operations still reach Python as exceptions.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with without_messages(STARTUP_MESSAGE):
    import keras
    import tensorflow as tf
    from keras import layers, ops

__all__ = ["keras", "layers", "ops", "save_network", "tf"]


def save_network(network: keras.Model, path: Path) -> None:
    """Save a network without the warning that Keras converts variables in a deprecated way.

    The filter is set here and not at import: Feast replaces the filters of deprecations.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        network.save(path)
