"""What is inside the binary, as a CycloneDX document (`ialctl.cdx.json`).

Made from what PyInstaller really took in, not from what is installed: a library is listed where a
module, a data file or a shared object of it is inside. A library's hash is that of its RECORD, the
list of its files with their hashes; each shared object's is that of the very bytes inside.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import sys
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path

import msgspec
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from core import __version__
from scripts.building.programs import output_of

# A page that carries a library of the browser's says so in its first line:
# `/*! https://github.com/leeoniya/uPlot (v1.6.32) */`
_BANNER = re.compile(r"/\*!?\s*https://github\.com/([\w.-]+)/([\w.-]+) \(v?([\d.]+)\)")
_CLASSIFIER = "License :: OSI Approved :: "
# Classifiers that mean one licence, by its SPDX name.
_SPDX = {
    "MIT License": "MIT",
    "Apache Software License": "Apache-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "ISC License (ISCL)": "ISC",
}
_PYTHONS_OWN = re.compile(r"python3\.\d+/|libpython3")


@dataclass(frozen=True)
class Entry:
    """One thing inside: its name there, where it came from, the file as it was put in."""

    name: str
    source: str
    shipped: str
    kind: str

    @property
    def shared(self) -> bool:
        """Whether it is a shared object."""
        return self.kind in ("BINARY", "EXTENSION")


def write_contents(entries: Path, to: Path, epoch_s: int) -> Path:
    """Writes the document of what `ialctl.spec` noted in `entries`; answers `to`."""
    found = msgspec.json.decode(entries.read_bytes(), type=list[Entry])
    bom = contents(found, epoch_s)
    to.write_text(JsonV1Dot6(bom).output_as_string(indent=2) + "\n")
    return to


def contents(entries: Iterable[Entry], epoch_s: int) -> Bom:
    """The document itself; the same entries and time give the same one."""
    owners = owned_files(distributions())
    libraries: dict[str, list[Entry]] = defaultdict(list)
    others: list[Entry] = []
    known = {}
    for entry in entries:
        owner = owners.get(entry.source)
        if owner is not None and _name(owner) != "ialctl":
            known[_name(owner)] = owner
            libraries[_name(owner)].append(entry)
        else:
            others.append(entry)
    made = [library(known[name], inside) for name, inside in sorted(libraries.items())]
    shared = [entry for entry in others if entry.shared]
    pythons = [entry for entry in shared if _PYTHONS_OWN.match(entry.name)]
    made.append(python(pythons))
    made += [system_library(entry) for entry in shared if entry not in pythons]
    return _document([*made, *_browser_libraries(others)], epoch_s)


def owned_files(installed: Iterable[Distribution]) -> Mapping[str, Distribution]:
    """Which library each installed file is of."""
    return {
        str(distribution.locate_file(file)): distribution
        for distribution in installed
        for file in distribution.files or ()
    }


def library(distribution: Distribution, inside: Iterable[Entry]) -> Component:
    """A library with the shared objects of it that are inside."""
    name, version = _name(distribution), distribution.version
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{name}@{version}",
        purl=PackageURL("pypi", None, name, version),
        description=distribution.metadata["Summary"],
        licenses=[LicenseFactory().make_from_string(licence(distribution))],
        hashes=[_sha256((distribution.read_text("RECORD") or "").encode())],
        properties=[Property(name="ialctl:hash-of", value="RECORD")],
        components=[shared_object(entry) for entry in inside if entry.shared],
    )


def licence(distribution: Distribution) -> str:
    """What a library says of its licence: an expression, a classifier, or its own words."""
    told = distribution.metadata
    if told["License-Expression"]:
        return str(told["License-Expression"])
    for classifier in told.get_all("Classifier") or ():
        if classifier.startswith(_CLASSIFIER):
            words = str(classifier.removeprefix(_CLASSIFIER))
            return _SPDX.get(words, words)
    lies = (distribution.read_text(f"{folder}LICENSE") for folder in ("licenses/", ""))
    return str(told["License"] or next(filter(None, lies), "unknown")).strip().splitlines()[0]


def shared_object(entry: Entry) -> Component:
    """A file of machine code, by the bytes that are inside."""
    return Component(
        name=entry.name,
        type=ComponentType.FILE,
        bom_ref=f"file:{entry.name}",
        hashes=[_sha256(Path(entry.shipped).read_bytes())],
    )


def system_library(entry: Entry) -> Component:
    """A shared object of the system's, with its package where the system is a Debian."""
    made = shared_object(entry)
    made.type = ComponentType.LIBRARY
    package, version = _debian_package(Path(entry.source).resolve())
    if package:
        made.version = version
        made.purl = PackageURL("deb", "debian", package, version)
    return made


