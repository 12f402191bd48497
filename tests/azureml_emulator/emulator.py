"""The emulator as a whole: its folder, its services, and how clients are sent to it."""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
import threading
import uuid
from pathlib import Path

from .certificates import Authority
from .faults import Faults
from .messages import WORKSPACE, now
from .proxy import Proxy
from .router import Router
from .services import SERVICES

BYPASS = "127.0.0.1,localhost"


class Emulator:
    """A workspace on loopback, for as long as the context lasts.

    Parameters
    ----------
    state : Path, optional
        Where everything is kept: blobs, run folders, certificates, the request log. A temporary
        folder by default, removed at the end.
    python : str, optional
        The interpreter that runs submitted scripts.
    mnist : Path, optional
        A folder with the four MNIST files, served as Azure Open Datasets does.
    faults : dict, optional
        Failures in force from the start, see `faults.Faults`.

    Notes
    -----
    Every service is an attribute with its module's name: `emulator.history.runs`,
    `emulator.models.models`, `emulator.execution.cancel(run_id)`; `emulator.faults` sets failures.

    Examples
    --------
    >>> with Emulator() as emulator:  # doctest: +SKIP
    ...     subprocess.run(command, env=os.environ | emulator.environment(home))
    """

    def __init__(self, state=None, python=sys.executable, mnist=None, faults=None):
        self._temporary = None if state else tempfile.TemporaryDirectory()
        self.folder = Path(state or self._temporary.name).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.python, self.mnist = str(python), mnist and Path(mnist)
        self.faults = Faults(faults)
        self.lock = threading.RLock()
        # The SDK caches by workspace id and storage account: both are new with every start.
        self.suffix = secrets.token_hex(5)
        self.account = f"emulated{self.suffix}"
        self.workspace = {
            "id": str(uuid.uuid4()),
            "subscription": str(uuid.uuid4()),
            "group": "emulated-group",
            "workspace": "emulated-workspace",
            "location": "westeurope",
            "created": now(),
        }
        self.scope = WORKSPACE.format(**self.workspace)
        services = [self._add(kind) for kind in SERVICES]
        log = self.folder / "requests.jsonl"
        log.write_text("")
        self._router = Router(services, self.faults, log)
        authority = Authority(self.folder / "certificates")
        self.ca = authority.path
        self._proxy = Proxy(authority, self.faults, self._router.answer)
        self.config = self.write_config(self.folder)

    def __enter__(self):
        self._proxy.start()
        return self

    def __exit__(self, *_):
        self.execution.stop()
        self._proxy.stop()
        if self._temporary:
            self._temporary.cleanup()

    @property
    def url(self) -> str:
        """The address of the proxy and of the control surface."""
        return self._proxy.url

    def write_config(self, folder: Path) -> Path:
        """Write the workspace's config.json into a folder, and return its path."""
        config = {
            "subscription_id": self.workspace["subscription"],
            "resource_group": self.workspace["group"],
            "workspace_name": self.workspace["workspace"],
        }
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(config, indent=2) + "\n")
        return path

    def redirection(self, home: Path) -> dict[str, str]:
        """Return the variables that send a process here; its home folder is created."""
        Path(home).mkdir(parents=True, exist_ok=True)
        proxies = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
        trusted = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
        return (
            dict.fromkeys(proxies, self.url)
            | dict.fromkeys(("NO_PROXY", "no_proxy"), BYPASS)
            | dict.fromkeys(trusted, str(self.ca))
            | {"SSL_CERT_DIR": str(self.folder / "no-certificates"), "HOME": str(home)}
        )

    def environment(self, home: Path) -> dict[str, str]:
        """Return the variables for a client: redirection, fresh home and service principal."""
        return self.redirection(home) | {
            "AZUREML_CURRENT_CLOUD": "AzureCloud",
            "AZUREML_SERVICE_PRINCIPAL_TENANT_ID": self.entra.tenant,
            "AZUREML_SERVICE_PRINCIPAL_ID": self.entra.client,
            "AZUREML_SERVICE_PRINCIPAL_PASSWORD": self.entra.secret,
            "AZUREML_EMULATOR_URL": self.url,
            "AZUREML_EMULATOR_CONFIG": str(self.config),
        }

    def requests(self) -> list[dict]:
        """Return the request log."""
        return self._router.requests()

    def unknown(self) -> list[dict]:
        """Return the requests to hosts that are not emulated."""
        return [line for line in self.requests() if line["service"] is None]

    def state(self) -> dict:
        """Return what the workspace holds, for assertions."""
        with self.lock:
            value = {
                "workspace": self.workspace,
                "experiments": list(self.history.experiments),
                "runs": list(self.history.runs.values()),
                "metrics": self.metrics.metrics,
                "models": list(self.models.models.values()),
                "datasets": self.datasets.registered,
                "environments": self.environments.environments,
                "computes": self.arm.computes,
                "blobs": self.blobs.sizes(),
            }
            return json.loads(json.dumps(value))

    def _add(self, kind: type):
        service = kind(self)
        setattr(self, service.name, service)
        return service
