"""A Gaussian hierarchy: shop -> department -> category -> product type -> sku -> series.

The value of a node is its parent's value plus a Gaussian effect. Only the leaves (the series) are
observed, each with a precision, which may be 0. Belief propagation gives the exact posterior mean
and variance of every node in time linear in the number of nodes (Pearl 1988, "Probabilistic
Reasoning in Intelligent Systems", ch. 7): messages go up from the leaves to the shop, then down.
From the posterior follows the next EM estimate of how much children vary around their parents.
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
EFFECT_SD = 0.3  # prior guess of the standard deviation of a level's effects
EFFECT_NODES = 6.0  # the weight of that guess, in nodes
EM_STEPS = 30
NO_EFFECT_SD = 1e-4  # of a level whose nodes are the same as those of the level above


@dataclass(frozen=True)
class Tree:
    """The nodes of each level.

    Attributes:
        parents: for each level, the index of each node's parent one level up [n_l]. The parent of
            the first level is the shop, index 0.
        keys: for each level, the path of labels that names each node [n_l].
    """

    parents: tuple[Ints, ...]
    keys: tuple[tuple[tuple[str, ...], ...], ...]

    @property
    def size(self) -> int:
        """The number of series."""
        return len(self.parents[-1])

    @property
    def repeats(self) -> tuple[bool, ...]:
        """For each level, whether every node is the only child of its parent."""
        sizes = [1, *(len(parents) for parents in self.parents)]
        return tuple(below == above for above, below in pairwise(sizes))

    @property
    def ancestry(self) -> Ints:
        """The node of each series at every level [n_series, levels]; the series itself is last."""
        column = np.arange(len(self.parents[-1]))
        columns = [column]
        for parents in reversed(self.parents[1:]):
            column = parents[column]
            columns.insert(0, column)
        return np.column_stack(columns)


@dataclass(frozen=True)
class Posterior:
    """The posterior of every node's value.

    Attributes:
        mean: [1] for the shop, then [n_l] for each level.
        variance: the same shapes.
        effect_variance: for each level, the EM estimate of the variance of its effects.
    """

    mean: tuple[Floats, ...]
    variance: tuple[Floats, ...]
    effect_variance: tuple[float, ...]


def build_tree(series: pd.DataFrame) -> Tree:
    """Build the hierarchy.

    A node is named by its path, so one category name in two departments makes two nodes.

    Args:
        series: one row per series, row i for series code i: department, category, product_type,
            sku, zone. A missing label is "".
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
    tree: Tree, target: Floats, precision: Floats, sds: tuple[float, ...], shop: tuple[float, float]
) -> Posterior:
    """Exact marginal posteriors by belief propagation.

    Args:
        target: observed value of each leaf [n_series]; ignored where its precision is 0.
        precision: one over the variance of that observation [n_series].
        sds: the standard deviation of a node's effect, for each level.
        shop: mean and standard deviation of the prior on the shop's value.
    """
    evidence = _upward_messages(tree, target, precision, sds)
    (root_mean,), (root_precision,) = evidence[0]
    total = root_precision + shop[1] ** -2
    mean = np.array([(root_precision * root_mean + shop[0] * shop[1] ** -2) / total])
    means, variances, effect_variances = [mean], [np.array([1 / total])], []
    # The downward pass: combine each node's evidence from below with its parent's posterior.
    levels = zip(evidence[1:], tree.parents, sds, tree.repeats, strict=True)
    for (below_mean, below_precision), parents, sd, repeats in levels:
        parent_mean, parent_variance = means[-1][parents], variances[-1][parents]
        conditional = 1 / (below_precision + sd**-2)  # variance given the parent's value
        gain = conditional * below_precision
        means.append(gain * below_mean + (1 - gain) * parent_mean)
        variances.append(conditional + (1 - gain) ** 2 * parent_variance)
        # Expected square of each effect, for EM: its variance plus the square of its mean.
        squares = conditional + gain**2 * ((below_mean - parent_mean) ** 2 + parent_variance)
        guess = EFFECT_NODES * EFFECT_SD**2
        estimate = float((squares.sum() + guess) / (len(squares) + EFFECT_NODES))
        effect_variances.append(NO_EFFECT_SD**2 if repeats else estimate)
    return Posterior(tuple(means), tuple(variances), tuple(effect_variances))


def empirical_bayes(
    tree: Tree, target: Floats, precision: Floats, shop: tuple[float, float]
) -> tuple[Posterior, tuple[float, ...]]:
    """The posterior at the EM estimate of the effects' standard deviations, and these.

    Args: as those of `posterior`.
    """
    sds: tuple[float, ...] = (EFFECT_SD,) * len(LEVELS)
    for _ in range(EM_STEPS):
        shrunk = posterior(tree, target, precision, sds, shop)
        sds = tuple(float(np.sqrt(variance)) for variance in shrunk.effect_variance)
    return shrunk, sds


def _upward_messages(
    tree: Tree, target: Floats, precision: Floats, sds: tuple[float, ...]
) -> list[tuple[Floats, Floats]]:
    """Mean and precision of the evidence below each node, for the shop and then each level."""
    evidence = [(np.where(precision > 0, target, 0.0), precision)]
    sizes = [1, *(len(parents) for parents in tree.parents)]
    for level in reversed(range(len(tree.parents))):
        mean, node_precision = evidence[0]
        message = node_precision / (1 + node_precision * sds[level] ** 2)
        total = np.bincount(tree.parents[level], message, sizes[level]).astype(np.float64)
        weighted = np.bincount(tree.parents[level], message * mean, sizes[level])
        means = np.divide(weighted, total, out=np.zeros_like(total), where=total > 0)
        evidence.insert(0, (means, total))
    return evidence
