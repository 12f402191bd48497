"""Train a model, and choose its parameters."""
