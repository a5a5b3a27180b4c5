"""How a template and its parameters go into a request."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from core.deploy.client import Clients
from core.deploy.template import INLINE_LIMIT_BYTES, Template
from core.errors import TemplateError, UsageError


def template_arguments(clients: Clients, template: Template, bucket: str | None) -> dict[str, str]:
    """TemplateBody or, for one too large for a request, TemplateURL after an upload.

    Raises:
        TemplateError: it is too large, and the bucket does not stand yet.
    """
    if template.size_bytes <= INLINE_LIMIT_BYTES:
        return {"TemplateBody": template.text}
    if bucket is None:
        raise TemplateError(
            f"The template '{template.path}' has {template.size_bytes:,} bytes; over "
            f"{INLINE_LIMIT_BYTES:,} it has to go by the backup bucket, which does not stand yet.",
            "Deploy the phase 03-backup-bucket before it (DependsOn in its Metadata).",
            path=template.path,
        )
    key = f"templates/{hashlib.sha256(template.text.encode()).hexdigest()}.yaml"
    clients.client("s3").put_object(Bucket=bucket, Key=key, Body=template.text.encode())
    if clients.endpoint_url:
        return {"TemplateURL": f"{clients.endpoint_url}/{bucket}/{key}"}
    return {"TemplateURL": f"https://{bucket}.s3.{clients.region}.amazonaws.com/{key}"}


def parameter_arguments(
    template: Template, given: Mapping[str, str], previous: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Each parameter's value: what is given now, else what the stack has, else the default.

    Raises:
        UsageError: a parameter has none of the three.
    """
    made: list[dict[str, Any]] = []
    for name, about in template.parameters.items():
        if name in given:
            made.append({"ParameterKey": name, "ParameterValue": given[name]})
        elif name in previous:
            made.append({"ParameterKey": name, "UsePreviousValue": True})
        elif "Default" not in about:
            raise UsageError(
                f"The template '{template.path.parent.name}/{template.path.stem}' needs a value "
                f"for its parameter '{name}'.",
                f"Give it: `--parameter {name}=…`.",
                parameter=name,
            )
    return made


def parameter_values(
    template: Template, given: Mapping[str, str], previous: Mapping[str, str]
) -> dict[str, str]:
    """The value that each parameter has or will have; defaults are left to the template."""
    return {
        name: given.get(name, previous.get(name, ""))
        for name in template.parameters
        if name in given or name in previous
    }
