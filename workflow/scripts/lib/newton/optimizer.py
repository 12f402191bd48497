"""Finding the minimum of the objectives: first roughly, then nearly, then to the last digits."""

from collections.abc import Callable

import numpy as np

from lib.newton.hessian import SampledHessians
from lib.newton.objective import Objective
from lib.newton.rounding import expected_mismatch, grid_of

RENEWAL = 0.5  # a Hessian lasts until passes have taken this part of its operations
SINGLE = 3e-7  # the relative gradient down to which steps are taken in single precision, or until
PATIENCE = 10  # so many steps brought no class nearer
STRONG = 1.0  # the largest C of the rough solution: that of a larger one takes longer to find
FIRST_REDUCTION = 3e-3  # the first Newton correction is solved to this part of the gradient,
LEAST_REDUCTION = 1e-6  # and no correction further than single precision can
MISMATCH = 4e-4  # coefficients of a model that may be expected to round otherwise elsewhere

Report = Callable[[int, np.ndarray, np.ndarray], None]


class Optimizer:
    """Minimises the objectives of one group of classes.

    Parameters
    ----------
    objective : Objective
    tol : float
        Class k is done when |grad f_k| <= tol |grad f_k(0)|, in double precision.
    max_iter : int
        Steps after which to stop.
    mismatch : float
        How many of a class's coefficients may be expected to round otherwise on another processor.
        If it is finite, the minimum is found that exactly.
    report : callable
        Called as ``report(step, f, relative_gradient)`` at the start and after every step that
        evaluates the objectives.

    Attributes
    ----------
    steps : int
        Steps so far; each is a pass over all rows or two.
    grid : ndarray of shape (k,)
        The grids to round to, if `mismatch` is finite.
    left : ndarray of shape (k, d)
        The Newton correction that was left undone.
    """

    def __init__(self, objective: Objective, tol, max_iter, mismatch=np.inf, report: Report = None):
        self.objective, self.tol, self.max_iter = objective, tol, max_iter
        self.mismatch, self.reproducible = mismatch, np.isfinite(mismatch)
        self.report = report or (lambda step, f, gradient: None)
        self.k, self.steps = np.arange(len(objective.targets)), 0
        # Enough to tell all features apart, and more where that costs no more than 16 passes.
        n, d = objective.n, objective.d
        self.n_drawn = max(64 * n // d, min(2 * d, 2000), objective.sizes.sampled_rows)

    def minimise(self, W: np.ndarray | None, random) -> np.ndarray:
        """Return the minimum's place (k, d), from the start W (k, d), or one of its own if None."""
        W = self.first_guess(random) if W is None else W.copy()
        if self.objective.dtype == np.float32:
            goal = SINGLE if self.reproducible else max(self.tol, SINGLE)
            W, converged = self.refine(self.approach(W, goal))
            if converged or self.steps >= self.max_iter:
                return W
            # Near this minimum single precision says too little.
            self.objective.set_precision(np.float64)
        W = self.approach(W, self.tol)
        return self.refine(W)[0] if self.reproducible else W

    def first_guess(self, random) -> np.ndarray:
        """Return the rough solution on a tenth of the rows, or zero if they are too few."""
        objective = self.objective
        tenth = objective.n // 10
        if tenth < 4 * objective.d:
            return np.zeros((len(self.k), objective.d))
        rows = np.sort(random.choice(objective.n, tenth, replace=False))
        part = Objective(
            objective.X[rows],
            objective.codes[rows],
            objective.targets,
            # Not 10 C: the stronger regularization offsets that fewer rows are fitted too closely.
            min(objective.C, STRONG),
            objective.scale,
            objective.pool,
            objective.sizes,
        )
        return Optimizer(part, tol=1e-2, max_iter=20).minimise(None, random)

    def approach(self, W: np.ndarray, goal: float) -> np.ndarray:
        """Return W nearer to the minimum, by conjugate Newton steps with a line search.

        Ends when all relative gradients are at most `goal`, or when steps in single precision bring
        no class nearer.
        """
        objective, k = self.objective, self.k
        f_zero, g_zero = objective.evaluate(np.zeros_like(W), k)
        self.gradient_at_zero = np.maximum(norm(g_zero), np.finfo(float).tiny)
        # f(W) >= |W|^2 / 2, so such a start is worse than zero, and might overflow.
        W[np.abs(W).max(axis=1) > np.sqrt(2 * f_zero)] = 0
        f, g = objective.evaluate(W, k) if W.any() else (f_zero.copy(), g_zero.copy())
        worse = f > f_zero
        W[worse], objective.margins[worse], f[worse], g[worse] = 0, 0, f_zero[worse], g_zero[worse]

        self.hessians = SampledHessians(objective)
        S, g_last, passes, lifetime = np.zeros_like(W), g.copy(), 0, 0
        least, progress = np.full(len(k), np.inf), self.steps
        while True:
            gradient = norm(g) / self.gradient_at_zero
            self.report(self.steps, f, gradient)
            if (gradient < 0.9 * least).any():
                least, progress = np.minimum(least, gradient), self.steps
            live = k[gradient > goal]
            stuck = objective.dtype == np.float32 and self.steps > progress + PATIENCE
            if not len(live) or stuck or self.steps >= self.max_iter:
                return W
            if passes > lifetime or len(self.hessians.missing(live)):
                n_drawn = self.renew_hessians(live)
                self.n_drawn, passes = 2 * n_drawn, 0
                # A pass takes 4 n d operations a class, a Hessian n_drawn * d * min(n_drawn, d).
                lifetime = RENEWAL * n_drawn * min(n_drawn, objective.d) / (4 * objective.n)
            S[live] = self.direction(g[live], g_last[live], S[live], live)
            t = objective.line_search(W[live], g[live], S[live], live)
            W[live] += t * S[live]
            g_last[live] = g[live]
            f[live], g[live] = objective.move(W[live], live, t)
            passes, self.steps = passes + 1, self.steps + 1

    def renew_hessians(self, classes: np.ndarray) -> int:
        """Make the Hessians of some classes anew; return from how many rows."""
        objective = self.objective
        most = max(objective.sizes.sampled_values // objective.d, objective.sizes.sampled_rows)
        if most >= objective.d:
            most *= 8  # the rows are added up by blocks, and take no memory
        n_drawn = min(self.n_drawn, objective.n, most)
        self.hessians.renew(classes, n_drawn)
        return n_drawn

    def direction(self, g, g_last, S_last, classes) -> np.ndarray:
        """Return a Newton step for each class, made conjugate to its last one: (k, d)."""
        S = self.hessians.newton_steps(g, classes)
        gradient_change = g - g_last
        rise = (S * gradient_change).sum(axis=1)
        curvature = (S_last * gradient_change).sum(axis=1)
        # Hestenes and Stiefel's factor; 0 at first, when there is no last step.
        factor = np.divide(-rise, curvature, out=np.zeros(len(g)), where=curvature > 0)
        conjugate = S + np.maximum(factor, 0)[:, None] * S_last
        descends = (conjugate * g).sum(axis=1) < 0
        return np.where(descends[:, None], conjugate, S)

    def refine(self, W: np.ndarray) -> tuple[np.ndarray, bool]:
        """Return W at the minimum, by Newton corrections, and whether all classes obey `tol`.

        Near the minimum a correction about squares the relative error, so each one is solved for as
        exactly as the success of the last one promises. A class whose gradient does not even halve
        is left alone: it is too far from the minimum, or double precision tells no more.
        """
        objective, live = self.objective, self.k
        objective.start_refinement()
        W, before, f, g = W.copy(), W, np.empty(len(W)), np.empty_like(W)
        weights, last = np.empty(len(W)), np.full(len(W), np.inf)
        left, reduction = np.zeros_like(W), FIRST_REDUCTION
        while True:
            f[live], g[live], weights[live] = objective.evaluate_in_double(W[live], live)
            away = live[~(self.relative(g)[live] <= last[live])]
            if len(away):
                W[away] = before[away]
                f[away], g[away], weights[away] = objective.evaluate_in_double(W[away], away)
            gradient = self.relative(g)
            self.report(self.steps, f, gradient)
            if np.isfinite(last).all():
                # A tenth of what squaring promises: one more correction would cost more.
                reduction = max((gradient / last)[live].max() ** 2 / 10, LEAST_REDUCTION)
            if self.reproducible:
                self.grid = grid_of(self.gradient_at_zero, self.trace(weights))
            wanted = live if self.reproducible else live[gradient[live] > self.tol]
            if len(missing := self.hessians.missing(wanted)):
                self.renew_hessians(missing)
            left[wanted] = self.hessians.newton_steps(g[wanted], wanted)
            live = wanted[(gradient < last / 2)[wanted] & ~self.done(gradient, left)[wanted]]
            if not len(live) or self.steps >= self.max_iter:
                self.left = left
                return W, bool((gradient <= self.tol).all())
            before, last = W.copy(), gradient
            self.correct(W, g, left, live, reduction * gradient)

    def correct(self, W, g, steps, live, goal) -> None:
        """Add to W (k, d), for the live classes, the solution x of H x = -g, about.

        By conjugate gradients, with the sampled Hessians as preconditioner.

        Parameters
        ----------
        g, steps : ndarray of shape (k, d)
            The gradients, and the Newton steps from them.
        live : ndarray of int
        goal : ndarray of shape (k,)
            The relative gradients at which to stop.
        """
        r, Z, P = g.copy(), steps.copy(), steps.copy()
        slope = (r * P).sum(axis=1)
        while len(live) and self.steps < self.max_iter:
            HP = self.objective.hessian_product(P[live], live)
            t = -slope[live] / (P[live] * HP).sum(axis=1)
            W[live] += t[:, None] * P[live]
            r[live] += t[:, None] * HP
            self.steps += 1
            Z[live] = self.hessians.newton_steps(r[live], live)
            last_slope, slope = slope, (r * Z).sum(axis=1)
            P[live] = Z[live] + (slope[live] / last_slope[live])[:, None] * P[live]
            gradient = self.relative(r)
            # Half of what is allowed, since single precision has no more digits.
            enough = (gradient <= goal) | self.done(2 * gradient, 2 * Z)
            live = live[~enough[live]]

    def relative(self, g: np.ndarray) -> np.ndarray:
        """Return the gradients' (k, d) norms relative to those at zero: (k,)."""
        return norm(g) / self.gradient_at_zero

    def done(self, gradient: np.ndarray, left: np.ndarray) -> np.ndarray:
        """Tell which classes need no further correction: (k,)."""
        converged = gradient <= self.tol
        if not self.reproducible:
            return converged
        return converged & (expected_mismatch(left, self.grid) <= self.mismatch)

    def trace(self, weights: np.ndarray) -> np.ndarray:
        """Return the Hessians' traces (k,), about: the rows' weights times their mean square."""
        if not hasattr(self, "mean_squared_row"):
            self.mean_squared_row = self.objective.mean_squared_row()
        return self.objective.d + (1 + self.mean_squared_row) * weights


def norm(A: np.ndarray) -> np.ndarray:
    """Return the norm of each row of A (k, d): (k,)."""
    return np.sqrt((A * A).sum(axis=1))
