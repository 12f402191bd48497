"""A loopback stand-in for the cloud services that azureml-core (SDK v1) talks to.

The real, unmodified SDK is sent here by environment variables alone: an HTTPS proxy on loopback
ends TLS with a throw-away authority, answers as the services do, and refuses every host that it
does not play. A submitted script really runs, in a subprocess.

What this proves: our code drives the real SDK through the whole cloud path, leaves the right state
behind, and survives the failures of `faults.FAULTS`. What it does not prove: that Azure accepts
every byte. The answers were derived from what the client reads; permissions, signatures of storage
requests, quotas, image builds and the scheduling of nodes exist only as faults.
"""

from .emulator import Emulator

__all__ = ["Emulator"]
