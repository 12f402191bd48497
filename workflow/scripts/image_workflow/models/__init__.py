"""Train a model, and choose its regularization rate."""
