"""What a bucket should be, by its template, against what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.deploy.client import Client
from core.deploy.resolve import Unknown
from core.deploy.tables import Aspect
from core.errors import AwsError, NotFoundError

_BLOCKS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
# What S3 answers where a bucket has no such configuration.
_NOTHING = frozenset(
    {
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "OwnershipControlsNotFoundError",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)


@dataclass(frozen=True)
class Bucket:
    """What five calls tell of a bucket."""

    versioning: Mapping[str, Any]
    encryption: Mapping[str, Any]
    public_access: Mapping[str, Any]
    ownership: Mapping[str, Any]
    lifecycle: Mapping[str, Any]


def read_bucket(s3: Client, name: str) -> Bucket | None:
    """Reads a bucket, or None where there is none."""
    try:
        s3.head_bucket(Bucket=name)
    except NotFoundError:
        return None
    return Bucket(
        s3.get_bucket_versioning(Bucket=name),
        _configured(s3.get_bucket_encryption, name),
        _configured(s3.get_public_access_block, name),
        _configured(s3.get_bucket_ownership_controls, name),
        _configured(s3.get_bucket_lifecycle_configuration, name),
    )


def compare_bucket(properties: Mapping[str, Any], bucket: Bucket) -> Iterator[Aspect]:
    """Every aspect in which a bucket differs from its (resolved) properties.

    What the properties say nothing of is left to S3's own defaults, and not compared.
    """
    for aspect, (key, wanted, found) in _ASPECTS.items():
        section = properties.get(key)
        if not isinstance(section, dict):
            continue
        expected, actual = wanted(section), found(bucket)
        if expected != actual:
            yield aspect, expected, actual


def repair_bucket(s3: Client, name: str, aspect: str, properties: Mapping[str, Any]) -> None:
    """Sets what an emulator leaves out of a template. Never used on AWS."""
    if aspect == "encryption":
        s3.put_bucket_encryption(
            Bucket=name,
            ServerSideEncryptionConfiguration={"Rules": _api_rules(properties)},
        )
    elif aspect == "lifecycle":
        rules = properties["LifecycleConfiguration"]["Rules"]
        s3.put_bucket_lifecycle_configuration(
            Bucket=name, LifecycleConfiguration={"Rules": list(map(_api_lifecycle, rules))}
        )
    elif aspect == "versioning":
        status = properties["VersioningConfiguration"]["Status"]
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": status})
    elif aspect == "public access":
        s3.put_public_access_block(
            Bucket=name,
            PublicAccessBlockConfiguration=_blocks(properties["PublicAccessBlockConfiguration"]),
        )
    elif aspect == "ownership":
        s3.put_bucket_ownership_controls(
            Bucket=name, OwnershipControls=properties["OwnershipControls"]
        )


def _configured(operation: Callable[..., dict[str, Any]], name: str) -> Mapping[str, Any]:
    try:
        return operation(Bucket=name)
    except AwsError as error:
        if error.code in _NOTHING:
            return {}
        raise


def _blocks(section: Mapping[str, Any]) -> dict[str, bool]:
    return {key: str(section.get(key, False)).lower() == "true" for key in _BLOCKS}


def _ownership(controls: Mapping[str, Any]) -> list[str]:
    return [str(rule["ObjectOwnership"]) for rule in controls.get("Rules") or ()]


def _wanted_encryption(section: Mapping[str, Any]) -> tuple[str, str]:
    default = section["ServerSideEncryptionConfiguration"][0]["ServerSideEncryptionByDefault"]
    key = default.get("KMSMasterKeyID")
    return str(default["SSEAlgorithm"]), "" if isinstance(key, Unknown) else str(key or "")


def _found_encryption(bucket: Bucket) -> tuple[str, str]:
    rules = bucket.encryption.get("ServerSideEncryptionConfiguration", {}).get("Rules") or [{}]
    default = rules[0].get("ApplyServerSideEncryptionByDefault") or {}
    return str(default.get("SSEAlgorithm", "")), str(default.get("KMSMasterKeyID") or "")


def _api_rules(properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    rules = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    return [
        {
            "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
            "BucketKeyEnabled": bool(rule.get("BucketKeyEnabled", False)),
        }
        for rule in rules
    ]


def _api_lifecycle(rule: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "ID": rule["Id"],
        "Status": rule["Status"],
        "Filter": {"Prefix": rule.get("Prefix", "")},
    }
    if "ExpirationInDays" in rule:
        made["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    if "NoncurrentVersionExpiration" in rule:
        days = int(rule["NoncurrentVersionExpiration"]["NoncurrentDays"])
        made["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    if "AbortIncompleteMultipartUpload" in rule:
        days = int(rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"])
        made["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
    return made


def _days(rule: Mapping[str, Any]) -> dict[str, int]:
    """A lifecycle rule of the API, as days by what they end."""
    made = {
        "objects": rule.get("Expiration", {}).get("Days"),
        "old versions": rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"),
        "uploads": rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation"),
    }
    return {what: int(days) for what, days in made.items() if days is not None}


def _lifecycle(rules: list[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    return {
        str(rule["ID"]): (
            str(rule["Status"]),
            str(rule.get("Filter", {}).get("Prefix", "")),
            *(f"{what} {days} days" for what, days in _days(rule).items()),
        )
        for rule in rules
    }


_Aspect = tuple[str, Callable[[Mapping[str, Any]], Any], Callable[[Bucket], Any]]
_ASPECTS: Mapping[str, _Aspect] = {
    "versioning": (
        "VersioningConfiguration",
        lambda section: section.get("Status"),
        lambda bucket: bucket.versioning.get("Status", "Suspended"),
    ),
    "encryption": ("BucketEncryption", _wanted_encryption, _found_encryption),
    "public access": (
        "PublicAccessBlockConfiguration",
        _blocks,
        lambda bucket: _blocks(bucket.public_access.get("PublicAccessBlockConfiguration", {})),
    ),
    "ownership": (
        "OwnershipControls",
        _ownership,
        lambda bucket: _ownership(bucket.ownership.get("OwnershipControls", {})),
    ),
    "lifecycle": (
        "LifecycleConfiguration",
        lambda section: _lifecycle(list(map(_api_lifecycle, section["Rules"]))),
        lambda bucket: _lifecycle(bucket.lifecycle.get("Rules") or []),
    ),
}
