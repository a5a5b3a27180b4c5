"""Templates, phases and their order: what is read, and what is refused before anything happens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from core.deploy.graph import Graph, build_graph
from core.deploy.phases import phases_folder, read_phases, select_phases
from core.deploy.resolve import UNKNOWN, Resolver, Scope
from core.deploy.send import parameter_arguments, template_arguments
from core.deploy.template import INLINE_LIMIT_BYTES, read_template
from core.errors import DeployError, TemplateError, UsageError
from core.settings import Settings
from tests.unit.deploy.stub import PLAIN, StubClients, StubCloudFormation, make_phase

EXPORTING = PLAIN + "Outputs: {O: {Value: x, Export: {Name: !Sub '${ProjectName}-%s'}}}\n"
IMPORTING = PLAIN.replace('Topic"}', 'Topic", Properties: {N: !ImportValue %s}}')


def _graph(folder: Path, texts: dict[str, str], exports: Sequence[str] = ()) -> Graph:
    for name, text in texts.items():
        make_phase(folder, text, name)
    phases = read_phases(folder)
    chosen = select_phases(phases, (), "p")
    return build_graph(chosen, phases, {"ProjectName": "p"}, exports)


def _ids(graph: Graph) -> list[list[str]]:
    return [[phase.name for phase in level] for level in graph.levels]


def _with(value: str) -> str:
    return PLAIN.replace('Topic"}', f'Topic", Properties: {{N: {value}}}}}')


def _table(properties: str) -> str:
    return PLAIN + f"  T: {{Type: 'AWS::DynamoDB::Table', Properties: {{{properties}}}}}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Resources:\n  A: [", "line 2"),
        ("Resources:\n  A: !Foo x\n", "line 2.*'!Foo'"),
        ("Resources:\n  A: {}\n  A: {}\n", "line 3.*twice"),
        ("- a list\n", "no keys and values"),
        ("", "no keys and values"),
        ("Parameters: {ProjectName: {Type: String}}\n", "no Resources"),
        ("Resources: {A: {Type: X}}\n", "no parameter ProjectName"),
        (PLAIN + "Outputs: {O: {Value: {'Fn::Nope': x}}}\n", "'Fn::Nope'"),
        (PLAIN + "Outputs: {O: {Value: !Ref Nowhere}}\n", "'Nowhere'"),
        (PLAIN.replace('Type: "AWS::SNS::Topic"', "Tpe: X"), "'Topic' has no Type"),
        ("Resources:\n\tA: tab\n", "line 2"),
        ("Resources: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("Resources:\n  A: &a {Type: X}\n  B:\n    <<: *a\n", "line 4.*merge keys"),
        (PLAIN + "Outputs: {O: text}\n", "output 'O' has no Value"),
        (PLAIN + "Outputs: {O: {Value: x, Export: }}\n", "Export of the output 'O' has no Name"),
        (PLAIN + "Metadata: {Ialctl: text}\n", "Ialctl are not keys and values"),
        (PLAIN.replace("{Type: String}", ""), "parameter 'ProjectName' has no Type"),
        (_with("!If [A]"), "If takes a condition's name and two values"),
        (_with("!If [A, b, c]"), "no condition 'A'"),
        (_with("!Sub [a]"), "Sub takes a text"),
        (_with("!Sub '${Nowhere}-x'"), "Sub names 'Nowhere'"),
        (_with("!Join ['-']"), "Join takes a text and a list"),
        (_with("!Ref [a]"), "Ref takes a name"),
        (
            PLAIN + "Conditions: {A: !Not [!Condition B], B: !Not [!Condition A]}\n",
            "conditions need each other in a circle",
        ),
        (PLAIN + "Conditions: {A: !Equals [1]}\n", "Equals takes two values"),
        (PLAIN.replace('Topic"}', 'Topic", Condition: [A]}'), "Condition of 'Topic'"),
        (PLAIN.replace('Topic"}', 'Topic", Properties: [1]}'), "Properties of 'Topic'"),
        (_table("AttributeDefinitions: []"), "'T' has no KeySchema"),
        (
            _table("KeySchema: [], AttributeDefinitions: [], TimeToLiveSpecification: text"),
            "TimeToLiveSpecification of the table 'T' is 'text', not a map",
        ),
    ],
)
def test_a_bad_template_is_refused_in_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    """Every kind of bad template names the file and, where there is one, the line."""
    path = tmp_path / "01-x.yaml"
    path.write_text(text)
    with pytest.raises(TemplateError, match=says) as caught:
        read_template(path)
    assert str(path) in caught.value.what
    assert "\n" not in caught.value.what
    assert caught.value.cure


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """A file that is not UTF-8 is told as such."""
    path = tmp_path / "01-x.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TemplateError, match="can't be read"):
        read_template(path)


def test_a_template_edited_on_windows_is_understood(tmp_path: Path) -> None:
    """A byte order mark and CRLF change nothing."""
    path = tmp_path / "01-x.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + PLAIN.replace("\n", "\r\n").encode())
    template = read_template(path)
    assert list(template.resources) == ["Topic"]
    assert not template.text.startswith("\ufeff")


def test_a_date_stays_a_text(tmp_path: Path) -> None:
    """An unquoted policy version is not turned into a day."""
    text = PLAIN.replace('Topic"}', 'Topic", Properties: {Version: 2012-10-17}}')
    template = make_phase(tmp_path, text).template
    assert template.resources["Topic"]["Properties"]["Version"] == "2012-10-17"


def test_the_shipped_phases_are_in_order() -> None:
    """The key comes before what it encrypts, observability after the tables; three are optional."""
    phases = read_phases(phases_folder(Settings()))
    assert {p.name for p in phases if p.optional} == {"cache", "budget", "conversation-memory"}
    graph = build_graph(select_phases(phases, (), "ial"), phases, {"ProjectName": "ial"})
    assert _ids(graph) == [
        ["kms-key"],
        [
            "operations-table",
            "backup-bucket",
            "access-policies",
            "conversation-memory-optimized",
        ],
        ["dashboard", "alarms"],
    ]


def test_an_import_comes_after_its_export_whatever_the_numbers(tmp_path: Path) -> None:
    """Inside a domain the need decides; without one, phases stand side by side."""
    graph = _graph(
        tmp_path,
        {"01-d/01-a": IMPORTING % "p-B", "01-d/02-b": EXPORTING % "B", "01-d/03-c": PLAIN},
    )
    assert _ids(graph) == [["b", "c"], ["a"]]


def test_a_later_domain_waits_for_an_earlier_one(tmp_path: Path) -> None:
    """Domains go by their numbers, even where nothing is imported."""
    graph = _graph(tmp_path, {"10-late/01-a": PLAIN, "2-early/01-b": PLAIN})
    assert _ids(graph) == [["b"], ["a"]]


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({"01-d/01-a": IMPORTING % "p-Gone"}, "'p-Gone', which no phase exports"),
        (
            {
                "01-d/01-a": (IMPORTING + EXPORTING[len(PLAIN) :]) % ("p-B", "A"),
                "01-d/02-b": (IMPORTING + EXPORTING[len(PLAIN) :]) % ("p-A", "B"),
            },
            "circle: 01-d/0",
        ),
        ({"01-d/01-a": IMPORTING % "p-B", "02-e/01-b": EXPORTING % "B"}, "comes later"),
        (
            {"01-d/01-a": PLAIN + "Metadata: {Ialctl: {DependsOn: [zz]}}\n"},
            "depends on 'zz'",
        ),
    ],
)
def test_an_order_that_can_not_be_is_refused(
    tmp_path: Path, texts: dict[str, str], says: str
) -> None:
    """A missing producer, a circle, a need of a later domain: refused before anything."""
    with pytest.raises(DeployError, match=says):
        _graph(tmp_path, texts)


def test_an_export_of_someone_else_is_accepted(tmp_path: Path) -> None:
    """An export that stands already on the target will do."""
    assert _ids(_graph(tmp_path, {"01-d/01-a": IMPORTING % "vpc"}, ["vpc"])) == [["a"]]


def test_the_phase_that_would_help_is_named(tmp_path: Path) -> None:
    """Importing from an optional phase that is not asked for names the flag."""
    optional = EXPORTING % "B" + "Metadata: {Ialctl: {Optional: true}}\n"
    with pytest.raises(DeployError) as caught:
        _graph(tmp_path, {"01-d/01-a": IMPORTING % "p-B", "01-d/02-b": optional})
    assert caught.value.cure == "Deploy it too: `--with 01-d/02-b`."


@pytest.mark.parametrize("wanted", ["b", "02-b", "01-d/02-b", "01-d/02-b.yaml"])
def test_an_optional_phase_is_deployed_when_asked_or_standing(tmp_path: Path, wanted: str) -> None:
    """By any of its names, or because its stack stands already."""
    make_phase(tmp_path, PLAIN, "01-d/01-a")
    make_phase(tmp_path, PLAIN + "Metadata: {Ialctl: {Optional: true}}\n", "01-d/02-b")
    phases = read_phases(tmp_path)
    assert [p.name for p in select_phases(phases, (), "p")] == ["a"]
    assert [p.name for p in select_phases(phases, (wanted,), "p")] == ["a", "b"]
    assert [p.name for p in select_phases(phases, (), "p", {"p-d-b"})] == ["a", "b"]
    with pytest.raises(UsageError, match="no phase 'zz'"):
        select_phases(phases, ("zz",), "p")


def test_a_folder_without_phases_is_refused(tmp_path: Path) -> None:
    """Missing, empty, with a file that has no number, with two of one name: each is told."""
    with pytest.raises(DeployError, match="no folder"):
        read_phases(tmp_path / "missing")
    with pytest.raises(DeployError, match="holds no phases"):
        read_phases(tmp_path)
    make_phase(tmp_path, PLAIN, "01-d/01-a")
    make_phase(tmp_path, PLAIN, "01-d/02-a")
    with pytest.raises(TemplateError, match="share one stack"):
        read_phases(tmp_path)
    (tmp_path / "01-d" / "zz.yaml").write_text(PLAIN)
    with pytest.raises(TemplateError, match="no number"):
        read_phases(tmp_path)


@pytest.mark.parametrize("notes", ["{Opt: true}", "{Optional: 1}", "{DependsOn: a}"])
def test_metadata_with_a_slip_is_refused(tmp_path: Path, notes: str) -> None:
    """An unknown key or a value of the wrong kind is not passed over."""
    make_phase(tmp_path, PLAIN + f"Metadata: {{Ialctl: {notes}}}\n", "01-d/01-a")
    with pytest.raises(TemplateError, match="Metadata: Ialctl"):
        read_phases(tmp_path)


def test_functions_are_worked_out_as_far_as_can_be_known(tmp_path: Path) -> None:
    """Parameters, conditions, imports and texts resolve; a GetAtt stays unknown."""
    text = PLAIN.replace("String}", "String}\n  Size: {Type: Number, Default: 3}") + (
        "Conditions: {Big: !Not [!Equals [!Ref Size, '3']]}\n"
    )
    resolver = Resolver(
        make_phase(tmp_path, text).template,
        Scope({"ProjectName": "p"}, "us-east-1", "1", {"p-K": "arn:k"}),
    )
    assert resolver.value({"Fn::Sub": "${ProjectName}-${AWS::Region}-${!x}"}) == "p-us-east-1-${x}"
    assert resolver.value({"Fn::ImportValue": {"Fn::Sub": "${ProjectName}-K"}}) == "arn:k"
    assert resolver.value({"Fn::If": ["Big", 1, {"Ref": "AWS::NoValue"}]}) is not None
    assert resolver.value([1, {"Fn::If": ["Big", 1, {"Ref": "AWS::NoValue"}]}]) == [1]
    assert resolver.value({"a": {"Ref": "AWS::NoValue"}, "b": {"Ref": "Size"}}) == {"b": "3"}
    assert resolver.value({"Fn::GetAtt": ["Topic", "Arn"]}) is UNKNOWN
    assert resolver.text({"Fn::Sub": "${Topic.Arn}"}) is None


def test_a_large_template_goes_by_the_bucket(tmp_path: Path) -> None:
    """Over 51,200 bytes: uploaded and named by URL; without a bucket, a clear error."""
    phase = make_phase(tmp_path, PLAIN + "# " + "x" * INLINE_LIMIT_BYTES + "\n")
    clients = StubClients(StubCloudFormation())
    with pytest.raises(TemplateError, match="does not stand yet"):
        template_arguments(clients, phase.template, None)
    sent = template_arguments(clients, phase.template, "b")
    assert sent["TemplateURL"].startswith("https://b.s3.us-east-1.amazonaws.com/templates/")
    assert clients.stub.arguments("put_object")["Body"] == phase.template.text.encode()


def test_parameters_once_given_stay(tmp_path: Path) -> None:
    """A value given now wins; else the stack's own is kept; without any, the flag is named."""
    template = make_phase(tmp_path, PLAIN.replace("}", "}\n  Mail: {Type: String}", 1)).template
    made = parameter_arguments(template, {"ProjectName": "p", "Mail": "m"}, {"Mail": "old"})
    assert made[1] == {"ParameterKey": "Mail", "ParameterValue": "m"}
    kept = parameter_arguments(template, {"ProjectName": "p"}, {"Mail": "old"})
    assert kept[1] == {"ParameterKey": "Mail", "UsePreviousValue": True}
    with pytest.raises(UsageError, match="'Mail'"):
        parameter_arguments(template, {"ProjectName": "p"}, {})
