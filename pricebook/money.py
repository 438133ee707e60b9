"""Money in minor units, and the price ladder: the prices that a shop may charge for a sku.

A ladder depends on the list price and the shop's endings only, never on a floor. So all offers of
a sku share the same rungs. The list price is always the top rung.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import cycle

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Pattern = tuple[int, tuple[int, ...]]  # a modulus, and the remainders of the rungs

WIDEST_GAP = 0.05  # of the list price; with wider gaps a cheap item has too few rungs
NARROWEST_GAP = 0.005  # of the list price; shoppers do not notice smaller differences


@lru_cache(maxsize=8_192)
def rungs(list_price: int, endings: tuple[int, ...]) -> Ints:
    """The ladder of a list price: every allowed price up to it, in minor units, ascending.

    Neighbouring rungs are 0.5 % to 5 % of the list price apart. For a cheap item, where the
    endings leave wider gaps, the ladder uses the last digit of the endings, then also that digit
    plus 5, then every minor unit. For an expensive item it uses every 2nd, 5th, 10th ... rung,
    those just below round amounts. The array is read-only, because it is cached.

    Args:
        list_price: in minor units, of any currency.
        endings: the last digits a price may have: 9 allows 9, 19, 29 and so on; 99 allows 99, 199.

    Raises:
        ValueError: the list price is not above zero.

    >>> rungs(52, (9,)).tolist()[-8:]
    [45, 46, 47, 48, 49, 50, 51, 52]
    >>> rungs(250, (9,)).tolist()[-4:]
    [229, 239, 249, 250]
    >>> rungs(20_000, (9,)).tolist()[-4:]
    [19799, 19899, 19999, 20000]
    """
    if list_price <= 0:
        raise ValueError(f"A ladder needs a list price above zero. Received: {list_price}")
    modulus, remainders = pattern = _pattern(list_price, endings)
    stride = _stride(_gap(pattern), NARROWEST_GAP * list_price)
    number = np.arange(stride - 1, len(remainders) * (list_price // modulus + 1), stride)
    prices = number // len(remainders) * modulus + np.take(remainders, number % len(remainders))
    ladder = np.append(prices[(prices > 0) & (prices < list_price)], np.int64(list_price))
    ladder.setflags(write=False)
    return ladder


def _pattern(list_price: int, endings: tuple[int, ...]) -> Pattern:
    """The first pattern, from coarse to fine, whose gaps are narrow enough for the list price."""
    for pattern in _patterns(endings):
        if _gap(pattern) <= WIDEST_GAP * list_price:
            return pattern
    return (1, (0,))


def _patterns(endings: tuple[int, ...]) -> tuple[Pattern, ...]:
    last = {ending % 10 for ending in endings}
    by_five = last | {(digit + 5) % 10 for digit in last}
    return (_endings_pattern(endings), (10, tuple(sorted(last))), (10, tuple(sorted(by_five))))


def _endings_pattern(endings: tuple[int, ...]) -> Pattern:
    """All endings under one modulus: (9, 49) is modulus 100 with 9, 19, 29 ... 99 and 49."""
    widths = [10 ** len(str(ending)) for ending in endings]
    modulus = max(widths)
    remainders = (
        remainder
        for ending, width in zip(endings, widths, strict=True)
        for remainder in range(ending, modulus, width)
    )
    return modulus, tuple(sorted(set(remainders)))


def _gap(pattern: Pattern) -> int:
    """The widest gap between neighbouring rungs."""
    modulus, remainders = pattern
    following = (*remainders[1:], remainders[0] + modulus)
    return max(after - before for before, after in zip(remainders, following, strict=True))


def _stride(gap: int, narrowest: float) -> int:
    """How many rungs to step at a time so that gaps are not too narrow: 1, 2, 5, 10, 20, 50 ..."""
    stride, steps = 1, cycle((2, 2.5, 2))
    while gap * stride < narrowest:
        stride = int(stride * next(steps))
    return stride


def nearest(ladder: Ints, price: int, low: float, high: float) -> int:
    """The rung nearest a price, among rungs from low to high if there are any.

    Of two rungs at the same distance, the lower one.

    >>> nearest(rungs(250, (9,)), 214, low=213, high=216)
    209
    >>> nearest(rungs(250, (9,)), 215, low=211, high=250)
    219
    """
    inside = ladder[(ladder >= low) & (ladder <= high)]
    candidates = inside if inside.size else ladder
    return int(candidates[np.argmin(np.abs(candidates - price))])


def at_or_above(ladder: Ints, price: float) -> int:
    """The lowest rung that is not below a price, or the top rung if all are below it.

    >>> at_or_above(rungs(250, (9,)), 210)
    219
    """
    return int(ladder[min(int(np.searchsorted(ladder, price)), ladder.size - 1)])


def round_up(amounts: ArrayLike) -> Floats:
    """Round up to whole minor units. Float noise below a millionth does not add a unit.

    >>> round_up([100 * 1.1, 100.2]).tolist()
    [110.0, 101.0]
    """
    return np.ceil(np.round(np.asarray(amounts, dtype=np.float64), 6))
