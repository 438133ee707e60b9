"""A Gaussian tree: shop → department → category → product type → sku → series.

A node's value is its parent's plus a Gaussian effect. Evidence sits on the leaves (one observation
of a series' value, with a precision, possibly zero). One pass up and one down gives every node's
exact posterior mean and variance in time linear in the nodes (Gaussian belief propagation; Pearl
1988, ch. 7), and from them the next guess of how far children stray from their parents (EM).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVELS = ("department", "category", "product_type", "sku", "series")
EFFECT_SD = 0.3  # prior guess of a level's spread, and
EFFECT_NODES = 4.0  # how many nodes' worth of evidence that guess weighs
NO_EFFECT_SD = 1e-4  # of a level that only repeats the one above it


@dataclass(frozen=True)
class Tree:
    """`parents[l]` [n_l]: the index, one level up, of each node's parent; level 0 hangs on
    the shop.

    `keys[l]` [n_l]: the path of labels that names each node.
    """

    parents: tuple[Ints, ...]
    keys: tuple[tuple[tuple[str, ...], ...], ...]

    @property
    def repeats(self) -> tuple[bool, ...]:
        """Per level, whether every node is the only child of its parent."""
        sizes = [1, *(len(parents) for parents in self.parents)]
        return tuple(here == above for above, here in pairwise(sizes))

    @property
    def ancestry(self) -> Ints:
        """[n_series, levels]: each series' node at every level, itself last."""
        column = np.arange(len(self.parents[-1]))
        columns = [column]
        for parents in reversed(self.parents[1:]):
            column = parents[column]
            columns.insert(0, column)
        return np.column_stack(columns)


@dataclass(frozen=True)
class Posterior:
    """Mean and variance of every node's value: [1] of the shop, then [n_l] for each level."""

    mean: tuple[Floats, ...]
    variance: tuple[Floats, ...]
    spread: tuple[float, ...]  # E of the mean squared effect per level, with its prior guess


def tree(series: pd.DataFrame) -> Tree:
    """The tree of one row per series: columns department, category, product_type, sku, zone.

    A node is named by its path, so a category of two departments is two nodes; a missing label is
    the label "". Rows must be sorted so that row i is series i.
    """
    labels = list(zip(series["sku"], series["zone"], strict=True))
    paths: list[list[tuple[str, ...]]] = [
        list(zip(*(series[name] for name in LEVELS[: depth + 1]), strict=True))
        for depth in range(len(LEVELS) - 1)
    ]
    keys, parents = [], []
    above = np.zeros(len(series), np.int64)
    for path in paths:
        names = sorted(set(path))
        index = {name: i for i, name in enumerate(names)}
        node = np.array([index[name] for name in path], np.int64)
        parent = np.zeros(len(names), np.int64)
        parent[node] = above
        keys.append(tuple(names))
        parents.append(parent)
        above = node
    return Tree((*parents, above), (*keys, tuple(labels)))


def posterior(
    of: Tree, target: Floats, precision: Floats, sds: tuple[float, ...], shop: tuple[float, float]
) -> Posterior:
    """Exact marginals, given leaf evidence.

    Args:
        target: [n_series] observed value of each leaf; ignored where its precision is 0.
        precision: [n_series] one over the variance of that observation.
        sds: the standard deviation of a node's effect, per level.
        shop: mean and standard deviation of the prior on the root.
    """
    evidence = _up(of, target, precision, sds)
    (root_mean,), (root_precision,) = evidence[0]
    total = root_precision + shop[1] ** -2
    mean = np.array([(root_precision * root_mean + shop[0] * shop[1] ** -2) / total])
    means, variances, spreads = [mean], [np.array([1 / total])], []
    levels = zip(evidence[1:], of.parents, sds, of.repeats, strict=True)
    for (m, lam), parents, sd, repeats in levels:
        above, uncertain = means[-1][parents], variances[-1][parents]
        own = 1 / (lam + sd**-2)  # variance given the parent
        pull = own * lam
        means.append(pull * m + (1 - pull) * above)
        variances.append(own + (1 - pull) ** 2 * uncertain)
        squares = own + pull**2 * ((m - above) ** 2 + uncertain)
        guess = EFFECT_NODES * EFFECT_SD**2
        wide = float((squares.sum() + guess) / (len(squares) + EFFECT_NODES))
        spreads.append(NO_EFFECT_SD**2 if repeats else wide)
    return Posterior(tuple(means), tuple(variances), tuple(spreads))


def _up(
    of: Tree, target: Floats, precision: Floats, sds: tuple[float, ...]
) -> list[tuple[Floats, Floats]]:
    """Per level, shop first: the mean and precision of the evidence below each node."""
    found = [(np.where(precision > 0, target, 0.0), precision)]
    sizes = [1, *(len(parents) for parents in of.parents)]
    for level in reversed(range(len(of.parents))):
        mean, lam = found[0]
        message = lam / (1 + lam * sds[level] ** 2)
        below = np.bincount(of.parents[level], message, sizes[level]).astype(np.float64)
        weighted = np.bincount(of.parents[level], message * mean, sizes[level])
        means = np.divide(weighted, below, out=np.zeros_like(below), where=below > 0)
        found.insert(0, (means, below))
    return found
