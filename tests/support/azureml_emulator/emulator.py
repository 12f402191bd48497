"""Assemble the emulator: its folder, its services, its proxy and the environment of its clients."""

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
from .messages import WORKSPACE_PATH, now
from .proxy import Proxy
from .router import Router
from .services import SERVICES

NO_PROXY_HOSTS = "127.0.0.1,localhost"


class Emulator:
    """Emulate one workspace on the loopback interface while the context is open.

    Parameters
    ----------
    state : Path, optional
        The folder for blobs, run folders, certificates and the request log. By default a temporary
        folder, which the emulator deletes at the end.
    python : str, optional
        The interpreter that runs submitted scripts, and the command `python` of jobs of SDK v2.
    mnist : Path, optional
        A folder with the four MNIST files. The emulator serves them as Azure Open Datasets does.
    faults : dict, optional
        Faults to set at the start, see `faults.Faults`.

    Notes
    -----
    Every service is an attribute with the name of its module: `emulator.history.runs`,
    `emulator.models.models`, `emulator.execution.cancel(run_id)`. Set faults with
    `emulator.faults`.

    Examples
    --------
    >>> with Emulator() as emulator:  # doctest: +SKIP
    ...     subprocess.run(command, env=os.environ | emulator.environment(home))
    """

    def __init__(self, state=None, python=sys.executable, mnist=None, faults=None):
        self._temporary_folder = None if state else tempfile.TemporaryDirectory()
        self.folder = Path(state or self._temporary_folder.name).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.python, self.mnist = str(python), mnist and Path(mnist)
        self.faults = Faults(faults)
        self.lock = threading.RLock()
        # The SDK caches by workspace id and by storage account, so each emulator has new ones.
        self.suffix = secrets.token_hex(5)
        self.storage_account = f"emulated{self.suffix}"
        self.workspace = {
            "id": str(uuid.uuid4()),
            "subscription": str(uuid.uuid4()),
            "group": "emulated-group",
            "workspace": "emulated-workspace",
            "location": "westeurope",
            "created": now(),
        }
        self.scope = WORKSPACE_PATH.format(**self.workspace)
        services = [self._add_service(service_type) for service_type in SERVICES]
        log = self.folder / "requests.jsonl"
        log.write_text("")
        self._router = Router(services, self.faults, log)
        authority = Authority(self.folder / "certificates")
        self.ca_path = authority.path
        self._proxy = Proxy(authority, self.faults, self._router.respond)
        self.config_path = self.write_config(self.folder)

    def __enter__(self):
        self._proxy.start()
        return self

    def __exit__(self, *_):
        self.execution.stop()
        self.online_endpoints.stop()
        self._proxy.stop()
        if self._temporary_folder:
            self._temporary_folder.cleanup()

    @property
    def url(self) -> str:
        """Return the address of the proxy, which is also the address of the control service."""
        return self._proxy.url

    def write_config(self, folder: Path) -> Path:
        """Write the workspace's config.json into a folder, and return the path of the file."""
        config = {
            "subscription_id": self.workspace["subscription"],
            "resource_group": self.workspace["group"],
            "workspace_name": self.workspace["workspace"],
        }
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(config, indent=2) + "\n")
        return path

    def proxy_environment(self, home: Path) -> dict[str, str]:
        """Create a home folder, and return the variables that send a process to the proxy."""
        Path(home).mkdir(parents=True, exist_ok=True)
        proxies = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
        bundles = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
        return (
            dict.fromkeys(proxies, self.url)
            | dict.fromkeys(("NO_PROXY", "no_proxy"), NO_PROXY_HOSTS)
            | dict.fromkeys(bundles, str(self.ca_path))
            | {"SSL_CERT_DIR": str(self.folder / "no-certificates"), "HOME": str(home)}
        )

    def environment(self, home: Path) -> dict[str, str]:
        """Return a client's variables: those of the proxy, and a service principal."""
        return self.proxy_environment(home) | {
            "AZUREML_CURRENT_CLOUD": "AzureCloud",
            "AZUREML_SERVICE_PRINCIPAL_TENANT_ID": self.entra.tenant,
            "AZUREML_SERVICE_PRINCIPAL_ID": self.entra.client,
            "AZUREML_SERVICE_PRINCIPAL_PASSWORD": self.entra.secret,
            "AZURE_TENANT_ID": self.entra.tenant,
            "AZURE_CLIENT_ID": self.entra.client,
            "AZURE_CLIENT_SECRET": self.entra.secret,
            "AZUREML_EMULATOR_URL": self.url,
            "AZUREML_EMULATOR_CONFIG": str(self.config_path),
        }

    def requests(self) -> list[dict]:
        """Return the request log."""
        return self._router.requests()

    def unknown(self) -> list[dict]:
        """Return the requests to hosts that the emulator does not emulate."""
        return [line for line in self.requests() if line["service"] is None]

    def state(self) -> dict:
        """Return a copy of the workspace's content, for assertions.

        Both SDKs share `runs`, `models`, `computes` and `blobs`; a model's `isArchived` is true if
        SDK v2 has archived the version. `metrics`, `datasets` and `environments` are those of SDK
        v1. SDK v2 has `mlflow_metrics` by run, `jobs`, the properties of each job as the client
        sent them, by the job's name, and `data`, `environments_v2` and `codes`, the properties of
        each version by name and version, and `endpoints` with their traffic and deployments.
        """
        with self.lock:
            value = {
                "workspace": self.workspace,
                "experiments": list(self.history.experiments),
                "runs": list(self.history.runs.values()),
                "metrics": self.metrics.metrics,
                "mlflow_metrics": self.metrics.logged,
                "models": list(self.models.models.values()),
                "datasets": self.datasets.registered,
                "environments": self.environments.environments,
                "jobs": self.jobs.jobs,
                "data": self.data_assets.versions,
                "environments_v2": self.environment_assets.versions,
                "codes": self.code_assets.versions,
                "computes": self.arm.computes,
                "endpoints": self.online_endpoints.state(),
                "blobs": self.blobs.sizes(),
            }
            return json.loads(json.dumps(value))

    def _add_service(self, service_type: type):
        service = service_type(self)
        setattr(self, service.name, service)
        return service
