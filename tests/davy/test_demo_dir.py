"""The demo's folder is fresh, and nothing of others is ever removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from davy.demo_dir import CONFIG, MARKER, STATE, demo_dir
from schemas.errors import UserError


def test_an_earlier_demos_state_goes_and_the_rest_stays(tmp_path: Path) -> None:
    with demo_dir(tmp_path / "d") as path:
        (path / CONFIG).write_text("old")
        (path / "logs").mkdir()
        (path / "logs" / "x.log").write_text("old")
        (path / "notes.txt").write_text("mine")
    with demo_dir(tmp_path / "d") as path:
        assert sorted(entry.name for entry in path.iterdir()) == sorted([MARKER, "notes.txt"])


@pytest.mark.parametrize("name", STATE)
def test_a_service_s_folder_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "precious").write_text("x")
    with pytest.raises(UserError, match=f"holds {name}, which no demo has made"), demo_dir(tmp_path):
        pass
    assert (tmp_path / name / "precious").read_text() == "x"
    assert not (tmp_path / MARKER).exists()


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "precious").write_text("x")
    with demo_dir(tmp_path / "d") as path:
        (path / "logs").symlink_to(target)
    with demo_dir(tmp_path / "d") as path:
        assert not (path / "logs").exists()
    assert (target / "precious").exists()


def test_two_demos_at_once_are_refused(tmp_path: Path) -> None:
    with (
        demo_dir(tmp_path),
        pytest.raises(UserError, match="another demo is running"),
        demo_dir(tmp_path),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UserError, match="cannot be used for the demo's data"), demo_dir(file / "d"):
        pass
    assert os.listdir(tmp_path) == ["file"]
