"""What an endpoint is to answer with: the model, the code and the packages of a deployment."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from image_workflow.errors import UserError
from image_workflow.inference.model_input import INPUT_FILE, ModelInput
from image_workflow.lineage.checksums import sha256_of_file, sha256_of_json
from image_workflow.lineage.code import code_files, copy_code


@dataclass(frozen=True)
class Service:
    """What an endpoint is to answer with.

    Attributes
    ----------
    model : str
        The name and the version of the registered model, such as sklearn_mnist:1.
    model_sha256 : str
    program : pathlib.Path
        The scoring script, score.py.
    model_input : ModelInput
    estimator_file : pathlib.Path or None
        The user's file with the class of the model.
    environment : pathlib.Path
        The conda file with the packages of the server.
    images : ndarray of uint8, shape (n, rows, columns)
        Images to test a deployment with.
    labels : list of str
        What the model answers for them on this machine.
    """

    model: str
    model_sha256: str
    program: Path
    model_input: ModelInput
    estimator_file: Path | None
    environment: Path
    images: np.ndarray
    labels: list[str]

    def stage(self, folder: Path) -> None:
        """Copy the scoring script, its modules and the model's description to a new folder.

        Raises
        ------
        UserError
            If one of the user's files has the name of one of ours.
        """
        copy_code(self.program, folder)
        self.model_input.write(folder / INPUT_FILE)
        if self.estimator_file:
            ours = {path.stem for path in folder.iterdir()}
            for path in code_files(self.estimator_file):
                if Path(path.relative_to(self.estimator_file.parent).parts[0]).stem in ours:
                    raise UserError(
                        f"{path} cannot be deployed, because the scoring script has a module of "
                        "the same name. Rename it, and train again."
                    )
            copy_code(self.estimator_file, folder)

    def content(self, folder: Path, settings: dict) -> str:
        """Return the digest of everything that a deployment is made from.

        Parameters
        ----------
        folder : pathlib.Path
            The staged code.
        settings : dict
            The configuration's section azureml.endpoint.
        """
        files = {
            path.relative_to(folder).as_posix(): sha256_of_file(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        machines = [settings["instance_type"], settings["instance_count"]]
        parts = [self.model, self.model_sha256, files, machines, sha256_of_file(self.environment)]
        return sha256_of_json(parts)
