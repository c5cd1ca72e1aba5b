"""Prints the coefficients of the functions in this folder: `python minimax.py` with mpmath, numpy and scipy.

Each list is a minimax fit of the relative error on a grid of Chebyshev points, by linear programming. Coefficients
are rounded to single precision one after the other, and those that are left are fitted again each time; of some
random orders, the one with the least error wins.
"""

import random

import mpmath as mp
import numpy as np
from scipy.optimize import linprog

mp.mp.dps = 40
POINTS = 500


def grid(first, last):
    return (first + last) / 2 - (last - first) / 2 * np.cos(np.pi * np.arange(POINTS) / (POINTS - 1))


def values(f, xs):
    return np.array([float(f(mp.mpf(float(x)))) for x in xs])


def powers(x, exponents):
    return np.stack([x**e for e in exponents], axis=1)


def solve(basis, target, weight):
    """The coefficients that make the largest of |weight (target - basis c)| least."""
    scale = np.max(np.abs(basis), axis=0)
    a, t = basis / scale * weight[:, None], target * weight
    # The programme sees what least squares leave, as it is not made for small numbers.
    near = np.linalg.lstsq(a, t, rcond=None)[0]
    rest = t - a @ near
    unit = np.max(np.abs(rest)) + 1e-300
    ones = np.ones((len(t), 1))
    result = linprog(
        [0.0] * a.shape[1] + [1.0],
        A_ub=np.vstack([np.hstack([a, -ones]), np.hstack([-a, -ones])]),
        b_ub=np.concatenate([rest, -rest]) / unit,
        bounds=[(None, None)] * a.shape[1] + [(0, None)],
        method="highs",
    )
    assert result.success, result.message
    return (near + result.x[:-1] * unit) / scale


def rounded(name, count, fit, error, orders=1):
    """Prints `count` coefficients of single precision; `fit(fixed, free)` gives the best for the places `free`."""
    generator = random.Random(1)
    best = None
    for _ in range(orders):
        order = list(range(count))
        if orders > 1:
            generator.shuffle(order)
        c = np.zeros(count)
        try:
            for at in range(count):
                free = order[at:]
                c[free] = fit(np.where(np.isin(range(count), free), 0.0, c), free)
                c[free[0]] = float(np.float32(c[free[0]]))
        except AssertionError:
            continue
        if best is None or error(c) < error(best):
            best = c.copy()
    print(f"{name}: 2^{np.log2(error(best)):.1f}")
    print("   ", ", ".join(str(np.float32(c)) for c in best))


def polynomial(name, f, x, exponents, weight):
    target, basis = values(f, x), powers(x, exponents)
    rounded(
        name,
        len(exponents),
        lambda fixed, free: solve(basis[:, free], target - basis @ fixed, weight),
        lambda c: np.max(np.abs((target - basis @ c) * weight)),
    )


def quotient(name, f, x, above, below, orders):
    """P / Q where Q(0) = 1: the linear problem, weighted by the denominator that was found before."""
    target = values(f, x)
    basis = np.hstack([powers(x, range(above + 1)), -powers(x, range(1, below + 1)) * target[:, None]])
    denominator = lambda c: 1 + powers(x, range(1, below + 1)) @ c[above + 1 :]
    error = lambda c: np.max(np.abs(powers(x, range(above + 1)) @ c[: above + 1] / denominator(c) / target - 1))

    def fit(fixed, free):
        c, best = fixed.copy(), None
        weight = np.ones_like(x)
        for _ in range(10):
            c[free] = solve(basis[:, free], target - basis @ fixed, 1 / (weight * target))
            weight = denominator(c)
            if best is None or error(c) < error(best):
                best = c.copy()
        return best[free]

    rounded(name, above + below + 1, fit, error, orders)


half = float(mp.log(2)) / 2 * 1.0005
x = grid(-half, half)
x = x[np.abs(x) > 1e-3]
polynomial("(exp(r) - 1 - r) / r^2", lambda r: mp.expm1(r) - r, x, range(2, 7), 1 / np.abs(np.expm1(x)))

x = grid(0.0, 1.0)[1:]
polynomial("(ln(1 + x) - x) / x^2", lambda e: mp.log1p(e) - e, x, range(2, 11), 1 / np.log1p(x))

x = grid(0.0, 1.5)[3:]
shrink = lambda x: x - mp.tanh(x)
polynomial("(x - tanh(x)) / x^3, in x^2", shrink, x, range(3, 25, 2), 1 / values(shrink, x))

tail = lambda t: mp.exp(t * t / 2) * mp.erfc(t / mp.sqrt(2)) / 2
quotient("exp(t^2 / 2) Phi(-t), P then Q without its 1", tail, grid(0.0, 15.0), 4, 5, orders=200)
