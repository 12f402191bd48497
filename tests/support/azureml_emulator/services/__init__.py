"""Emulate the services, each in its own module."""

from .arm import ResourceManager
from .artifacts import Artifacts
from .blobs import Blobs
from .control import Control
from .datasets import Datasets
from .datastores import Datastores
from .discovery import Discovery
from .entra import Entra
from .environments import Environments
from .execution import Execution
from .history import History
from .metrics import Metrics
from .models import Models
from .opendatasets import OpenDatasets
from .snapshots import Snapshots
from .telemetry import Telemetry

SERVICES = (
    Entra,
    ResourceManager,
    Discovery,
    History,
    Metrics,
    Artifacts,
    OpenDatasets,
    Blobs,
    Datastores,
    Datasets,
    Environments,
    Snapshots,
    Execution,
    Models,
    Telemetry,
    Control,
)
