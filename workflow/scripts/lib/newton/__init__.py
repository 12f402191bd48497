"""One-versus-rest logistic regression by Newton's method, for all classes at once, on bytes.

The model is scikit-learn's ``OneVsRestClassifier(LogisticRegression(solver="liblinear"))``. For
each class k, with labels y_ik of +1 (of the class) or -1 (not of it), the solver minimises

    f_k(w) = 1/2 |w|^2 + C sum_i log(1 + exp(-y_ik w.x_i))

where every row x_i ends in a constant 1, so that the intercept is penalised too, as liblinear does.
f_k has exactly one minimum, so every solver that converges finds the same model.

How it is found
---------------
1. A rough solution on a tenth of the rows is the start (``optimizer.first_guess``).
2. Conjugate Newton steps with a line search lead near the minimum (``Optimizer.approach``). The
   Hessian of a step is that of a sample of the rows, drawn in proportion to their weight in the
   whole Hessian [1]_, with the diagonal of the whole one (``hessian``). Steps are made conjugate
   [2]_, which makes up for the rows that were not drawn. Pixels stay bytes: a pass over the rows
   widens a small block of them to single precision, multiplies it while it is in the cache, and
   forgets it (``rows``).
3. Newton corrections lead to the minimum (``Optimizer.refine``), as in iterative refinement [3]_:
   gradients are computed in double precision, and each correction is solved for in single
   precision, by conjugate gradients on the whole Hessian with the sampled one as preconditioner.
   Each correction about squares the error.
4. With ``reproducible=True`` the coefficients are rounded to a grid (``rounding``).

The same bits everywhere
------------------------
*Any number of threads* gives the same bits: rows are summed in fixed blocks and the blocks in a
fixed order, with one BLAS thread each.

*Any processor* gives the same bits after rounding, except with a small chance that is computed for
each fit. BLAS kernels sum in different orders, and NumPy's exp and log1p differ in their last bits,
so two processors stop at slightly different points near the one minimum. Both points are rounded to
the same grid. A coefficient with an error of e rounds to another multiple with probability
|e| / grid, so the expected number of coefficients that differ between two processors is at most the
sum of |difference| / grid. Step 3 ends only when the Newton correction that is left says that this
sum is below ``optimizer.MISMATCH``; an estimator has it as ``expected_mismatch_``.
``benchmarks/processors.py`` measures the differences between kernels.

The grid of a class is a power of two, and as coarse as it can be without the rounding showing: its
errors move the relative gradient by about 3e-6, and liblinear stops at about 1e-5. That gradient is
the Hessian times the errors, which are uniform within a cell of the grid, and the Hessian's trace
bounds its norm. The trace comes from exact sums of integers and from sums in double precision at
the minimum, so the grid is the same everywhere as well (``rounding``).

References
----------
.. [1] P. Xu, J. Yang, F. Roosta-Khorasani, C. Re, M. W. Mahoney, "Sub-sampled Newton methods with
   non-uniform sampling", NeurIPS 29 (2016).
.. [2] W. W. Hager, H. Zhang, "A survey of nonlinear conjugate gradient methods", Pacific J. Optim.
   2 (2006) 35-58.
.. [3] N. J. Higham, "Accuracy and Stability of Numerical Algorithms", SIAM (2002), chapter 12.
"""

from lib.newton.estimator import NewtonOneVsRest

__all__ = ["NewtonOneVsRest"]
