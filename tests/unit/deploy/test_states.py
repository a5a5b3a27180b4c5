"""Every state that a stack can be in, and what is done about it."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest

from core.deploy.events import Limits
from core.deploy.stacks import STEPS, Step, in_progress, succeeded
from core.errors import InterruptedRunError, ProtectedChangeError, StackFailedError, ThrottledError
from tests.unit.deploy.stub import STACK, Bench, Event, StubCloudFormation, ends, make_phase

CREATED: list[Event] = [
    ("stack", "CREATE_IN_PROGRESS", ""),
    ("Topic", "CREATE_COMPLETE", ""),
    ("stack", "CREATE_COMPLETE", ""),
]
UPDATED = ends("UPDATE_COMPLETE")
DROPPED = ["delete_stack", "create_change_set", "execute_change_set"]


def test_every_state_of_the_service_is_known() -> None:
    """No status that CloudFormation's own model lists is without a next step."""
    import botocore.session

    model = botocore.session.get_session().get_service_model("cloudformation")
    shape = typing.cast("typing.Any", model.shape_for("StackStatus"))
    assert set(shape.enum) == set(STEPS)


def test_only_complete_without_a_rollback_is_success() -> None:
    """UPDATE_ROLLBACK_COMPLETE and its like are failures, however complete."""
    assert succeeded("UPDATE_COMPLETE")
    assert succeeded("IMPORT_COMPLETE")
    assert not any(map(succeeded, ("UPDATE_ROLLBACK_COMPLETE", "CREATE_FAILED")))
    assert not in_progress("REVIEW_IN_PROGRESS")


def test_a_stack_that_does_not_stand_is_created(tmp_path: Path) -> None:
    """No stack: a CREATE change set, executed and followed to its end."""
    bench = Bench(StubCloudFormation(None, execute_change_set=CREATED))
    assert bench.deployer.deploy(make_phase(tmp_path))
    assert bench.stub.arguments("create_change_set")["ChangeSetType"] == "CREATE"
    assert bench.stub.names() == ["create_change_set", "execute_change_set"]


@pytest.mark.parametrize("status", sorted(s for s, step in STEPS.items() if step is Step.UPDATE))
def test_a_stack_at_rest_is_updated(tmp_path: Path, status: str) -> None:
    """Every state at rest takes an UPDATE change set, nothing before it."""
    bench = Bench(StubCloudFormation(status, execute_change_set=UPDATED))
    assert bench.deployer.deploy(make_phase(tmp_path))
    assert bench.stub.arguments("create_change_set")["ChangeSetType"] == "UPDATE"
    assert bench.stub.names() == ["create_change_set", "execute_change_set"]


@pytest.mark.parametrize("status", sorted(s for s, step in STEPS.items() if step is Step.DROP))
def test_left_overs_are_dropped_and_made_anew(tmp_path: Path, status: str) -> None:
    """What a failed or abandoned creation left is deleted, then the stack is created."""
    stub = StubCloudFormation(
        status, delete_stack=ends("DELETE_COMPLETE"), execute_change_set=CREATED
    )
    bench = Bench(stub)
    assert bench.deployer.deploy(make_phase(tmp_path))
    assert stub.names() == DROPPED
    assert stub.arguments("create_change_set")["ChangeSetType"] == "CREATE"


@pytest.mark.parametrize("status", sorted(s for s, step in STEPS.items() if step is Step.WAIT))
def test_an_operation_in_progress_is_waited_for(tmp_path: Path, status: str) -> None:
    """Someone else's operation (or one of ours before a crash) ends before ours begins."""
    after = {
        "CREATE_IN_PROGRESS": "CREATE_COMPLETE",
        "DELETE_IN_PROGRESS": "DELETE_COMPLETE",
        "ROLLBACK_IN_PROGRESS": "ROLLBACK_COMPLETE",
    }.get(status, "UPDATE_COMPLETE")
    stub = StubCloudFormation(
        status,
        running=[("Topic", status, ""), ("Topic", status, ""), ("stack", after, "")],
        delete_stack=ends("DELETE_COMPLETE"),
        execute_change_set=CREATED,
    )
    bench = Bench(stub)
    assert bench.deployer.deploy(make_phase(tmp_path))
    created = after in ("DELETE_COMPLETE", "ROLLBACK_COMPLETE")
    kind = stub.arguments("create_change_set")["ChangeSetType"]
    assert kind == ("CREATE" if created else "UPDATE")
    assert sum(bench.clock.slept) > 0


