"""Put a marker into every variable that may have a credential, and look for it afterwards."""

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: No other text has it. In URLs, it is a password.
MARKER = "m4rk3r-0f-a-s3cr3t"
URL = f"http://me:{MARKER}@127.0.0.1:9"  # nothing listens at this port
SECRETS = [
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_CLIENT_SECRET"),
    *("AZUREML_SERVICE_PRINCIPAL_PASSWORD", "AZURE_PASSWORD", "AZURE_STORAGE_CONNECTION_STRING"),
    *("AZURE_STORAGE_KEY", "CONDA_TOKEN", "DATABRICKS_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"),
    *("GITLAB_TOKEN", "GIT_PASSWORD", "HF_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MYSQL_PWD"),
    *("MLFLOW_TRACKING_TOKEN", "NODE_AUTH_TOKEN", "NPM_TOKEN", "PGPASSWORD", "TWINE_PASSWORD"),
    "npm_config__authToken",
]
URLS = [
    *("ALL_PROXY", "FTP_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "http_proxy", "https_proxy"),
    *("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "UV_INDEX_URL"),
]
#: One variable for each way to pass a credential. Azure's own are set by the emulator.
ENVIRONMENT = {
    **{name: f"{MARKER}-{name}" for name in SECRETS},
    **dict.fromkeys(URLS, URL),
    "MLFLOW_TRACKING_USERNAME": "me",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "http.extraHeader",
    "GIT_CONFIG_VALUE_0": f"Authorization: Bearer {MARKER}",
}


def files_with(secrets: list[str], *folders: Path) -> list[Path]:
    """Return the files that contain one of the secrets, plainly or as a part of Basic auth."""
    hidden = []
    for secret in secrets:
        hidden.append(secret.encode())
        for user in ("me", ""):
            # The last characters depend on what follows the secret.
            hidden.append(base64.b64encode(f"{user}:{secret}".encode())[:20])
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if any(each in path.read_bytes() for each in hidden)]


@contextmanager
def watched_commands(secrets: list[str]) -> Iterator[list[str]]:
    """Collect the command lines with one of the secrets, which all users of a machine can see."""
    found, ended = [], threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:  # the process has ended
                    continue
                if any(secret in line for secret in secrets):
                    found.append(line)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
