"""What tests of deploying share: one whole run."""

from __future__ import annotations

from typing import Any

from core.aws.session import AwsSession
from core.deploy.service import Deployment, Options
from core.deploy.values import Plan, Result
from core.settings import Settings


def start(settings: Settings, aws: AwsSession, **options: Any) -> tuple[Plan, Result]:
    """One whole run."""
    deployment = Deployment(settings, aws, Options(**options))
    with deployment.locked():
        plan = deployment.plan()
        return plan, deployment.apply(plan)
