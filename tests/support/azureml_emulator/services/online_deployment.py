"""Run the scoring script of a deployment, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path

from .job import BUILD_FAILURE, STATUS_SECONDS, copy_files, terminate_group

SERVER = Path(__file__).parents[1] / "scoring_server.py"
#: The seconds that a scoring script has for init(), and for an answer.
INIT_SECONDS, ANSWER_SECONDS = 60, 30

IMAGE_BUILD = {
    "code": "ImageBuildFailure",
    "message": f"Image build failed. {BUILD_FAILURE}".strip(),
}
NOT_READY = {
    "code": "ResourceNotReady",
    "message": (
        "User container has crashed or terminated. Please see troubleshooting guide, available "
        "here: https://aka.ms/oe-tsg#error-resourcenotready"
    ),
}


class OnlineDeployment(threading.Thread):
    """A deployment, from the state Creating to Succeeded or Failed.

    Parameters
    ----------
    emulator : Emulator
    endpoint, name : str
    resource : dict
        What the client sent.

    Attributes
    ----------
    state : str
    error : dict or None
        The code and the message, if the deployment failed.
    log : Path
        The server's log, if there is a server.
    process : subprocess.Popen or None
        The server.
    """

    def __init__(self, emulator, endpoint: str, name: str, resource: dict):
        super().__init__(name=f"{endpoint}/{name}", daemon=True)
        self.emulator, self.name = emulator, name
        self.resource = {"tags": {}} | resource
        self.state, self.error = "Creating", None
        self.folder = emulator.folder / "endpoints" / endpoint / f"{name}-{time.time_ns()}"
        self.log = self.folder / "server.log"
        self.process: subprocess.Popen | None = None
        self._one_request = threading.Lock()

    def run(self):
        """Create the deployment."""
        time.sleep(STATUS_SECONDS)
        while self.emulator.faults.is_active("slow_queue"):
            time.sleep(0.1)
        if self.emulator.faults.trigger("image_build_failed"):
            return self._fail(IMAGE_BUILD)
        try:
            self._start_server()
        except Exception as error:
            return self._fail({"code": "ServiceError", "message": f"{error!r}"})
        if self.process.stdout.readline() != "ready\n":
            return self._fail(NOT_READY)
        self.state = "Succeeded"
        return None

    def score(self, body: bytes) -> tuple[int, str]:
        """Return the status and the text that the scoring script answers a request with."""
        with self._one_request:
            self.process.stdin.write(json.dumps(body.decode(errors="replace")) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        if not line:
            return 502, "The server has ended."
        answer = json.loads(line)
        return answer["status"], answer["text"]

    def stop(self) -> None:
        """End the server."""
        if self.process:
            terminate_group(self.process)
            self.process.stdin.close()
            self.process.stdout.close()

    def _fail(self, error: dict) -> None:
        self.error = error
        self.state = "Failed"

    def _start_server(self) -> None:
        properties, emulator = self.resource["properties"], self.emulator
        code = properties["codeConfiguration"]
        source = copy_files(emulator.code_assets.files(code["codeId"]), self.folder / "code")
        name, _, version = properties["model"].rpartition("/models/")[2].partition("/versions/")
        models = self.folder / "azureml-models"
        copy_files(emulator.model_assets.files(name, version), models / name / version)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [emulator.python, SERVER, source / code["scoringScript"]],
                cwd=source,
                env={
                    "AZUREML_MODEL_DIR": str(models / name / version),
                    "AZUREML_ENTRY_SCRIPT": code["scoringScript"],
                    "PYTHONUNBUFFERED": "1",
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
