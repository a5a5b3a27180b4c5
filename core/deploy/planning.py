"""Works out what a deployment would change, stack by stack, and changes nothing."""

from __future__ import annotations

from functools import partial

from core.clock import Ids
from core.deploy.adopt import find_retained
from core.deploy.apply import Request, stack_bucket
from core.deploy.changes import (
    PLAN_PREFIX,
    Change,
    create_change_set,
    delete_change_set,
)
from core.deploy.client import Client, Clients
from core.deploy.graph import Graph
from core.deploy.indexes import with_lost_indexes
from core.deploy.parallel import side_by_side
from core.deploy.phases import Phase
from core.deploy.progress import Pacer
from core.deploy.resolve import Resolver, Scope
from core.deploy.send import parameter_arguments, parameter_values, template_arguments
from core.deploy.stacks import Stack, Step, exported_values, find_stack, stack_tags
from core.deploy.template import find_functions
from core.deploy.values import Plan, StackPlan


class Planner:
    """Plans. A stack that stands is asked by a change set, which is then deleted."""

    def __init__(self, clients: Clients, request: Request, pacer: Pacer, ids: Ids) -> None:
        self._clients, self._request, self._pacer, self._ids = clients, request, pacer, ids

    def plan(self, graph: Graph) -> Plan:
        """What would be done with every stack of the graph.

        Raises:
            UsageError: a parameter has no value.
            StackFailedError: CloudFormation refuses a template.
        """
        tasks = {phase.id: partial(self._stack, phase) for phase in graph.phases}
        plans = side_by_side(tasks, self._pacer)
        return Plan(tuple(tuple(plans[p.id] for p in level) for level in graph.levels))

    @property
    def _cloudformation(self) -> Client:
        return self._clients.client("cloudformation")

    def _stack(self, phase: Phase) -> StackPlan:
        name = phase.stack_name(self._request.project)
        stack = find_stack(self._cloudformation, name)
        if stack is None or stack.step is Step.CREATE:
            return self._new(phase, name)
        if stack.step is Step.UPDATE:
            return self._standing(phase, stack)
        return StackPlan(phase.id, name, "recover", stack.status, note=stack.step.value)

    def _new(self, phase: Phase, name: str) -> StackPlan:
        # No change set: for a stack that does not stand it would leave one in review.
        parameter_arguments(phase.template, self._request.parameters, {})
        values = parameter_values(phase.template, self._request.parameters, {})
        scope = Scope(values, self._clients.region, self._request.account)
        resolver = Resolver(phase.template, scope)
        kept = {r.logical_id for r in find_retained(self._clients, phase.template, resolver)}
        changes = tuple(
            Change("Import" if logical_id in kept else "Add", logical_id, str(resource["Type"]))
            for logical_id, resource in phase.template.resources.items()
            if resolver.present(resource)
        )
        return StackPlan(phase.id, name, "create", "", changes)

    def _standing(self, phase: Phase, stack: Stack) -> StackPlan:
        missing = self._missing_imports(phase, stack)
        if missing:
            note = f"needs {missing}, which is deployed first"
            return StackPlan(phase.id, stack.name, "update", stack.status, note=note)
        bucket = stack_bucket(self._clients, self._request.project, phase)
        request = {
            "StackName": stack.name,
            "ChangeSetType": "UPDATE",
            "Parameters": parameter_arguments(
                phase.template, self._request.parameters, stack.parameters
            ),
            "Tags": stack_tags(self._request.project, phase.id),
            **template_arguments(self._clients, phase.template, bucket),
        }
        change_set = create_change_set(
            self._cloudformation, self._pacer, self._ids(), request, PLAN_PREFIX
        )
        if change_set.empty:
            return StackPlan(phase.id, stack.name, "unchanged", stack.status)
        delete_change_set(self._cloudformation, change_set.id)
        changes = with_lost_indexes(
            self._clients.client("dynamodb"),
            phase,
            self._scope(phase, stack),
            change_set.changes,
        )
        return StackPlan(phase.id, stack.name, "update", stack.status, changes)

    def _scope(self, phase: Phase, stack: Stack) -> Scope:
        values = parameter_values(phase.template, self._request.parameters, stack.parameters)
        return Scope(values, self._clients.region, self._request.account)

    def _missing_imports(self, phase: Phase, stack: Stack) -> str | None:
        names = list(find_functions(phase.template.body, "Fn::ImportValue"))
        if not names:
            return None
        resolver = Resolver(phase.template, self._scope(phase, stack))
        exports = exported_values(self._cloudformation)
        wanted = filter(None, map(resolver.text, names))
        return next((name for name in wanted if name not in exports), None)
