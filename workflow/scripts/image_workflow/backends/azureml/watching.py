"""Watch an online endpoint: wait until what is done to it has ended, and see what came of it."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from image_workflow.backends.azureml import failures
from image_workflow.backends.azureml.workspace import Endpoint, Endpoints

log = logging.getLogger(__name__)

#: The states that pass. All others last.
PASSING = "Creating", "Updating", "Scaling", "Deleting"
#: Longer than Azure needs to build an image, to find a machine and to start the server.
LIMIT_SECONDS = 60 * 60
REPORT_SECONDS = 30
AGAIN = "Run the same command again: it continues from here."
UNDEPLOY = "`snakemake azureml_undeploy` deletes the endpoint."


class Outcome(NamedTuple):
    """What came of an operation: the endpoint after it, and what went wrong.

    Attributes
    ----------
    endpoint : Endpoint or None
    problem : str
        Empty if the operation has succeeded.
    kind : str
        The kind of the problem, see :func:`failures.kind`.
    """

    endpoint: Endpoint | None
    problem: str
    kind: str


@dataclass(frozen=True)
class Watch:
    """Watches an endpoint.

    Attributes
    ----------
    endpoints : Endpoints
    name : str
        The endpoint's name.
    poll, patience : float
        Seconds between two requests, and seconds without an answer after which to give up.
    """

    endpoints: Endpoints
    name: str
    poll: float
    patience: float

    def carry_out(
        self,
        begin: Callable[[], Callable[[], str] | None],
        is_done: Callable[[Endpoint | None], bool],
    ) -> Outcome:
        """Begin an operation, wait for its end, and see what came of it.

        Parameters
        ----------
        begin : callable
            One of the methods of :class:`Endpoints`.
        is_done : callable
            Tells from the endpoint whether the operation has succeeded.
        """
        problem, kind, ended = "", failures.OTHER, None
        try:
            with failures.step("carry out the operation", AGAIN):
                ended = begin()
        except failures.CloudError as error:
            problem, kind = error.cause or str(error), error.kind
        # The service may have begun although its answer was lost.
        endpoint = self.settled()
        if ended and not is_done(endpoint):
            # It may take a while until the service shows what it has done.
            problem = ended()
            endpoint = self.settled()
        if is_done(endpoint):
            return Outcome(endpoint, "", "")
        return Outcome(endpoint, problem or "Azure gives no reason.", kind)

    def settled(self) -> Endpoint | None:
        """Wait until no operation on the endpoint is going on, and return it, or None.

        Raises
        ------
        CloudError
            If the service does not answer for too long, or an operation takes too long.
        """
        began = answered = reported = time.monotonic()
        shown = None
        while True:
            try:
                endpoint = self.endpoints.find(self.name)
            except Exception as error:
                cause, kind = failures.describe(error), failures.kind(error)
                silent = time.monotonic() - answered
                if silent >= self.patience or kind == failures.PERMISSION:
                    raise failures.CloudError(
                        f"the endpoint {self.name} cannot be watched: {cause} {AGAIN}", kind, cause
                    ) from None
                log.info("%5.0f s  no answer, trying again: %s", time.monotonic() - began, cause)
                time.sleep(self.poll)
                continue
            answered = time.monotonic()
            if endpoint is None or not is_passing(endpoint):
                return endpoint
            text = described(endpoint)
            if text != shown or answered - reported > REPORT_SECONDS:
                log.info("%5.0f s  endpoint %s", answered - began, text)
                shown, reported = text, answered
            if answered - began > LIMIT_SECONDS:
                raise failures.CloudError(
                    f"the endpoint {self.name} was not ready in {LIMIT_SECONDS / 60:.0f} minutes: "
                    f"{text}. {AGAIN} {UNDEPLOY}"
                )
            time.sleep(self.poll)


def is_passing(endpoint: Endpoint) -> bool:
    """Return whether an operation on an endpoint is going on."""
    states = {endpoint.state, *(one.state for one in endpoint.deployments.values())}
    return not states.isdisjoint(PASSING)


def described(endpoint: Endpoint) -> str:
    """Return the state of an endpoint and of its deployments as text."""
    parts = [endpoint.state]
    for name, one in sorted(endpoint.deployments.items()):
        share = endpoint.traffic.get(name, 0)
        parts.append(f"{name} {one.state}, {one.tags.get('model')}, {share} % of the requests")
    return "; ".join(parts)
