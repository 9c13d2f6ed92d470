"""The folder of specs: what changes is applied once, all of it or nothing."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.spec_folder import SpecFolder

TEXT = """\
id: {name}
service: {name}
environment: test
variants: {{control: {{version: "1"}}, canary: {{version: "2"}}}}
slis: [{{name: errors, type: error_ratio, max_increase: {limit}}}]
steps: [{{weight: 25%, duration: 1m}}]
"""


def write(folder: Path, name: str, limit: str = "1pp") -> None:
    path = folder / f"{name}.yaml"
    path.write_text(TEXT.format(name=name, limit=limit))
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))


def ids(folder: SpecFolder, **in_force: str) -> list[str]:
    specs, wrong = folder.changed(in_force)
    assert wrong is None
    return [spec.id for spec in specs]


def test_what_changed_is_given_out_once(tmp_path: Path) -> None:
    folder = SpecFolder(tmp_path / "specs")
    assert ids(folder) == []
    folder.path.mkdir()
    assert ids(folder) == []
    write(folder.path, "a")
    write(folder.path, "b")
    assert (ids(folder), ids(folder)) == (["a", "b"], [])
    write(folder.path, "b", "2pp")
    assert (ids(folder), ids(folder)) == (["b"], [])
    (folder.path / "a.yaml").unlink()
    assert ids(folder) == []


def test_what_is_in_force_already_is_not_applied_again_after_a_restart(tmp_path: Path) -> None:
    write(tmp_path, "a")
    (first,), _ = SpecFolder(tmp_path).changed({})
    assert ids(SpecFolder(tmp_path), a=first.digest) == []
    assert ids(SpecFolder(tmp_path), a="of another") == ["a"]


def test_a_bad_file_keeps_everything_as_it_is_and_is_told_once(tmp_path: Path) -> None:
    folder = SpecFolder(tmp_path)
    write(tmp_path, "a")
    assert ids(folder) == ["a"]
    write(tmp_path, "a", "2pp")
    write(tmp_path, "b", "much")
    specs, wrong = folder.changed({})
    assert (specs, wrong is not None and "b.yaml:5:" in wrong) == ([], True)
    assert folder.changed({}) == ([], None)
    write(tmp_path, "b")
    assert ids(folder) == ["a", "b"]
