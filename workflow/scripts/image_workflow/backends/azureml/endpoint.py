"""Deploy a registered model to an online endpoint, and take the endpoint down again.

An endpoint is an address, and a deployment is what answers there. There are two names for
deployments, blue and green. A new version gets the name that is free. It gets the requests after it
has answered a test, and then the old deployment is deleted. So the address always answers, and
whatever fails before, the old version goes on. The workspace has all that a call needs to know: an
interrupted one is continued by the next.
"""

import logging
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from image_workflow.backends.azureml import failures, runs, scoring, state
from image_workflow.backends.azureml.service import Service
from image_workflow.backends.azureml.uploads import FOLDER
from image_workflow.backends.azureml.watching import AGAIN, UNDEPLOY, Watch, described
from image_workflow.backends.azureml.workspace import (
    DeploymentRequest,
    Endpoint,
    Endpoints,
    Workspace,
)
from image_workflow.errors import UserError
from image_workflow.lineage.checksums import sha256_of_json

log = logging.getLogger(__name__)

COLOURS = "blue", "green"
#: The endpoint is ours if it has this tag, and a deployment is what was asked for if it has the
#: digest of everything that it is made from.
CREATOR, CONTENT = {"created_by": FOLDER}, "content"
READY = "Succeeded"
NAME_LENGTH, DIGEST_LENGTH = 32, 10


def endpoint_name(configured: str, model_name: str, workspace_info: dict) -> str:
    """Return the endpoint's name: the configured one, or one that no other workspace has.

    The name has to be unique in the region, and valid: at most 32 letters, digits and hyphens, the
    first a letter. So it is made from the model's name and a digest that the workspace decides.

    Examples
    --------
    >>> endpoint_name("", "sklearn_mnist", {"name": "mine"})
    'sklearn-mnist-512a41335f'
    """
    if configured:
        return configured
    digest = sha256_of_json({"model": model_name, "workspace": workspace_info})[:DIGEST_LENGTH]
    words = re.sub(r"[^a-z0-9]+", "-", model_name.lower()).strip("-")
    words = words if re.match("[a-z]", words) else f"model-{words}"
    return f"{words[: NAME_LENGTH - DIGEST_LENGTH - 1].strip('-')}-{digest}"


