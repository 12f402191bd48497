"""The tutorial's steps through azureml-core, the SDK v1: one module a step, SDK imports inside.

Microsoft ended the support of this SDK on 2026-06-30. Nothing outside this package and
``backends/azureml.py`` knows it.
"""
