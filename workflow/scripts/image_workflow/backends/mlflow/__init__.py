"""The registry of the backend local: MLflow, with an SQLite file or a server as its store."""

import os

# MLflow reads these when it is imported. Its messages go into our log file, not to the terminal.
os.environ.update(
    MLFLOW_DISABLE_TELEMETRY="true",
    MLFLOW_LOGGING_LEVEL="WARNING",
    MLFLOW_CONFIGURE_LOGGING="false",
)
# Give up after a quarter of a minute. MLflow's own 7 retries take four minutes without a message.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

from image_workflow.imports import fast_imports

with fast_imports():
    # skops searches all imported modules when it is imported. MLflow imports thousands, so skops
    # has to come first.
    import skops.io  # noqa: F401

    # isort: split
    import mlflow  # noqa: F401