class Deployer:
    """Brings an endpoint into the wanted state.

    Parameters
    ----------
    workspace : Workspace
    settings : dict
        The configuration's section azureml.
    model_name : str
        The configured name of the model, from which the endpoint's name is made.
    """

    def __init__(self, workspace: Workspace, settings: dict, model_name: str):
        if workspace.endpoints is None:
            raise UserError(
                "SDK v1 knows no managed online endpoints. Run `make setup-azureml`, and use "
                ".venv-azureml/bin/snakemake; docs/azure.md says what SDK v1 can do instead."
            )
        self.workspace, self.settings = workspace, settings
        self.endpoints: Endpoints = workspace.endpoints
        self.name = endpoint_name(settings["endpoint"]["name"], model_name, workspace.info)
        times = settings["poll_seconds"], settings["patience_seconds"]
        self.watch = Watch(self.endpoints, self.name, *times)

    # ---- Deploy

    def deploy(self, service: Service) -> Endpoint:
        """Let the endpoint answer with the service's model, and return the endpoint.

        Raises
        ------
        UserError
            If the new deployment failed. It was deleted, and the old one goes on.
        """
        with tempfile.TemporaryDirectory() as temporary:
            source = Path(temporary, "code")
            service.stage(source)
            content = service.content(source, self.settings["endpoint"])
            request = DeploymentRequest(
                endpoint=self.name,
                name="",
                model=service.model,
                source=source,
                script=service.program.name,
                environment=None,
                instance_type=self.settings["endpoint"]["instance_type"],
                instance_count=self.settings["endpoint"]["instance_count"],
                tags={CONTENT: content, "model": service.model},
            )
            try:
                return self._deploy(service, request)
            except KeyboardInterrupt:
                log.warning("the endpoint stays as it is now. %s %s", AGAIN, UNDEPLOY)
                raise

    def _deploy(self, service: Service, request: DeploymentRequest) -> Endpoint:
        endpoint = self._find_or_create()
        serving = max(endpoint.traffic, key=endpoint.traffic.get, default=None)
        content = request.tags[CONTENT]
        if is_ready(endpoint, serving, content):
            log.info("endpoint %s: %s is deployed already, nothing to do", self.name, request.model)
            colour = serving
        else:
            colour = next(colour for colour in COLOURS if colour != serving)
            if colour in endpoint.deployments and not is_ready(endpoint, colour, content):
                endpoint = self._delete(endpoint, colour, "is of an earlier call")
            self._start(endpoint, service, replace(request, name=colour))
        endpoint = self._direct(colour)
        for other in sorted(endpoint.deployments.keys() & {*COLOURS} - {colour}):
            endpoint = self._delete(endpoint, other, "gets no requests any more")
        return endpoint

    def _find_or_create(self) -> Endpoint:
        """Return the endpoint, with all operations on it at an end."""
        endpoint = self.watch.settled()
        if endpoint is not None:
            self._check_ours(endpoint)
            if endpoint.state == READY or endpoint.deployments:
                log.info("endpoint %s: found, %s", self.name, described(endpoint))
                return endpoint
            log.info("endpoint %s: %s, deleting it", self.name, endpoint.state)
            self._delete_endpoint()
        log.info("endpoint %s: creating it", self.name)
        info = self.workspace.info
        state.note_created(info, "endpoints", self.name)
        created = self.watch.carry_out(
            lambda: self.endpoints.create(self.name, CREATOR),
            lambda endpoint: endpoint is not None and endpoint.state == READY,
        )
        if not created.problem:
            return created.endpoint
        # Without a connection nobody knows what the service did.
        if created.kind != failures.CONNECTION:
            with suppress(Exception):
                self.endpoints.delete(self.name)
                state.forget_created(info, "endpoints", self.name)
        raise failures.CloudError(
            f"could not create the endpoint {self.name}: {created.problem} Choose another name "
            "with azureml.endpoint.name if this one is taken: it must be unique in the region. "
            "Creating endpoints needs the role AzureML Data Scientist."
        )

    def _check_ours(self, endpoint: Endpoint) -> None:
        if not is_ours(endpoint):
            raise UserError(
                f"there is an endpoint {self.name} in workspace {self.workspace.info['name']} "
                "that this workflow did not create. Choose another name with azureml.endpoint.name."
            )

    def _start(self, endpoint: Endpoint, service: Service, request: DeploymentRequest) -> None:
        """Create the deployment unless it is there, and test it. Delete it if that fails."""
        try:
            if request.name not in endpoint.deployments:
                self._create(service, request)
            self._test(service, request)
        except Failure as failure:
            self._roll_back(endpoint, request, failure)

    def _create(self, service: Service, request: DeploymentRequest) -> None:
        """Create the deployment, and wait until it can answer."""
        name = self.settings["environment_name"]
        environment = self.workspace.register_environment(service.environment, name)
        log.info(
            "deployment %s: creating %s x %s for %s",
            *(request.name, request.instance_count, request.instance_type, request.model),
        )
        request = replace(request, environment=environment)
        created = self.watch.carry_out(
            lambda: self.endpoints.deploy(request),
            lambda endpoint: is_ready(endpoint, request.name),
        )
        cause = created.problem
        if created.kind == failures.CONNECTION:
            raise failures.CloudError(f"could not create the deployment: {cause} {AGAIN}")
        if created.kind == failures.PERMISSION:
            raise Failure(cause, "Deploying needs the role AzureML Data Scientist.")
        if "quota" in cause.lower():
            raise Failure(
                cause,
                "Ask for more quota for endpoints, or choose another azureml.endpoint."
                "instance_type: Azure wants quota for twice the cores of a machine.",
            )
        if cause:
            raise Failure(cause, "Fix the cause, and run the same command again.")

    def _test(self, service: Service, request: DeploymentRequest) -> None:
        """Raise Failure unless the deployment answers as the model on this machine does."""
        with failures.step(f"read the key of the endpoint {self.name}", AGAIN):
            key, endpoint = self.endpoints.key(self.name), self.endpoints.find(self.name)
        log.info("deployment %s: testing it with %d images", request.name, len(service.images))
        try:
            labels = scoring.labels(
                endpoint.scoring_uri,
                key,
                request.name,
                service.images,
                *(self.watch.poll, self.watch.patience),
            )
        except scoring.ScoringError as error:
            raise Failure(str(error), "Correct score.py or the model.") from None
        for number, (found, expected) in enumerate(zip(labels, service.labels, strict=False)):
            if found != expected:
                raise Failure(
                    f"it answered {found!r} for test image {number}, and the model on this machine "
                    f"answers {expected!r}.",
                    "Correct score.py or the model.",
                )
        if len(labels) != len(service.labels):
            raise Failure(
                f"it answered {len(labels)} labels for {len(service.labels)} images.",
                "Correct score.py.",
            )

    def _roll_back(
        self, endpoint: Endpoint, request: DeploymentRequest, failure: "Failure"
    ) -> None:
        """Delete a deployment that failed, and raise UserError with the end of its log."""
        lines = ""
        with suppress(Exception):
            # An image that could not be built has no server with a log.
            text = failures.without_secrets(self.endpoints.logs(self.name, request.name))
            lines = runs.last_lines({"server": text}) + "\n"
        left = ""
        try:
            found = self.endpoints.find(self.name)
            if found and request.name in found.deployments:
                self.endpoints.delete_deployment(self.name, request.name)
                left = "It was deleted. "
        except Exception as error:
            cause = failures.describe(error)
            left = f"It could not be deleted, and may cost money: {cause} {UNDEPLOY} "
        serving = ", ".join(
            f"{name} ({endpoint.deployments[name].tags.get('model')})"
            for name in endpoint.traffic
            if name in endpoint.deployments
        )
        kept = f"The requests still go to {serving}." if serving else "Nothing is deployed."
        raise UserError(
            f"the deployment {request.name} of {request.model} failed: {failure.cause}\n{lines}"
            f"{left}{kept} {failure.advice}"
        )

    def _direct(self, colour: str) -> Endpoint:
        """Let a deployment answer all requests, and return the endpoint."""
        endpoint = self.watch.settled()
        if endpoint and endpoint.traffic == {colour: 100}:
            return endpoint
        log.info("endpoint %s: all requests go to %s now", self.name, colour)
        directed = self.watch.carry_out(
            lambda: self.endpoints.direct(self.name, colour),
            lambda endpoint: endpoint is not None and endpoint.traffic == {colour: 100},
        )
        if directed.problem:
            raise failures.CloudError(
                f"could not send the requests to {colour}: {directed.problem} {AGAIN}"
            )
        return directed.endpoint

    def _delete(self, endpoint: Endpoint, colour: str, reason: str) -> Endpoint:
        """Delete a deployment that does not serve, and return the endpoint."""
        log.info("deployment %s: %s, deleting it", colour, reason)
        if colour in endpoint.traffic:
            self._direct(next(name for name in endpoint.traffic if name != colour))
        deleted = self.watch.carry_out(
            lambda: self.endpoints.delete_deployment(self.name, colour),
            lambda endpoint: endpoint is None or colour not in endpoint.deployments,
        )
        if deleted.problem:
            raise failures.CloudError(
                f"could not delete the deployment {colour}: {deleted.problem} {AGAIN}"
            )
        return deleted.endpoint

    def _delete_endpoint(self) -> None:
        """Delete the endpoint with its deployments."""
        deleted = self.watch.carry_out(
            lambda: self.endpoints.delete(self.name), lambda endpoint: endpoint is None
        )
        if deleted.problem:
            raise failures.CloudError(
                f"could not delete the endpoint {self.name}: {deleted.problem} {AGAIN}"
            )

    # ---- Undeploy

    def undeploy(self, agree: Callable[[], None]) -> None:
        """Delete the endpoint and its deployments, if the user agrees.

        Parameters
        ----------
        agree : callable
            Raises UserError if the user does not.
        """
        with failures.step(f"look for the endpoint {self.name}", AGAIN):
            endpoint = self.endpoints.find(self.name)
        where = f"workspace {self.workspace.info['name']}"
        if endpoint is None:
            log.info("there is no endpoint %s in %s, nothing to do", self.name, where)
        else:
            self._check_ours(endpoint)
            log.info("to delete: endpoint %s in %s: %s", self.name, where, described(endpoint))
            agree()
            # The service refuses to delete what it is still creating.
            self.watch.settled()
            self._delete_endpoint()
            log.info("deleted: endpoint %s", self.name)
        if self.name in state.created(self.workspace.info).get("endpoints", []):
            state.forget_created(self.workspace.info, "endpoints", self.name)


class Failure(Exception):
    """A deployment failed, and is rolled back.

    Attributes
    ----------
    cause, advice : str
        Sentences.
    """

    def __init__(self, cause: str, advice: str):
        super().__init__(cause)
        self.cause, self.advice = cause, advice


def ours(endpoints: Endpoints) -> list[Endpoint]:
    """Return the endpoints of a workspace that this workflow created."""
    found = map(endpoints.find, endpoints.names())
    return [endpoint for endpoint in found if endpoint and is_ours(endpoint)]


def is_ours(endpoint: Endpoint) -> bool:
    """Return whether this workflow created an endpoint, perhaps in another folder."""
    return endpoint.tags.items() >= CREATOR.items()


def is_ready(endpoint: Endpoint | None, name: str | None, content: str = "") -> bool:
    """Return whether an endpoint has a deployment that can answer, of this content if given."""
    found = endpoint and endpoint.deployments.get(name)
    return bool(found and found.state == READY and content in ("", found.tags.get(CONTENT)))