def test_a_failed_rollback_is_continued(tmp_path: Path) -> None:
    """UPDATE_ROLLBACK_FAILED: the rollback is continued, then the stack is updated."""
    stub = StubCloudFormation(
        "UPDATE_ROLLBACK_FAILED",
        continue_update_rollback=ends("UPDATE_ROLLBACK_COMPLETE"),
        execute_change_set=UPDATED,
    )
    Bench(stub).deployer.deploy(make_phase(tmp_path))
    assert stub.names()[0] == "continue_update_rollback"
    assert stub.names()[-1] == "execute_change_set"


def test_a_rollback_that_fails_again_is_told(tmp_path: Path) -> None:
    """A rollback that can't be continued names the resource and why, and nothing goes on."""
    stub = StubCloudFormation(
        "UPDATE_ROLLBACK_FAILED",
        continue_update_rollback=[
            ("Topic", "UPDATE_FAILED", "it is gone"),
            ("stack", "UPDATE_ROLLBACK_FAILED", "failed again"),
        ],
    )
    with pytest.raises(StackFailedError, match="it is gone"):
        Bench(stub).deployer.deploy(make_phase(tmp_path))
    assert stub.names() == ["continue_update_rollback"]


def test_a_failed_update_is_rolled_back_first(tmp_path: Path) -> None:
    """UPDATE_FAILED (rollback was switched off): rolled back, then updated."""
    stub = StubCloudFormation(
        "UPDATE_FAILED",
        rollback_stack=ends("UPDATE_ROLLBACK_COMPLETE"),
        execute_change_set=UPDATED,
    )
    Bench(stub).deployer.deploy(make_phase(tmp_path))
    assert stub.names()[0] == "rollback_stack"


def test_a_failed_deletion_is_finished_and_keeps_what_failed(tmp_path: Path) -> None:
    """DELETE_FAILED: deleted again, retaining just the resources that could not be deleted."""
    stub = StubCloudFormation(
        "DELETE_FAILED",
        resources=[
            {"LogicalResourceId": "Topic", "ResourceStatus": "DELETE_FAILED"},
            {"LogicalResourceId": "Other", "ResourceStatus": "CREATE_COMPLETE"},
        ],
        delete_stack=ends("DELETE_COMPLETE"),
        execute_change_set=CREATED,
    )
    Bench(stub).deployer.deploy(make_phase(tmp_path))
    assert stub.arguments("delete_stack")["RetainResources"] == ["Topic"]
    assert stub.names() == DROPPED


def test_a_failure_names_the_first_failed_resource(tmp_path: Path) -> None:
    """Of several failures the first in time is told: the later ones follow from it."""
    stub = StubCloudFormation(
        None,
        execute_change_set=[
            ("stack", "CREATE_IN_PROGRESS", ""),
            ("Other", "CREATE_FAILED", "Resource creation cancelled"),
            ("Topic", "CREATE_FAILED", "the name is taken"),
            ("Third", "CREATE_FAILED", "something else"),
            ("stack", "ROLLBACK_IN_PROGRESS", ""),
            ("Topic", "DELETE_COMPLETE", ""),
            ("stack", "ROLLBACK_COMPLETE", ""),
        ],
    )
    with pytest.raises(StackFailedError) as caught:
        Bench(stub).deployer.deploy(make_phase(tmp_path))
    assert caught.value.fields["resource"] == "Topic"
    assert caught.value.fields["reason"] == "the name is taken"


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED"])
def test_a_rolled_back_update_is_a_failure(tmp_path: Path, status: str) -> None:
    """An update that ends as rolled back raises, though the stack is complete."""
    stub = StubCloudFormation(
        "CREATE_COMPLETE",
        execute_change_set=[("Topic", "UPDATE_FAILED", "no"), ("stack", status, "")],
    )
    with pytest.raises(StackFailedError, match=status):
        Bench(stub).deployer.deploy(make_phase(tmp_path))


