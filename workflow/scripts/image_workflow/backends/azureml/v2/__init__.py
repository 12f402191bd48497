"""The tutorial's steps with azure-ai-ml, the SDK v2, one module for each step.

The modules import the SDK inside functions, so that they can be imported without it.
"""
