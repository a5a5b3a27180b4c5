"""Budgets as they are given to a migration: units a second, or a share of a table's capacity."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.aws.session import AwsSession
from core.errors import UsageError
from core.memory.schema import legacy_history_schema
from core.settings import Settings, load_settings
from ialctl.context import AppContext
from ialctl.migration_budget import budget_of
from ialctl.output import Output
from tests.legacy_tables import create_legacy_table


@pytest.fixture
def context(settings: Settings, tmp_path: Path) -> AppContext:
    """What a command gets, at the tests' endpoint."""
    flags = {"endpoint_url": settings.endpoint_url, "project": settings.project}
    return AppContext(load_settings(flags, environment={}, folder=tmp_path), Output())


def test_units_are_taken_as_they_are(context: AppContext) -> None:
    """Nothing, no limit, and numbers of units."""
    given = (None, "0", "1", "250.5")
    assert [budget_of(context, "--max-rcu", g) for g in given] == [None, 0.0, 1.0, 250.5]


@pytest.mark.parametrize("given", ["", "many", "0.5", "-1", "nan", "inf", "%", "0%", "101%"])
def test_what_is_no_budget_is_refused(context: AppContext, given: str) -> None:
    """Text, less than a unit, and shares of nothing or of more than all."""
    with pytest.raises(UsageError, match="is no budget"):
        budget_of(context, "--max-wcu", given)


def test_a_share_is_one_of_what_the_table_has(context: AppContext, aws: AwsSession) -> None:
    """Half of what is provisioned; an on-demand table without a limit has no half."""
    project = context.settings.project
    create_legacy_table(aws, project)
    name = legacy_history_schema(project).name
    with pytest.raises(UsageError, match="on demand"):
        budget_of(context, "--max-rcu", "50%")
    aws.client("dynamodb").update_table(
        TableName=name,
        BillingMode="PROVISIONED",
        ProvisionedThroughput={"ReadCapacityUnits": 300, "WriteCapacityUnits": 20},
    )
    assert budget_of(context, "--max-rcu", "50%") == 150