def test_throttled_polling_changes_no_outcome(tmp_path: Path) -> None:
    """Polls that are throttled are asked again; the deployment ends as it would have."""
    stub = StubCloudFormation(
        None, execute_change_set=CREATED, interrupts=[ThrottledError("slow down")] * 5
    )
    assert Bench(stub).deployer.deploy(make_phase(tmp_path))


@pytest.mark.parametrize(
    "reason",
    [
        "The submitted information didn't contain changes. Submit different information.",
        "No updates are to be performed.",
    ],
)
def test_no_changes_is_success_and_the_change_set_is_deleted(tmp_path: Path, reason: str) -> None:
    """An empty change set fails at CloudFormation; to us it is done, and nothing is left."""
    stub = StubCloudFormation(
        "CREATE_COMPLETE", change_set={"Status": "FAILED", "StatusReason": reason, "Changes": []}
    )
    assert not Bench(stub).deployer.deploy(make_phase(tmp_path))
    assert stub.names() == ["create_change_set", "delete_change_set"]


def test_a_change_set_that_fails_for_a_reason_raises_it(tmp_path: Path) -> None:
    """Any other failed change set is an error with CloudFormation's reason."""
    stub = StubCloudFormation(
        "CREATE_COMPLETE",
        change_set={"Status": "FAILED", "StatusReason": "No export named x", "Changes": []},
    )
    with pytest.raises(StackFailedError, match="No export named x"):
        Bench(stub).deployer.deploy(make_phase(tmp_path))


def _table_change(**more: str) -> dict[str, object]:
    change = {"LogicalResourceId": "T", "ResourceType": "AWS::DynamoDB::Table", **more}
    return {"Status": "CREATE_COMPLETE", "Changes": [{"ResourceChange": change}]}


DANGERS = [
    {"Action": "Modify", "Replacement": "True"},
    {"Action": "Modify", "Replacement": "Conditional"},
    {"Action": "Remove"},
    {"Action": "Modify", "PolicyAction": "ReplaceAndDelete"},
]


@pytest.mark.parametrize("change", DANGERS)
def test_replacing_or_removing_a_table_is_refused(tmp_path: Path, change: dict[str, str]) -> None:
    """A change set that touches what holds data is never executed, and the stack is named."""
    stub = StubCloudFormation("CREATE_COMPLETE", change_set=_table_change(**change))
    with pytest.raises(ProtectedChangeError, match=STACK):
        Bench(stub).deployer.deploy(make_phase(tmp_path))
    assert "execute_change_set" not in stub.names()


def test_a_named_stack_may_be_replaced(tmp_path: Path) -> None:
    """Naming the stack lifts the protection for it."""
    stub = StubCloudFormation(
        "CREATE_COMPLETE", change_set=_table_change(**DANGERS[0]), execute_change_set=UPDATED
    )
    assert Bench(stub, allow_replace=(STACK,)).deployer.deploy(make_phase(tmp_path))


def test_an_orphaned_operation_of_an_emulator_is_taken_up(tmp_path: Path) -> None:
    """Locally, an operation that no one works on is deployed over, without deleting anything."""
    stub = StubCloudFormation("CREATE_IN_PROGRESS", execute_change_set=UPDATED)
    bench = Bench(stub, limits=Limits(stale_s=10.0))
    assert bench.deployer.deploy(make_phase(tmp_path))
    assert 10 < sum(bench.clock.slept) < 20
    assert stub.names() == ["create_change_set", "execute_change_set"]
    assert stub.arguments("create_change_set")["ChangeSetType"] == "UPDATE"


def test_a_stack_that_never_ends_is_given_up(tmp_path: Path) -> None:
    """On AWS an operation is waited for as long as the limit says, and no longer."""
    stub = StubCloudFormation("UPDATE_IN_PROGRESS")
    bench = Bench(stub, limits=Limits(operation_s=600.0))
    with pytest.raises(StackFailedError, match="10 minutes"):
        bench.deployer.deploy(make_phase(tmp_path))


def test_stopping_ends_the_waiting_at_a_safe_point(tmp_path: Path) -> None:
    """A run that is to stop raises at its next wait; nothing is executed after that."""
    bench = Bench(StubCloudFormation("CREATE_COMPLETE"))
    bench.pacer.stop()
    with pytest.raises(InterruptedRunError):
        bench.deployer.deploy(make_phase(tmp_path))
    assert "execute_change_set" not in bench.stub.names()
