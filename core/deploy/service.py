"""A deployment of one project on one target: plan, apply, status, drift, destroy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

from core.aws.lease import Lease, this_run
from core.clock import SYSTEM_CLOCK, Clock, Ids, new_id
from core.deploy.adopt import find_retained
from core.deploy.apply import Request, StackDeployer
from core.deploy.changes import check_protection
from core.deploy.client import Client, Clients
from core.deploy.destroy import KINDS, Holding, StackRemover, delete_holding, holdings
from core.deploy.drift import detect_drift
from core.deploy.events import Follower, Limits
from core.deploy.graph import Graph, build_graph
from core.deploy.lock import file_lock
from core.deploy.parallel import side_by_side
from core.deploy.phases import Phase, phases_folder, read_phases, select_phases
from core.deploy.planning import Planner
from core.deploy.progress import Observer, Pacer, Progress, no_observer
from core.deploy.resolve import Resolver
from core.deploy.stacks import Stack, exported_values, find_stack, project_stacks
from core.deploy.standing import read_status
from core.deploy.tables import Difference
from core.deploy.values import Destroyed, Plan, Result, StackResult, Status
from core.deploy.verify import Verifier
from core.errors import DifferenceError, IalError, InterruptedRunError, UsageError
from core.settings import Settings

LOCK_FILE = "deploy.lock"
# An emulator answers at once; an operation of which nothing is heard for this long is an orphan.
LOCAL_STALE_S = 10.0


@dataclass(frozen=True)
class Options:
    """What a person may ask for."""

    wanted: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    allow_replace: tuple[str, ...] = ()


class Deployment:
    """One run on one project; nothing is touched before the phases are read and ordered."""

    def __init__(
        self,
        settings: Settings,
        clients: Clients,
        options: Options = Options(),
        *,
        clock: Clock = SYSTEM_CLOCK,
        ids: Ids = new_id,
        observer: Observer = no_observer,
        phases: tuple[Phase, ...] | None = None,
    ) -> None:
        """A deployment; `phases` where they were read already."""
        self._settings, self._clients, self._options = settings, clients, options
        self._clock, self._ids, self._observer = clock, ids, observer
        self._given_phases = phases
        self._owner = this_run(ids())
        self._lease = Lease(
            clients.client("dynamodb"), f"{settings.project}-operations", self._owner, clock
        )
        self._pacer = Pacer(clock, self._lease.keep)
        self._local = settings.target == "local"
        self._limits = Limits(stale_s=LOCAL_STALE_S if self._local else None)

    def observe(self, observer: Observer) -> None:
        """From now on tells `observer` how it goes on; call it before `apply` or `destroy`."""
        self._observer = observer

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the project's lock: no other deployment goes on meanwhile.

        Raises:
            LockHeldError: another run holds it.
        """
        path = self._settings.project_state_dir / LOCK_FILE
        with file_lock(path, self._owner, self._clock):
            self._lease.acquire()
            try:
                yield
            finally:
                self._lease.release()

    def plan(self) -> Plan:
        """What `apply` would do; changes nothing.

        Raises:
            DeployError: the phases can't be deployed as they are.
            StackFailedError: CloudFormation refuses a template.
        """
        return self._planner.plan(self._graph)

    def apply(self, plan: Plan) -> Result:
        """Deploys what the plan found to differ, and verifies all. Call it inside `locked`.

        Every stack that can be deployed is; one whose need failed is skipped.

        Raises:
            ProtectedChangeError: it would replace or remove what holds data; nothing was changed.
            IalError: the first stack's failure (its class: StackFailedError and others).
            DifferenceError: all were deployed, and verification found a difference.
            InterruptedRunError: stopped at a safe point.
        """
        for stack in plan.stacks:
            # Known before anything is touched: then nothing is. Each stack is checked again.
            check_protection(stack.stack, stack.changes, self._options.allow_replace)
        results: dict[str, StackResult] = {}
        actions = {stack.phase: stack.action for stack in plan.stacks}
        for level in self._graph.levels:
            tasks = {phase.id: partial(self._one, phase, actions, results) for phase in level}
            results |= side_by_side(tasks, self._pacer)
            if not self._lease.held:
                self._lease.acquire()  # the operations table may stand now
        result = Result(tuple(results[phase.id] for phase in self._graph.phases))
        _raise_failures(result)
        return result

    def status(self) -> Status:
        """What stands."""
        return read_status(self._clients, self._settings.project, self._all_phases)

    def drift(self) -> tuple[Difference, ...]:
        """What differs from the templates: changed behind CloudFormation's back, or not deployed.

        Raises:
            DeployError: the phases can't be read, or a detection failed.
        """
        found: list[Difference] = []
        verifier = Verifier(self._clients, self._pacer, repairs=False)
        for step in self.plan().stacks:
            phase = next(p for p in self._all_phases if p.id == step.phase)
            stack = find_stack(self._cloudformation, step.stack)
            if stack is None or step.action == "create":
                found.append(Difference(step.stack, "", "stack", "deployed", "missing"))
                continue
            if step.action == "recover":
                # Nothing of it can be compared before it is at rest.
                found.append(Difference(step.stack, "", "state", "complete", stack.status))
                continue
            found.extend(
                Difference(step.stack, c.logical_id, "template", c.kind, "as deployed before")
                for c in step.changes
            )
            scope = self._deployer.scope(phase, stack)
            verified = verifier.verify(phase, step.stack, scope).differences
            found.extend(verified)
            seen = {d.resource for d in verified}
            drifted = detect_drift(self._cloudformation, stack, self._pacer)
            found.extend(d for d in drifted if d.resource not in seen)
        return tuple(found)

    def removable(self) -> tuple[tuple[Stack, ...], tuple[Holding, ...]]:
        """The stacks that `destroy` would delete, in that order, and what of them holds data."""
        stacks = tuple(reversed(self._removal_order()))
        held = holdings(self._cloudformation, stacks)
        return stacks, held + tuple(h for h in self._kept_before() if h not in held)

    def _kept_before(self) -> Iterator[Holding]:
        """What an earlier `destroy` kept: it stands outside of any stack."""
        for phase in self._all_phases:
            name = phase.stack_name(self._settings.project)
            if find_stack(self._cloudformation, name) is not None:
                continue
            resolver = Resolver(phase.template, self._deployer.scope(phase, None))
            for kept in find_retained(self._clients, phase.template, resolver):
                yield Holding(KINDS[kept.type], next(iter(kept.identifier.values())))

    def destroy(self, *, delete_data: bool = False) -> Destroyed:
        """Deletes this project's stacks, consumers first. Call it inside `locked`.

        Args:
            delete_data: also delete the tables and the bucket, and schedule the key's deletion.

        Raises:
            StackFailedError: a stack can't be deleted; those after it stand.
        """
        stacks, held = self.removable()
        follower = Follower(self._cloudformation, self._pacer, self._limits)
        remover = StackRemover(self._cloudformation, follower, self._ids, self._observer)
        for stack in stacks:
            side_by_side({stack.name: partial(remover.delete, stack)}, self._pacer)
        names = tuple(f"{holding.kind} {holding.name}" for holding in held)
        if not delete_data:
            return Destroyed(tuple(s.name for s in stacks), (), names)
        self._lease.release()  # the table that holds it goes too
        for holding in held:
            delete_holding(self._clients, holding, self._pacer)
        return Destroyed(tuple(s.name for s in stacks), names, ())

    def _one(
        self, phase: Phase, actions: Mapping[str, str], results: Mapping[str, StackResult]
    ) -> StackResult:
        name = phase.stack_name(self._settings.project)
        needs = sorted(self._graph.needs[phase.id])
        broken = next((n for n in needs if results[n].state in ("failed", "skipped")), None)
        if broken:
            self._observer(Progress(phase.id, name, "skipped", f"needs {broken}"))
            return StackResult(phase.id, name, "skipped")
        idle = actions.get(phase.id) == "unchanged" and all(
            results[n].state == "unchanged" for n in needs
        )
        try:
            made = self._deployed_and_verified(phase, name, idle=idle)
        except InterruptedRunError:
            raise
        except IalError as error:
            self._observer(Progress(phase.id, name, "failed", error.what))
            return StackResult(phase.id, name, "failed", error=error)
        self._observer(Progress(phase.id, name, made.state))
        return made

    def _deployed_and_verified(self, phase: Phase, name: str, *, idle: bool) -> StackResult:
        changed = not idle and self._deployer.deploy(phase)
        self._observer(Progress(phase.id, name, "verifying"))
        scope = self._deployer.scope(phase, find_stack(self._cloudformation, name))
        verifier = Verifier(self._clients, self._pacer, repairs=self._local)
        verified = verifier.verify(phase, name, scope)
        return StackResult(
            phase.id,
            name,
            "done" if changed else "unchanged",
            verified.tables,
            verified.differences,
        )

    def _removal_order(self) -> list[Stack]:
        """This project's stacks, producers first; those without a phase (any more) come last."""
        stacks = {s.name: s for s in project_stacks(self._cloudformation, self._settings.project)}
        phases = [p for p in self._all_phases if p.stack_name(self._settings.project) in stacks]
        graph = build_graph(
            phases, self._all_phases, self._names, exported_values(self._cloudformation)
        )
        ordered = [stacks.pop(p.stack_name(self._settings.project)) for p in graph.phases]
        return ordered + list(stacks.values())

    @cached_property
    def _all_phases(self) -> tuple[Phase, ...]:
        phases = self._given_phases or read_phases(phases_folder(self._settings))
        declared = {name for phase in phases for name in phase.template.parameters}
        for name in self._options.parameters:
            if name not in declared or name == "ProjectName":
                raise UsageError(
                    f"No phase has a parameter '{name}' to set.",
                    f"There are: {', '.join(sorted(declared - {'ProjectName'}))}.",
                )
        return phases

    @cached_property
    def _graph(self) -> Graph:
        project = self._settings.project
        # Read before anything is asked of the target: a bad template is told at once.
        all_phases = self._all_phases
        select_phases(all_phases, self._options.wanted, project)
        standing = {stack.name for stack in project_stacks(self._cloudformation, project)}
        phases = select_phases(all_phases, self._options.wanted, project, standing)
        exports = exported_values(self._cloudformation)
        return build_graph(phases, all_phases, self._names, exports)

    @property
    def _names(self) -> Mapping[str, str]:
        return {**self._options.parameters, "ProjectName": self._settings.project}

    @property
    def _cloudformation(self) -> Client:
        return self._clients.client("cloudformation")

    @cached_property
    def _planner(self) -> Planner:
        return Planner(self._clients, self._request, self._pacer, self._ids)

    @cached_property
    def _request(self) -> Request:
        account = str(self._clients.client("sts").get_caller_identity()["Account"])
        return Request(self._settings.project, account, self._names, self._options.allow_replace)

    @cached_property
    def _deployer(self) -> StackDeployer:
        return StackDeployer(
            self._clients, self._request, self._pacer, self._limits, self._ids, self._observer
        )


def _raise_failures(result: Result) -> None:
    for stack in result.failed:
        if stack.error is not None:
            raise stack.error
    differences = result.differences
    if differences:
        first, more = differences[0], len(differences) - 1
        others = f" ({more} more: `ialctl drift`)" if more else ""
        raise DifferenceError(
            f"Deployed, but '{first.resource}' of the stack '{first.stack}' is not as its template "
            f"says: {first.aspect} should be {first.expected}, and is {first.found}{others}.",
            "Was it changed by hand? `ialctl drift` shows all; put it right and start again.",
            stack=first.stack,
            resource=first.resource,
        )
