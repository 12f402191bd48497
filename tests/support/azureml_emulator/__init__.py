"""Emulate the Azure services that both Azure ML SDKs call, on the loopback interface.

Environment variables alone send the real, unmodified SDK to the emulator: azureml-core (v1) or
azure-ai-ml (v2). Both can work in one workspace, and find each other's runs and models. An HTTPS
proxy terminates TLS with certificates of a throw-away authority and answers as the services do. It
rejects every host that it does not emulate. A submitted script really runs, in a subprocess.

The emulator proves that our code drives the real SDK through the whole cloud path, leaves the right
state behind, and survives the failures in `faults.FAULTS`. It does not prove that Azure accepts
every byte: we derived the answers from the values that the SDK reads. Permissions, signatures of
storage requests, quotas, image builds and node scheduling exist only as faults.
"""

from .emulator import Emulator

__all__ = ["Emulator"]
