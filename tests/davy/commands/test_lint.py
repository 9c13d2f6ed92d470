# ruff: noqa: E501  # tables of cases read better with one case a line
from __future__ import annotations

from pathlib import Path

import pytest
import typer

from davy.commands.lint import command, is_config, lint
from schemas.located import read

SPEC = """\
id: e
service: s
environment: p
variants: {control: {version: 1}, canary: {version: 2}}
slis: [{name: x, type: error_ratio}]
steps: [{weight: 10%, duration: 1m}]
"""


def told(folder: Path, **files: str) -> list[str]:
    paths: list[Path] = []
    for name, text in files.items():
        path = folder / f"{name}.yaml"
        path.write_text(text)
        paths.append(path)
    return [str(finding).removeprefix(f"{folder}/") for finding in lint(paths, environ={})]


def test_clean_files(tmp_path: Path) -> None:
    assert told(tmp_path, spec=f"{SPEC}---\n{SPEC.replace('id: e', 'id: f')}", davy="embedded: true\n") == []


def test_findings_of_all_files_in_order(tmp_path: Path) -> None:
    assert told(
        tmp_path, spec=SPEC.replace("10%", "10"), davy="embeded: true\nkafka: {a: '${X}'}\n", empty="# nothing\n", broken="a: ["
    ) == [
        "broken.yaml:1:5: this is not YAML: while parsing a flow node, expected the node content, but found '<stream end>'",
        "davy.yaml:1:1: unknown field 'embeded': did you mean embedded?",
        "davy.yaml:2:12: the environment variable X is not set: set it, or write the value here",
        "empty.yaml:1:1: there is nothing in here: say kind: Experiment, id: ...",
        "spec.yaml:6:18: weight: '10' is more than everything: say 10%",
    ]  # fmt: skip


def test_ids_differ_across_files(tmp_path: Path) -> None:
    found = told(tmp_path, a=SPEC, b=SPEC)
    assert found == [f"b.yaml:1:5: id: 'e' is used already, at {tmp_path}/a.yaml:1: say another"]


def test_a_spec_that_stratifies_by_what_is_not_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = f"{SPEC}stratify: endpoint\n"
    (found,) = told(tmp_path, spec=spec, davy="dimensions: [segment, instance]\n")
    assert found.startswith("spec.yaml:7:11: stratify: rows cannot be compared within each endpoint, since")
    assert told(tmp_path, spec=spec, davy="dimensions: [endpoint]\n") == []
    assert told(tmp_path, spec=spec) == []  # nobody knows what is told apart
    monkeypatch.chdir(tmp_path)
    for dimensions, code in (("segment", 2), ("endpoint", 0)):
        Path("davy.yaml").write_text(f"dimensions: [{dimensions}]\n")
        with pytest.raises(typer.Exit) as ended:
            command([Path("spec.yaml")])
        assert (ended.value.exit_code, "spec.yaml:7:11: " in capsys.readouterr().out) == (code, code == 2)


def test_a_folder_and_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SPEC.replace("id: e", "id: 'e e'"))
    missing, latin = tmp_path / "no.yaml", tmp_path / "latin.txt"
    latin.write_bytes(b"\xe4")
    found = [str(finding).removeprefix(f"{tmp_path}/") for finding in lint([tmp_path, missing, latin])]
    assert [line.split(" ")[0] for line in found] == ["a.yaml:1:5:", "latin.txt:1:1:", "no.yaml:1:1:"]
    assert found[2] == f"no.yaml:1:1: {missing} cannot be read: no such file or directory"


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("kind: Experimnt\nkafka: {}\n", False),
        ("kafka: {}\n", True),
        ("limits: {}\nsteps: []\nmeasures: []\n", True),
        ("id: e\nsteps: []\nspecs: x\n", False),
        ("unknown: 1\n", False),
        ("- a\n", False),
    ],
)
def test_what_is_written_decides(text: str, config: bool) -> None:
    assert is_config(read(text, "x")[0]) is config


def test_probes_outside_of_the_allow_list_and_unknown_kinds(tmp_path: Path) -> None:
    path = tmp_path / "davy.yaml"
    path.write_text(
        "probes:\n  allow: [good]\n  targets:\n    a: {kind: tcp, address: 'bad:1'}\n    b: {kind: telnet, address: 'good:1'}\n"
    )
    found = [str(finding) for finding in lint([path])]
    assert len(found) == 2
    assert ":4:" in found[0]
    assert "probes may not go to bad" in found[0]
    assert ":5:" in found[1]
    assert "there is no probe 'telnet'" in found[1]
