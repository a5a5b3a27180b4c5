"""Phases: the templates of a folder, `NN-domain/NN-name.yaml`, with what they say of themselves.

A phase's stack is called `{project}-{domain}-{name}`, without the numbers: so a phase can be
numbered anew without its stack being deployed anew. Two phases that would share a name are an
error.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from core.deploy.template import Template, read_template
from core.errors import DeployError, TemplateError, UsageError
from core.settings import Settings
from core.shipped import shipped

_NUMBERED = re.compile(r"(\d+)-([A-Za-z][A-Za-z0-9-]*)")
_KNOWN_NOTES = ("Optional", "DependsOn")


@dataclass(frozen=True)
class Phase:
    """One template and its place in the order."""

    domain_number: int
    domain: str
    number: int
    name: str
    template: Template
    optional: bool = False
    depends_on: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Its place in words: `00-foundation/01-kms-key`."""
        path = self.template.path
        return f"{path.parent.name}/{path.stem}"

    @property
    def order(self) -> tuple[int, int, str]:
        """What phases are sorted by."""
        return self.domain_number, self.number, self.name

    def stack_name(self, project: str) -> str:
        """The name of its stack."""
        return f"{project}-{self.domain}-{self.name}"

    def called(self, text: str) -> bool:
        """Whether a person who writes `text` means this phase."""
        return text.removesuffix(".yaml") in (self.id, self.template.path.stem, self.name)


def phases_folder(settings: Settings) -> Path:
    """The folder of the settings, else the one that is shipped."""
    return settings.phases_dir or shipped("phases")


def read_phases(folder: Path) -> tuple[Phase, ...]:
    """All phases of a folder, in the order of their numbers.

    Raises:
        DeployError: the folder is missing or holds no phase.
        TemplateError: a template can't be used, or its name has no number.
    """
    if not folder.is_dir():
        raise DeployError(
            f"There is no folder of phases at '{folder}'.",
            "Correct `phases_dir` (IAL_PHASES_DIR), or leave it out for those shipped.",
        )
    files = sorted(p for p in folder.glob("*/*") if p.suffix in (".yaml", ".yml", ".json"))
    phases = sorted((_phase(path) for path in files), key=lambda phase: phase.order)
    if not phases:
        raise DeployError(
            f"The folder '{folder}' holds no phases.",
            "A phase is a template at NN-domain/NN-name.yaml.",
        )
    _check_names(phases)
    return tuple(phases)


def select_phases(
    phases: Iterable[Phase],
    wanted: Collection[str],
    project: str,
    standing: Collection[str] = (),
) -> tuple[Phase, ...]:
    """The phases to deploy: all but optional ones, and the optional ones wanted or standing.

    Args:
        phases: those there are.
        wanted: optional phases by name, stem or id.
        project: whose stacks.
        standing: names of stacks that stand already.

    Raises:
        UsageError: no phase is called that.
    """
    known = tuple(phases)
    for text in wanted:
        if not any(phase.called(text) for phase in known):
            optional = ", ".join(phase.id for phase in known if phase.optional)
            raise UsageError(f"There is no phase '{text}'.", f"Optional are: {optional or 'none'}.")
    return tuple(
        phase
        for phase in known
        if not phase.optional
        or phase.stack_name(project) in standing
        or any(phase.called(text) for text in wanted)
    )


def _phase(path: Path) -> Phase:
    domain, name = _NUMBERED.fullmatch(path.parent.name), _NUMBERED.fullmatch(path.stem)
    if domain is None or name is None:
        raise TemplateError(
            f"The template '{path}' has no number to be ordered by.",
            "Name it NN-domain/NN-name.yaml, such as 00-foundation/05-tables.yaml.",
            path=path,
        )
    template = read_template(path)
    optional, depends_on = _notes(template)
    return Phase(int(domain[1]), domain[2], int(name[1]), name[2], template, optional, depends_on)


def _notes(template: Template) -> tuple[bool, tuple[str, ...]]:
    notes = template.notes
    unknown = next((key for key in notes if key not in _KNOWN_NOTES), None)
    depends_on = notes.get("DependsOn", [])
    names = isinstance(depends_on, list) and all(isinstance(d, str) for d in depends_on)
    if unknown or not names or not isinstance(notes.get("Optional", False), bool):
        problem = f"the unknown key '{unknown}'" if unknown else "a value of the wrong kind"
        raise TemplateError(
            f"The template '{template.path}' has {problem} under Metadata: Ialctl.",
            "It takes Optional (true or false) and DependsOn (a list of phases).",
            path=template.path,
        )
    return bool(notes.get("Optional", False)), tuple(depends_on)


def _check_names(phases: list[Phase]) -> None:
    seen: dict[tuple[str, str], Phase] = {}
    for phase in phases:
        other = seen.setdefault((phase.domain, phase.name), phase)
        if other is not phase:
            raise TemplateError(
                f"The phases '{other.id}' and '{phase.id}' would share one stack: "
                "their names differ in numbers only.",
                "Rename one of them.",
                path=phase.template.path,
            )
