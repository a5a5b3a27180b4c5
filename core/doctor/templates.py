"""Whether what was deployed is of this version's templates."""

from __future__ import annotations

from core.deploy.client import Clients
from core.doctor.finding import Finding, ok, skipped, warning
from core.doctor.standing import Described


def templates_finding(clients: Clients, described: Described) -> Finding:
    """Compares each stack's template with the phase's, as texts."""
    if not described.stacks:
        return skipped("templates", "no stack stands")
    cloudformation = clients.client("cloudformation")
    compared, other = 0, []
    for phase in described.phases:
        name = phase.stack_name(described.project)
        if name not in described.stacks:
            continue
        body = cloudformation.get_template(StackName=name).get("TemplateBody")
        compared += 1
        # JSON comes as an object: then nothing is said of it.
        if isinstance(body, str) and body.strip() != phase.template.text.strip():
            other.append(phase.id)
    if not other:
        return ok("templates", f"{compared} stacks, of this version's templates")
    means = "They were deployed by another version, or from another folder of phases."
    cure = "`ialctl plan` shows what `ialctl start` would change; `ialctl drift` what differs."
    return warning("templates", f"another one of {', '.join(other)}", means, cure)
