"""The order of phases: which stacks need which, and which can be deployed side by side.

A phase needs another whose export it imports, or that its metadata names. A domain of a higher
number begins only after those of lower numbers; inside a domain only needs count, and numbers
order what is shown.
"""

from __future__ import annotations

import graphlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from core.deploy.phases import Phase
from core.deploy.resolve import Resolver, Scope
from core.deploy.template import find_functions
from core.errors import DeployError


@dataclass(frozen=True)
class Graph:
    """Phases in levels; those of one level do not need each other."""

    levels: tuple[tuple[Phase, ...], ...]
    needs: Mapping[str, frozenset[str]]

    @property
    def phases(self) -> tuple[Phase, ...]:
        """All phases in order."""
        return tuple(phase for level in self.levels for phase in level)


def build_graph(
    phases: Sequence[Phase],
    all_phases: Sequence[Phase],
    parameters: Mapping[str, str],
    exports: Collection[str] = (),
) -> Graph:
    """Puts phases in order.

    Args:
        phases: those to deploy.
        all_phases: also those that are not deployed, to say which one would help.
        parameters: ProjectName and what else export names are made of.
        exports: names of exports that stand already, from whatever stack.

    Raises:
        DeployError: an import that nothing exports, an unknown dependency, or a circle.
    """
    makers = {name: phase for phase in phases for name in _exports(phase, parameters)}
    needs = {
        phase.id: _imported(phase, makers, all_phases, parameters, exports)
        | _named(phase, phases, all_phases)
        for phase in phases
    }
    _check_domains(phases, needs)
    return Graph(_levels(phases, needs), needs)


def _exports(phase: Phase, parameters: Mapping[str, str]) -> frozenset[str]:
    resolver = Resolver(phase.template, Scope(parameters))
    names = (
        resolver.text(output.get("Export", {}).get("Name"))
        for output in phase.template.outputs.values()
        if "Export" in output
    )
    return frozenset(name for name in names if name)


def _imports(phase: Phase, parameters: Mapping[str, str]) -> frozenset[str]:
    resolver = Resolver(phase.template, Scope(parameters))
    found = map(resolver.text, find_functions(phase.template.body, "Fn::ImportValue"))
    return frozenset(name for name in found if name)


def _imported(
    phase: Phase,
    makers: Mapping[str, Phase],
    all_phases: Sequence[Phase],
    parameters: Mapping[str, str],
    exports: Collection[str],
) -> frozenset[str]:
    needs = set()
    for name in sorted(_imports(phase, parameters)):
        if name in makers:
            needs.add(makers[name].id)
        elif name not in exports:
            helper = next((p for p in all_phases if name in _exports(p, parameters)), None)
            raise DeployError(
                f"The phase '{phase.id}' imports '{name}', which no phase exports.",
                f"Deploy it too: `--with {helper.id}`."
                if helper
                else "Correct the name in Fn::ImportValue, or add the phase that exports it.",
                phase=phase.id,
            )
    return frozenset(needs)


def _named(phase: Phase, phases: Sequence[Phase], all_phases: Sequence[Phase]) -> frozenset[str]:
    needs = set()
    for text in phase.depends_on:
        if not any(p.called(text) for p in all_phases):
            raise DeployError(
                f"The phase '{phase.id}' depends on '{text}', and there is no such phase.",
                "Correct DependsOn in its Metadata.",
                phase=phase.id,
            )
        found = [p.id for p in phases if p.called(text)]
        if not found:
            raise DeployError(
                f"The phase '{phase.id}' depends on '{text}', which is optional.",
                f"Deploy it too: `--with {text}`.",
                phase=phase.id,
            )
        needs.update(found)
    return frozenset(needs)


def _check_domains(phases: Sequence[Phase], needs: Mapping[str, frozenset[str]]) -> None:
    domains = {phase.id: phase.domain_number for phase in phases}
    for phase in phases:
        later = next((n for n in sorted(needs[phase.id]) if domains[n] > domains[phase.id]), None)
        if later:
            raise DeployError(
                f"The phase '{phase.id}' needs '{later}' of a domain that comes later.",
                "Number its domain after that one.",
                phase=phase.id,
            )


def _levels(
    phases: Sequence[Phase], needs: Mapping[str, frozenset[str]]
) -> tuple[tuple[Phase, ...], ...]:
    levels: list[tuple[Phase, ...]] = []
    for number in sorted({phase.domain_number for phase in phases}):
        domain = {phase.id: phase for phase in phases if phase.domain_number == number}
        sorter = graphlib.TopologicalSorter({i: needs[i] & domain.keys() for i in domain})
        try:
            sorter.prepare()
        except graphlib.CycleError as error:
            circle = " → ".join(reversed(error.args[1]))
            raise DeployError(
                f"The phases need each other in a circle: {circle}.",
                "Take one of these imports or dependencies out.",
            ) from error
        while sorter.is_active():
            ready = sorter.get_ready()
            levels.append(tuple(sorted((domain[i] for i in ready), key=lambda p: p.order)))
            sorter.done(*ready)
    return tuple(levels)
