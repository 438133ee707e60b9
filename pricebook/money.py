"""Money in minor units, and the ladder of prices a shop may put on a shelf.

A ladder is a property of a list price and the shop's endings, never of a floor, so two offers for
one sku always stand on the same rungs. The list price itself is always the top rung.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import cycle

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Pattern = tuple[int, tuple[int, ...]]  # a modulus, and the remainders that are rungs

WIDEST_GAP = 0.05  # of the list price; a wider gap leaves a cheap item no choice
NARROWEST_GAP = 0.005  # of the list price; a narrower one is not a different price to a shopper


@lru_cache(maxsize=8_192)
def rungs(list_price: int, endings: tuple[int, ...]) -> Ints:
    """Every price the ladder allows from above zero to the list price, ascending, read-only.

    The endings are kept while neighbouring rungs are 0.5 % to 5 % of the list price apart. A
    cheaper item degrades to the endings' last digit, then also to that digit plus 5, then to every
    minor unit; a dearer one keeps every 2nd, 5th, 10th ... rung, those nearest the next round sum.

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
    every = number // len(remainders) * modulus + np.take(remainders, number % len(remainders))
    ladder = np.append(every[(every > 0) & (every < list_price)], np.int64(list_price))
    ladder.setflags(write=False)
    return ladder


def _pattern(list_price: int, endings: tuple[int, ...]) -> Pattern:
    for pattern in _finer(endings):
        if _gap(pattern) <= WIDEST_GAP * list_price:
            return pattern
    return (1, (0,))


def _finer(endings: tuple[int, ...]) -> tuple[Pattern, ...]:
    last = {ending % 10 for ending in endings}
    by_five = last | {(digit + 5) % 10 for digit in last}
    return (_given(endings), (10, tuple(sorted(last))), (10, tuple(sorted(by_five))))


def _given(endings: tuple[int, ...]) -> Pattern:
    widths = [10 ** len(str(ending)) for ending in endings]
    modulus = max(widths)
    repeated = (
        range(ending, modulus, width) for ending, width in zip(endings, widths, strict=True)
    )
    return modulus, tuple(sorted({remainder for some in repeated for remainder in some}))


def _gap(pattern: Pattern) -> int:
    modulus, remainders = pattern
    following = (*remainders[1:], remainders[0] + modulus)
    return max(after - before for before, after in zip(remainders, following, strict=True))


def _stride(gap: int, narrowest: float) -> int:
    stride, steps = 1, cycle((2, 2.5, 2))  # 1 2 5 10 20 50 ...
    while gap * stride < narrowest:
        stride = int(stride * next(steps))
    return stride


def nearest(ladder: Ints, price: int, low: float, high: float) -> int:
    """The rung nearest a price, preferring rungs from low to high; of two as near, the lower.

    >>> nearest(rungs(250, (9,)), 214, low=213, high=216)
    209
    >>> nearest(rungs(250, (9,)), 215, low=211, high=250)
    219
    """
    inside = ladder[(ladder >= low) & (ladder <= high)]
    among = inside if inside.size else ladder
    return int(among[np.argmin(np.abs(among - price))])


def at_or_above(ladder: Ints, price: float) -> int:
    """The lowest rung not below a price; the top one where none is.

    >>> at_or_above(rungs(250, (9,)), 210)
    219
    """
    return int(ladder[min(int(np.searchsorted(ladder, price)), ladder.size - 1)])


def round_up(amounts: ArrayLike) -> Floats:
    """Whole minor units, never fewer; float noise below a millionth does not add a unit.

    >>> round_up([100 * 1.1, 100.2]).tolist()
    [110.0, 101.0]
    """
    return np.ceil(np.round(np.asarray(amounts, dtype=np.float64), 6))


def display(amount: float, currency: str, digits: int) -> str:
    """An amount of minor units as people read it.

    >>> display(1249, "USD", 2)
    '12.49 USD'
    """
    return f"{amount / 10**digits:.{digits}f} {currency}"
