"""Removes known messages of C++ libraries from standard error."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2


@contextmanager
def without_messages(pattern: re.Pattern[bytes]) -> Iterator[None]:
    """Remove the lines that match `pattern` from what the block prints to standard error.

    C++ code writes to the file descriptor, so the block's whole output is captured there. The other
    lines are printed when the block ends, also if it raises. Other threads must not depend on
    standard error meanwhile.
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
                if not pattern.match(line):
                    os.write(STDERR, line)
