"""Imports TensorFlow and Keras once for all model code, without TensorFlow's start-up messages.

Model code imports `keras`, `layers`, `ops` and `tf` from here, so that the log of every command
and task shows the project's own lines only.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2
STARTUP_MESSAGE = re.compile(rb"(I\d{4} |WARNING: All log messages before absl::InitializeLog)")


@contextmanager
def _without_startup_messages() -> Iterator[None]:
    """Remove the informational lines that TensorFlow's libraries print while they load.

    They are written to the file descriptor by C++ code before it reads TF_CPP_MIN_LOG_LEVEL
    (tensorflow/tensorflow#100442), so no setting removes them. Every other line is kept: it is
    printed when the block ends, also if the block raises.
    """
    sys.stderr.flush()
    original = os.dup(STDERR)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), STDERR)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(original, STDERR)
            os.close(original)
            captured.seek(0)
            for line in captured:
                if not STARTUP_MESSAGE.match(line):
                    os.write(STDERR, line)


# TensorFlow reads this once it has loaded: only fatal C++ errors are printed from then on. Errors
# of operations still reach Python as exceptions.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _without_startup_messages():
    import keras
    import tensorflow as tf
    from keras import layers, ops

__all__ = ["keras", "layers", "ops", "tf"]
