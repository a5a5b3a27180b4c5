"""The access policies: enough for what they are for, and nothing of anyone else's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest

from core.deploy.phases import phases_folder
from core.deploy.resolve import Resolver, Scope
from core.deploy.template import read_template
from core.settings import Settings

KEY = "arn:aws:kms:us-east-1:1:key/k"
TABLE = "arn:aws:dynamodb:us-east-1:1:table/"
STACK = "arn:aws:cloudformation:us-east-1:1:stack/"
VIA_STACK = {"aws:CalledVia": "cloudformation.amazonaws.com"}
OURS = {"aws:ResourceTag/ialctl:project": "ial", "aws:RequestTag/ialctl:project": "ial"}
VIA_TABLE = {"kms:ViaService": "dynamodb.us-east-1.amazonaws.com"}
MOST_CHARACTERS = 6144
"""What AWS takes for a managed policy, white space not counted."""


def _statements(policy: str, project: str = "ial") -> list[Mapping[str, Any]]:
    path = phases_folder(Settings()) / "00-foundation" / "04-access-policies.yaml"
    template = read_template(path)
    suffix = {"ProjectName": project, "AWS::URLSuffix": "amazonaws.com"}
    scope = Scope(suffix, "us-east-1", "1", {f"{project}-KeyArn": KEY})
    properties = Resolver(template, scope).value(template.resources[policy]["Properties"])
    found: list[Mapping[str, Any]] = properties["PolicyDocument"]["Statement"]
    return found


def _many(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _allows(
    statements: list[Mapping[str, Any]], action: str, resource: str, about: Mapping[str, str]
) -> bool:
    return any(
        any(fnmatchcase(action, pattern) for pattern in _many(statement["Action"]))
        and any(fnmatchcase(resource, pattern) for pattern in _many(statement["Resource"]))
        and all(
            about.get(key) == value
            for operator in statement.get("Condition", {}).values()
            for key, value in operator.items()
        )
        for statement in statements
    )


@pytest.mark.parametrize(
    ("action", "resource", "about"),
    [
        ("cloudformation:CreateChangeSet", f"{STACK}ial-foundation-kms-key/1", {}),
        ("cloudformation:DetectStackDrift", f"{STACK}ial-observability-alarms/1", {}),
        ("kms:CreateKey", "*", {**VIA_STACK, **OURS}),
        ("kms:TagResource", KEY, {**VIA_STACK, **OURS}),
        ("kms:EnableKeyRotation", KEY, OURS),
        ("kms:PutKeyPolicy", KEY, OURS),
        ("kms:CreateGrant", KEY, OURS),
        ("kms:ReEncryptFrom", KEY, OURS),
        ("kms:CreateAlias", KEY, OURS),
        ("kms:CreateAlias", "arn:aws:kms:us-east-1:1:alias/ial", {}),
        ("dynamodb:CreateTable", f"{TABLE}ial-operations", {}),
        ("dynamodb:UpdateContinuousBackups", f"{TABLE}ial-conversation-embeddings", {}),
        ("dynamodb:PutItem", f"{TABLE}ial-operations", {}),
        ("s3:CreateBucket", "arn:aws:s3:::ial-backup-1-us-east-1", {}),
        ("s3:PutObject", "arn:aws:s3:::ial-backup-1-us-east-1/templates/x.yaml", {}),
        ("iam:CreatePolicy", "arn:aws:iam::1:policy/ial-operator", VIA_STACK),
        ("iam:CreatePolicyVersion", "arn:aws:iam::1:policy/ial-runtime", VIA_STACK),
        ("iam:GetPolicyVersion", "arn:aws:iam::1:policy/ial-read-only", VIA_STACK),
        ("sns:CreateTopic", "arn:aws:sns:us-east-1:1:ial-alarms", {}),
        ("sns:Subscribe", "arn:aws:sns:us-east-1:1:ial-alarms", {}),
        ("cloudwatch:PutMetricAlarm", "arn:aws:cloudwatch:us-east-1:1:alarm:ial-slow-search", {}),
        ("cloudwatch:PutDashboard", "arn:aws:cloudwatch::1:dashboard/ial", {}),
    ],
)
def test_the_operator_can_deploy_from_nothing(
    action: str, resource: str, about: dict[str, str]
) -> None:
    """What the phases that are always deployed, and the lock, call on the project's own."""
    assert _allows(_statements("Operator"), action, resource, about)


@pytest.mark.parametrize("policy", ["Runtime", "Operator", "ReadOnly"])
@pytest.mark.parametrize(
    ("action", "resource", "about"),
    [
        ("dynamodb:GetItem", f"{TABLE}ial-two-conversation-history-v2", {}),
        ("dynamodb:DeleteTable", f"{TABLE}ial-two-operations", {}),
        ("cloudformation:DeleteStack", f"{STACK}ial-two-foundation-kms-key/1", {}),
        ("s3:GetObject", "arn:aws:s3:::ial-two-backup-1-us-east-1/x", {}),
        ("kms:Decrypt", "arn:aws:kms:us-east-1:1:key/other", VIA_TABLE),
        ("kms:TagResource", "arn:aws:kms:us-east-1:1:key/other", OURS),
        ("kms:ScheduleKeyDeletion", "arn:aws:kms:us-east-1:1:key/other", {}),
        ("iam:CreatePolicyVersion", "arn:aws:iam::1:policy/ial-operator", {}),
        ("iam:CreatePolicy", "arn:aws:iam::1:policy/ial-other", VIA_STACK),
        ("iam:AttachUserPolicy", "arn:aws:iam::1:user/me", VIA_STACK),
        ("sns:DeleteTopic", "arn:aws:sns:us-east-1:1:ial-two-alarms", {}),
        ("cloudwatch:DeleteAlarms", "arn:aws:cloudwatch:us-east-1:1:alarm:ial-two-slow-x", {}),
    ],
)
def test_no_policy_reaches_another_project(
    policy: str, action: str, resource: str, about: dict[str, str]
) -> None:
    """Not even one whose name begins with this one's; and no one attaches policies."""
    assert not _allows(_statements(policy), action, resource, about)


def test_the_runtime_reads_and_writes_items_and_makes_nothing() -> None:
    """The key through its tables only; no flags written, no table changed or read whole."""
    runtime = _statements("Runtime")
    table = f"{TABLE}ial-conversation-history-v2"
    assert _allows(runtime, "dynamodb:PutItem", table, {})
    assert _allows(runtime, "dynamodb:Query", f"{table}/index/SessionIndex", {})
    assert _allows(runtime, "dynamodb:GetItem", f"{TABLE}ial-operations", {})
    assert _allows(runtime, "kms:Decrypt", KEY, VIA_TABLE)
    assert not _allows(runtime, "kms:Decrypt", KEY, {})
    for action in ("Scan", "UpdateTable", "DeleteTable", "CreateTable"):
        assert not _allows(runtime, f"dynamodb:{action}", table, {})
    assert not _allows(runtime, "dynamodb:PutItem", f"{TABLE}ial-operations", {})


@pytest.mark.parametrize("policy", ["Runtime", "Operator", "ReadOnly"])
def test_policies_fit(policy: str) -> None:
    """Also with the longest project name there can be."""
    text = json.dumps(_statements(policy, "p" * 32))
    assert len("".join(text.split())) <= MOST_CHARACTERS
