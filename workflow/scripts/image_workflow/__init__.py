"""The modules that the workflow's programs share.

data     read and write IDX files, fetch them from their sources
lineage  record which file was made from which files, code and settings
models   train a model: solvers, the choice among several candidates
newton   the default solver of the logistic regression
backends train and register a model: on this machine, or in Azure ML

No module knows Snakemake.
"""
