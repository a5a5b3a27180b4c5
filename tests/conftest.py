"""What all tests share: an endpoint, clients of it, and a project of their own on it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import botocore.loaders
import botocore.session
import hypothesis
import pytest

from core.aws.session import AwsSession
from core.errors import IalError
from core.local.endpoint import LocalEndpoint
from core.settings import Settings, load_settings

# No test asserts a time: a busy machine is no fault of the code's.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

ENDPOINT_VARIABLE = "IAL_TEST_ENDPOINT_URL"
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def service_models() -> Iterator[None]:
    """botocore reads its descriptions of the services once, not at every test's first request."""
    loader = botocore.loaders.create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", lambda _: loader)
        yield


@pytest.fixture(scope="session")
def endpoint_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint that integration tests talk to: the environment's, or one of our own."""
    given = os.environ.get(ENDPOINT_VARIABLE)
    if given:
        yield given
        return
    endpoint = LocalEndpoint(tmp_path_factory.mktemp("endpoint"))
    state = endpoint.ensure()
    assert state.url is not None
    yield state.url
    endpoint.stop()


@pytest.fixture
def project() -> str:
    """A project name that no other test has."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def settings(endpoint_url: str, project: str, tmp_path: Path) -> Settings:
    """Settings of a fresh project on the endpoint."""
    flags = {"endpoint_url": endpoint_url, "project": project, "state_dir": str(tmp_path)}
    return load_settings(flags, environment={}, folder=tmp_path).settings


@pytest.fixture
def aws(settings: Settings) -> AwsSession:
    """Clients of the endpoint."""
    return AwsSession(settings)


@pytest.fixture
def cloudformation(aws: AwsSession) -> None:
    """For tests that deploy stacks: an endpoint may be DynamoDB alone."""
    try:
        aws.client("cloudformation").list_stacks()
    except IalError as error:
        pytest.skip(f"this endpoint has no CloudFormation: {error.what}")


@pytest.fixture(scope="session")
def locomo() -> Path:
    """The LoCoMo conversations, where they are at hand."""
    path = SHARED_DATA / "locomo-dev.json"
    if not path.exists():
        pytest.skip(f"the LoCoMo conversations are not at hand ({path.name})")
    return path
