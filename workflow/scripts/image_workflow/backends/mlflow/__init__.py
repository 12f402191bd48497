"""The registry of the backend local: MLflow, with an SQLite file or a server as its store."""

import os
import re

# Only the configuration decides what is registered where, and as what. Another program's variable,
# such as MLFLOW_RUN_ID, would decide as well. Those that say how to reach a store are kept.
KEPT = re.compile(
    r"MLFLOW_(TRACKING_(USERNAME|PASSWORD|TOKEN|AUTH|AWS_SIGV4|INSECURE_TLS|\w+_CERT_PATH)"
    r"|(HTTP|S3|GCS|KERBEROS|MYSQL_SSL)_\w+|BOTO_CLIENT_ADDRESSING_STYLE|UC_OSS_TOKEN"
    r"|ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT|DOWNLOAD_CHUNK_TIMEOUT)"
)
for name in list(os.environ):
    if name.startswith(("MLFLOW_", "_MLFLOW_")) and not KEPT.fullmatch(name):
        del os.environ[name]
# MLflow reads these when it is imported. Its messages go into our log file, not to the terminal.
os.environ.update(
    MLFLOW_DISABLE_TELEMETRY="true",
    MLFLOW_LOGGING_LEVEL="WARNING",
    MLFLOW_CONFIGURE_LOGGING="false",
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true",
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
)
# Give up after a quarter of a minute. MLflow's own 7 retries take four minutes without a message.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

from image_workflow.imports import fast_imports  # noqa: E402

with fast_imports():
    # skops searches all imported modules when it is imported. MLflow imports thousands, so skops
    # has to come first.
    import skops.io  # noqa: F401

    # isort: split
    import mlflow  # noqa: F401
