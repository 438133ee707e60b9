"""Experiment arms: a stable hash assigns each shopper to an arm.

A shopper stays in one arm. Anonymous requests are assigned by sku, zone and time span instead of by
shopper, so that two anonymous shoppers see the same price at the same time.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from pricebook.config import Experiment

CHAMPION, CONTROL, CANARY, EXPLORE = "champion", "control", "canary", "explore"
PUBLIC = "public"  # no personal offers, to measure what they earn


class Arm(NamedTuple):
    """An experiment arm.

    Attributes:
        name: `champion`, `control`, `canary`, `explore` or `public`.
        share: the share of the traffic in this arm.
        draw: a number in [0, 1) that selects the rung in the exploration arm; None in the others.
    """

    name: str = CHAMPION
    share: float = 1.0
    draw: float | None = None


def assign(unit: str, moment: str, experiment: Experiment) -> Arm:
    """Assign a unit to an arm.

    Canary is the last slice before the champion's. When a canary ends, only its shoppers change
    arms.

    Args:
        unit: the shopper; for anonymous requests the sku, zone and time span.
        moment: the sku, zone and time span. In the exploration arm each moment has its own draw.

    >>> assign("ann", "milk", Experiment(control=1.0))
    Arm(name='control', share=1.0, draw=None)
    >>> assign("ann", "milk", Experiment())
    Arm(name='champion', share=1.0, draw=None)
    """
    shares = {
        CONTROL: experiment.control,
        EXPLORE: experiment.explore,
        PUBLIC: experiment.public,
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
    """Hash a text to a number in [0, 1).

    >>> 0 <= uniform("ann") < 1
    True
    """
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / 2.0**53
