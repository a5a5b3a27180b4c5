"""What every command gets: settings, the output sink, and clients on demand."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from core.clock import SYSTEM_CLOCK, Clock, Ids, new_id
from core.settings import LoadedSettings, Settings
from ialctl.output import Output

if TYPE_CHECKING:
    from core.aws.session import AwsSession


@dataclass(frozen=True)
class AppContext:
    """One run of the tool."""

    loaded: LoadedSettings
    output: Output
    debug: bool = False
    clock: Clock = SYSTEM_CLOCK
    ids: Ids = field(default=new_id)

    @property
    def settings(self) -> Settings:
        """The settings' values."""
        return self.loaded.settings

    @cached_property
    def session(self) -> AwsSession:
        """Clients of the target; the embedded endpoint is found, and brought back if it died.

        Raises:
            LocalEndpointError: nothing was ever started here, or it can't be brought back.
        """
        from core.aws.session import AwsSession

        endpoint_url = None
        if self.settings.uses_embedded_endpoint:
            from ialctl.endpoint import running_endpoint

            endpoint_url = running_endpoint(self).url
        return AwsSession(self.settings, endpoint_url, self.clock)
