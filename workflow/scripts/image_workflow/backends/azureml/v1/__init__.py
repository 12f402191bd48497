"""The tutorial's steps with azureml-core, the SDK v1, one module for each step.

The modules import the SDK inside functions, so that they can be imported without it. Microsoft
ended the support of this SDK on 2026-06-30.
"""
