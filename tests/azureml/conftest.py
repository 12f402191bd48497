"""The fixtures of the tests with the SDK and the emulator."""

from azureml_client import bare, cloud, emulator, parsed  # noqa: F401
from emulator_client import run_client, set_fault, shared_emulator  # noqa: F401
