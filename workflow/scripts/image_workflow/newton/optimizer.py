"""Minimise the objectives: first roughly, then closely, then to the last digits."""

from collections.abc import Callable

import numpy as np

from image_workflow.newton.hessian import SampledHessians
from image_workflow.newton.objective import Objective
from image_workflow.newton.rounding import expected_mismatch, grid_of

# A Hessian is replaced when the passes have cost this fraction of its operations.
RENEWAL = 0.5
# Single precision is used above this relative gradient, or until no class improves for 10 steps.
SINGLE_TOL = 3e-7
PATIENCE = 10
# The largest C of the rough solution. A larger one takes longer to find.
ROUGH_C = 1.0
# The first Newton correction is solved to this fraction of the gradient. Single precision limits
# the fraction of later corrections.
FIRST_REDUCTION = 3e-3
MIN_REDUCTION = 1e-6
# The expected number of coefficients of a model that round differently on another processor.
MISMATCH = 4e-4

Report = Callable[[int, np.ndarray, np.ndarray], None]


class Optimizer:
    """Minimises the objectives of a group of classes.

    Parameters
    ----------
    objective : Objective
    tol : float
        Class k is done when |grad f_k| <= tol |grad f_k(0)|, in double precision.
    max_iter : int
        Stop after this many steps.
    mismatch : float
        The allowed expected number of coefficients of a class that round differently on another
        processor. If it is finite, the minimum is found with that accuracy.
    report : callable
        Called as ``report(step, f, relative_gradient)`` after each evaluation of the objectives.

    Attributes
    ----------
    steps : int
        Steps so far. A step is one or two passes over all rows.
    grid : ndarray of shape (k,)
        The grids to round to, if `mismatch` is finite.
    correction : ndarray of shape (k, d)
        The Newton corrections that were not applied, if `mismatch` is finite.
    """

    def __init__(self, objective: Objective, tol, max_iter, mismatch=np.inf, report: Report = None):
        self.objective, self.tol, self.max_iter = objective, tol, max_iter
        self.mismatch, self.reproducible = mismatch, np.isfinite(mismatch)
        self.report = report or (lambda step, f, gradient: None)
        self.k, self.steps = np.arange(len(objective.targets)), 0
        # Enough rows to tell all features apart; more rows if they cost no more than 16 passes.
        n, d = objective.n, objective.d
        self.n_sampled = max(64 * n // d, min(2 * d, 2000), objective.sizes.sampled_rows)

    def minimise(self, W: np.ndarray | None, random) -> np.ndarray:
        """Return the minimum (k, d). Start from W (k, d), or from a rough solution if W is None."""
        W = self.first_guess(random) if W is None else W.copy()
        if self.objective.dtype == np.float32:
            goal = SINGLE_TOL if self.reproducible else max(self.tol, SINGLE_TOL)
            W, converged = self.refine(self.approach(W, goal))
            if converged or self.steps >= self.max_iter:
                return W
            # Single precision is not accurate enough near this minimum.
            self.objective.set_precision(np.float64)
        W = self.approach(W, self.tol)
        return self.refine(W)[0] if self.reproducible else W

    def first_guess(self, random) -> np.ndarray:
        """Return the rough solution on a tenth of the rows, or zero if there are too few rows."""
        objective = self.objective
        tenth = objective.n // 10
        if tenth < 4 * objective.d:
            return np.zeros((len(self.k), objective.d))
        rows = np.sort(random.choice(objective.n, tenth, replace=False))
        part = Objective(
            objective.X[rows],
            objective.codes[rows],
            objective.targets,
            # C, not 10 C: stronger regularization makes up for overfitting on fewer rows.
            min(objective.C, ROUGH_C),
            objective.scale,
            objective.pool,
            objective.sizes,
        )
        return Optimizer(part, tol=1e-2, max_iter=20).minimise(None, random)

    def approach(self, W: np.ndarray, goal: float) -> np.ndarray:
        """Approach the minimum from W by conjugate Newton steps with a line search.

        Stop when all relative gradients are at most `goal`, or when no class improves any more in
        single precision.
        """
        objective, k = self.objective, self.k
        f_zero, g_zero = objective.evaluate(np.zeros_like(W), k)
        self.gradient_at_zero = np.maximum(norm(g_zero), np.finfo(float).tiny)
        # f(W) >= |W|^2 / 2, so such a start is worse than zero, and it could overflow.
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
            active = k[gradient > goal]
            stuck = objective.dtype == np.float32 and self.steps > progress + PATIENCE
            if not len(active) or stuck or self.steps >= self.max_iter:
                return W
            if passes > lifetime or len(self.hessians.missing(active)):
                n_sampled = self.renew_hessians(active)
                self.n_sampled, passes = 2 * n_sampled, 0
                # A pass takes 4 n d operations, a Hessian n_sampled * d * min(n_sampled, d).
                lifetime = RENEWAL * n_sampled * min(n_sampled, objective.d) / (4 * objective.n)
            S[active] = self.direction(g[active], g_last[active], S[active], active)
            t = objective.line_search(W[active], g[active], S[active], active)
            W[active] += t * S[active]
            g_last[active] = g[active]
            f[active], g[active] = objective.move(W[active], active, t)
            passes, self.steps = passes + 1, self.steps + 1

    def renew_hessians(self, classes: np.ndarray) -> int:
        """Replace the Hessians of some classes, and return the number of sampled rows."""
        objective = self.objective
        most = max(objective.sizes.sampled_values // objective.d, objective.sizes.sampled_rows)
        if most >= objective.d:
            most *= 8  # blocks of rows are added one after the other and need no memory
        n_sampled = min(self.n_sampled, objective.n, most)
        self.hessians.renew(classes, n_sampled)
        return n_sampled

    def direction(self, g, g_last, S_last, classes) -> np.ndarray:
        """Return a Newton step for each class, conjugate to the last step: (k, d)."""
        S = self.hessians.newton_steps(g, classes)
        gradient_change = g - g_last
        rise = (S * gradient_change).sum(axis=1)
        curvature = (S_last * gradient_change).sum(axis=1)
        # The factor of Hestenes and Stiefel. It is 0 for the first step.
        factor = np.divide(-rise, curvature, out=np.zeros(len(g)), where=curvature > 0)
        conjugate = S + np.maximum(factor, 0)[:, None] * S_last
        descends = (conjugate * g).sum(axis=1) < 0
        return np.where(descends[:, None], conjugate, S)

    def refine(self, W: np.ndarray) -> tuple[np.ndarray, bool]:
        """Apply Newton corrections to W, and return the minimum and whether all classes obey `tol`.

        Near the minimum a correction roughly squares the relative error, so each correction is
        solved as accurately as the success of the last one suggests. A class whose gradient does
        not halve is finished: it is too far from the minimum, or double precision is exhausted.
        """
        objective, active = self.objective, self.k
        objective.start_refinement()
        W, before, f, g = W.copy(), W, np.empty(len(W)), np.empty_like(W)
        weights, last = np.empty(len(W)), np.full(len(W), np.inf)
        correction, reduction = np.zeros_like(W), FIRST_REDUCTION
        while True:
            f[active], g[active], weights[active] = objective.evaluate_in_double(W[active], active)
            away = active[~(self.relative(g)[active] <= last[active])]
            if len(away):
                W[away] = before[away]
                f[away], g[away], weights[away] = objective.evaluate_in_double(W[away], away)
            gradient = self.relative(g)
            self.report(self.steps, f, gradient)
            if np.isfinite(last).all():
                # A tenth of the squared reduction, because one more correction would cost more.
                reduction = max((gradient / last)[active].max() ** 2 / 10, MIN_REDUCTION)
            if self.reproducible:
                self.grid = grid_of(self.gradient_at_zero, self.trace(weights))
            wanted = active if self.reproducible else active[gradient[active] > self.tol]
            if len(missing := self.hessians.missing(wanted)):
                self.renew_hessians(missing)
            correction[wanted] = self.hessians.newton_steps(g[wanted], wanted)
            active = wanted[
                (gradient < last / 2)[wanted] & ~self.done(gradient, correction)[wanted]
            ]
            if not len(active) or self.steps >= self.max_iter:
                self.correction = correction
                return W, bool((gradient <= self.tol).all())
            before, last = W.copy(), gradient
            self.correct(W, g, correction, active, reduction * gradient)

    def correct(self, W, g, steps, active, goal) -> None:
        """Add the approximate solution x of H x = -g to W (k, d), for the active classes.

        The method is conjugate gradients, with the sampled Hessians as preconditioner.

        Parameters
        ----------
        g, steps : ndarray of shape (k, d)
            The gradients, and the Newton steps that the sampled Hessians give for them.
        active : ndarray of int
            The classes to correct.
        goal : ndarray of shape (k,)
            Stop at these relative gradients.
        """
        r, Z, P = g.copy(), steps.copy(), steps.copy()
        slope = (r * P).sum(axis=1)
        while len(active) and self.steps < self.max_iter:
            HP = self.objective.hessian_product(P[active], active)
            t = -slope[active] / (P[active] * HP).sum(axis=1)
            W[active] += t[:, None] * P[active]
            r[active] += t[:, None] * HP
            self.steps += 1
            Z[active] = self.hessians.newton_steps(r[active], active)
            last_slope, slope = slope, (r * Z).sum(axis=1)
            P[active] = Z[active] + (slope[active] / last_slope[active])[:, None] * P[active]
            gradient = self.relative(r)
            # Allow only half, because of the rounding errors of single precision.
            enough = (gradient <= goal) | self.done(2 * gradient, 2 * Z)
            active = active[~enough[active]]

    def relative(self, g: np.ndarray) -> np.ndarray:
        """Return the norms of the gradients (k, d), relative to the gradients at zero: (k,)."""
        return norm(g) / self.gradient_at_zero

    def done(self, gradient: np.ndarray, correction: np.ndarray) -> np.ndarray:
        """Return which classes need no further correction: (k,)."""
        converged = gradient <= self.tol
        if not self.reproducible:
            return converged
        return converged & (expected_mismatch(correction, self.grid) <= self.mismatch)

    def trace(self, weights: np.ndarray) -> np.ndarray:
        """Return the approximate traces of the Hessians (k,): weights times mean squared row."""
        if not hasattr(self, "mean_squared_row"):
            self.mean_squared_row = self.objective.mean_squared_row()
        return self.objective.d + (1 + self.mean_squared_row) * weights


def norm(A: np.ndarray) -> np.ndarray:
    """Return the norm of each row of A (k, d): (k,)."""
    return np.sqrt((A * A).sum(axis=1))
