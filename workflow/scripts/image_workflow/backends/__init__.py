"""Train and register a model: on this machine, or in Azure ML."""
