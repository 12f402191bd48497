"""One-versus-rest logistic regression with Newton's method, for all classes at once, on bytes.

The model is scikit-learn's ``OneVsRestClassifier(LogisticRegression(solver="liblinear"))``. For
each class k, with labels y_ik of +1 (of the class) or -1 (not of it), the solver minimises

    f_k(w) = 1/2 |w|^2 + C sum_i log(1 + exp(-y_ik w.x_i))

where every row x_i ends in a constant 1. So the intercept is penalised too, as in liblinear. f_k
has exactly one minimum, so every solver that converges finds the same model.

How the solver finds the minimum
--------------------------------
1. It starts from a rough solution on a tenth of the rows (``optimizer.first_guess``).
2. Conjugate Newton steps with a line search lead near the minimum (``Optimizer.approach``). The
   Hessian of a step comes from a sample of the rows, drawn in proportion to their weight in the
   whole Hessian [1]_, and has the diagonal of the whole Hessian (``hessian``). The steps are made
   conjugate [2]_, which makes up for the rows that were not sampled. Pixels stay bytes in memory: a
   pass over the rows converts one small block at a time to single precision, and multiplies it
   while it is in the cache (``rows``).
3. Newton corrections lead to the minimum (``Optimizer.refine``), as in iterative refinement [3]_.
   Gradients are computed in double precision. Each correction is computed in single precision, by
   conjugate gradients on the whole Hessian with the sampled Hessian as preconditioner. Each
   correction roughly squares the relative error.
4. With ``reproducible=True`` the coefficients are rounded to a grid (``rounding``).

The same bits everywhere
------------------------
*Any number of threads* gives the same bits, because rows are added in fixed blocks, the blocks are
added in a fixed order, and BLAS uses one thread.

*Any processor* gives the same bits after rounding, except with a small probability that each fit
computes. BLAS kernels add in different orders, and NumPy's exp and log1p differ in their last bits,
so two processors stop at slightly different points near the minimum. Both points are rounded to the
same grid. A coefficient with an error of e rounds to another multiple with probability |e| / grid.
So the expected number of coefficients that differ between two processors is at most the sum of
|difference| / grid. Step 3 continues until the remaining Newton correction shows that this sum is
below ``optimizer.MISMATCH``. The estimator has the sum as ``expected_mismatch_``, and
``benchmarks/processors.py`` measures the differences between kernels.

The grid of a class is a power of two. It is as coarse as possible, on condition that rounding
changes the relative gradient by about 3e-6 (liblinear stops at about 1e-5). The change of the
gradient is the Hessian times the rounding errors, which are uniform within a cell of the grid, and
the Hessian's trace bounds its norm. The trace comes from exact sums of integers and from sums in
double precision at the minimum, so every processor finds the same grid (``rounding``).

References
----------
.. [1] P. Xu, J. Yang, F. Roosta-Khorasani, C. Re, M. W. Mahoney, "Sub-sampled Newton methods with
   non-uniform sampling", NeurIPS 29 (2016).
.. [2] W. W. Hager, H. Zhang, "A survey of nonlinear conjugate gradient methods", Pacific J. Optim.
   2 (2006) 35-58.
.. [3] N. J. Higham, "Accuracy and Stability of Numerical Algorithms", SIAM (2002), chapter 12.
"""

from image_workflow.newton.estimator import NewtonOneVsRest

__all__ = ["NewtonOneVsRest"]