def _debian_package(path: Path) -> tuple[str, str]:
    if shutil.which("dpkg-query") is None:
        return "", ""
    package = output_of("dpkg-query", "--search", path, needed=False).partition(":")[0]
    return (
        (package, output_of("dpkg-query", "-f", "${Version}", "-W", package, needed=False))
        if package
        else ("", "")
    )


def python(inside: Iterable[Entry]) -> Component:
    """The interpreter with its standard library."""
    version = platform.python_version()
    return Component(
        name="python",
        version=version,
        type=ComponentType.PLATFORM,
        bom_ref=f"python@{version}",
        purl=PackageURL("generic", None, "python", version),
        licenses=[LicenseFactory().make_from_string("PSF-2.0")],
        hashes=[_sha256(Path(sys.executable).resolve().read_bytes())],
        properties=[Property(name="ialctl:hash-of", value="the interpreter that built it")],
        components=[shared_object(entry) for entry in inside],
    )


def _browser_libraries(entries: Iterable[Entry]) -> list[Component]:
    """Libraries that the pages of reports carry."""
    made = []
    for entry in entries:
        if entry.kind != "DATA" or Path(entry.name).suffix not in (".js", ".css"):
            continue
        content = Path(entry.shipped).read_bytes()
        named = _BANNER.match(content[:300].decode(errors="replace"))
        if named is not None:
            made.append(_browser_library(entry, content, *named.groups()))
    return made


def _licence_beside(file: Path) -> str:
    """`uplot.js` lies beside `uplot-LICENSE`, whose first line names a licence that all know."""
    text = file.with_name(f"{file.stem}-LICENSE")
    words = text.read_text().strip().splitlines()[0] if text.is_file() else "unknown"
    return next((spdx for name, spdx in _SPDX.items() if name in words), words)


def _browser_library(
    entry: Entry, content: bytes, owner: str, name: str, version: str
) -> Component:
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{name}@{version}:{entry.name}",
        purl=PackageURL("github", owner, name, version),
        licenses=[LicenseFactory().make_from_string(_licence_beside(Path(entry.source)))],
        hashes=[_sha256(content)],
        properties=[Property(name="ialctl:hash-of", value=entry.name)],
    )


def _document(components: list[Component], epoch_s: int) -> Bom:
    root = Component(
        name="ialctl",
        version=__version__,
        type=ComponentType.APPLICATION,
        bom_ref="ialctl",
        licenses=[LicenseFactory().make_from_string("Apache-2.0")],
    )
    # A serial number that is drawn from the contents: the same ones give the same document.
    drawn = "\n".join(sorted(str(one.bom_ref.value) for one in components))
    bom = Bom(components=components, serial_number=uuid.uuid5(uuid.NAMESPACE_OID, drawn))
    bom.metadata.component = root
    bom.metadata.timestamp = datetime.fromtimestamp(epoch_s, UTC)
    bom.dependencies.add(Dependency(root.bom_ref, [Dependency(c.bom_ref) for c in components]))
    for component in components:
        bom.dependencies.add(Dependency(component.bom_ref))
    return bom


def _name(distribution: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()


def _sha256(content: bytes) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(content).hexdigest())
