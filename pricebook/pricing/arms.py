"""Experiment arms: who is in which, by a stable hash that anybody can repeat.

A shopper stays in an arm. Who asks without a name is told what anybody is told at that moment: the
unit is then the sku, its zone and the moment, so that two strangers side by side see one price.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from pricebook.config import Experiment

CHAMPION, CONTROL, CANARY, EXPLORE = "champion", "control", "canary", "explore"


class Arm(NamedTuple):
    """An arm, the share of traffic in it, and for the exploration arm what its rung is drawn by."""

    name: str = CHAMPION
    share: float = 1.0
    draw: float | None = None


def assign(unit: str, moment: str, experiment: Experiment) -> Arm:
    """The arm of a unit, and its draw at a moment (a sku, a zone and a span of time).

    Canary comes last, beside the champion, so that one that ends moves nobody else.

    >>> assign("ann", "milk", Experiment(control=1.0))
    Arm(name='control', share=1.0, draw=None)
    >>> assign("ann", "milk", Experiment())
    Arm(name='champion', share=1.0, draw=None)
    """
    shares = {
        CONTROL: experiment.control,
        EXPLORE: experiment.explore,
        CANARY: experiment.canary,
    }
    rest = 1.0 - sum(shares.values())
    if rest >= 1.0:
        return Arm()
    point = uniform(f"{experiment.salt}|{unit}")
    for name, share in shares.items():
        if point < share:
            draw = uniform(f"{experiment.salt}|{unit}|{moment}") if name == EXPLORE else None
            return Arm(name, share, draw)
        point -= share
    return Arm(CHAMPION, rest)


def uniform(text: str) -> float:
    """A number of [0, 1) that a text always gives.

    >>> 0 <= uniform("ann") < 1
    True
    """
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / 2.0**53
