"""How long the clients of SDK v2 wait for the network.

Without these options they wait for minutes, and azure-identity takes over none of those of
MLClient. They limit a connection and a pause between two bytes, so each call has a deadline as
well, see :func:`image_workflow.deadline.within`.
"""

OPTIONS = {
    "connection_timeout": 5,
    "read_timeout": 20,
    "retry_total": 2,
    "retry_backoff_factor": 0.5,
}
#: azure-storage-blob has names of its own for the seconds between two tries.
STORAGE_OPTIONS = OPTIONS | {"initial_backoff": 1, "increment_base": 2, "random_jitter_range": 1}
