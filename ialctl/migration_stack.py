"""The stack of the legacy tables, once one of them is deleted: it is given up, the others stay."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from core.errors import AwsError
from ialctl.context import AppContext

if TYPE_CHECKING:
    from core.deploy.stacks import Stack

_PHASE = "foundation-conversation-memory"
_TABLE = re.compile(r"AWS::DynamoDB::Table\b")
_RETAINED = re.compile(r"\bDeletionPolicy\W{1,4}Retain\b")


def give_up_stack(context: AppContext) -> str:
    """Deletes the stack that still names the deleted table; says what was done, "" for nothing.

    Its tables are kept by their own policies. A stack that would not keep them is left alone.

    Raises:
        LockHeldError: a deployment goes on.
        StackFailedError: it can't be deleted.
    """
    with contextlib.suppress(AwsError):  # an endpoint may be DynamoDB alone
        stack = _standing(context)
        if stack is None:
            return ""
        if not _keeps_tables(context, stack):
            return (
                f"The stack '{stack.name}' still names the deleted table, and would delete the "
                "others with it: it was left alone."
            )
        _delete(context, stack)
        return f"The stack '{stack.name}' was given up; its other tables are kept."
    return ""


def _standing(context: AppContext) -> Stack | None:
    from core.deploy.stacks import PHASE_TAG, project_stacks

    project = context.settings.project
    stacks = project_stacks(context.session.client("cloudformation"), project)
    named = (s for s in stacks if s.name == f"{project}-{_PHASE}" and PHASE_TAG in s.tags)
    return next(named, None)


def _keeps_tables(context: AppContext, stack: Stack) -> bool:
    cloudformation = context.session.client("cloudformation")
    template = str(cloudformation.get_template(StackName=stack.id).get("TemplateBody", ""))
    return len(_RETAINED.findall(template)) >= len(_TABLE.findall(template)) > 0


def _delete(context: AppContext, stack: Stack) -> None:
    from core.deploy.destroy import StackRemover
    from core.deploy.events import Follower, Limits
    from core.deploy.progress import Pacer, no_observer
    from core.deploy.service import LOCAL_STALE_S
    from ialctl.deploying import deployment

    local = context.settings.target == "local"
    limits = Limits(stale_s=LOCAL_STALE_S if local else None)
    cloudformation = context.session.client("cloudformation")
    with deployment(context).locked():
        follower = Follower(cloudformation, Pacer(context.clock), limits)
        StackRemover(cloudformation, follower, context.ids, no_observer).delete(stack)
