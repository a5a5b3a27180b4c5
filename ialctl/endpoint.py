"""The embedded endpoint as commands use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.aws.embedded import endpoint_folder
from core.errors import LocalEndpointError
from core.local.endpoint import EndpointState, LocalEndpoint

if TYPE_CHECKING:
    from ialctl.context import AppContext


def local_endpoint(context: AppContext) -> LocalEndpoint:
    """The embedded endpoint of this project."""
    folder = endpoint_folder(context.settings)
    return LocalEndpoint(folder, context.clock, context.ids)


def endpoint_state(context: AppContext) -> EndpointState:
    """Whether it runs, and where; starts nothing."""
    return local_endpoint(context).state()


def ensure_endpoint(context: AppContext) -> EndpointState:
    """Starts the endpoint unless it runs, and tells what a person should know of it.

    Raises:
        LocalEndpointError, LockHeldError, StorageError: see `LocalEndpoint.ensure`.
    """
    state = local_endpoint(context).ensure()
    if state.died:
        context.output.note(f"The local endpoint had died; it is back on {state.url}.")
    if state.started:
        for note in state.notes:
            context.output.warn(note)
    return state


def running_endpoint(context: AppContext) -> EndpointState:
    """The endpoint, brought back if it died.

    Raises:
        LocalEndpointError: nothing was started here, or the user stopped it.
    """
    state = endpoint_state(context)
    if state.running:
        return state
    if state.died:
        return ensure_endpoint(context)
    what = (
        "The local endpoint is stopped."
        if state.stopped
        else f"No local endpoint was started in '{context.settings.project_state_dir}'."
    )
    raise LocalEndpointError(what, "Bring it up: `ialctl start`.")
