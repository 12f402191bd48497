"""Emulate the services, each in its own module."""

from .arm import ResourceManager
from .arm_datastores import ArmDatastores
from .artifacts import Artifacts
from .blobs import Blobs
from .code_assets import CodeAssets
from .control import Control
from .data_assets import DataAssets
from .datasets import Datasets
from .datastores import Datastores
from .discovery import Discovery
from .entra import Entra
from .environment_assets import EnvironmentAssets
from .environments import Environments
from .execution import Execution
from .history import History
from .jobs import Jobs
from .metrics import Metrics
from .model_assets import ModelAssets
from .models import Models
from .online_endpoints import OnlineEndpoints
from .opendatasets import OpenDatasets
from .scoring import Scoring
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
    Jobs,
    ArmDatastores,
    DataAssets,
    EnvironmentAssets,
    CodeAssets,
    ModelAssets,
    OnlineEndpoints,
    Scoring,
    Telemetry,
    Control,
)
