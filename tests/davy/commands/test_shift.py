"""`davy shift` and its --undo, with the splitter's files as the only target."""

from __future__ import annotations

from pathlib import Path

import pytest

from davy.commands.shift import shift
from schemas.config import Config
from schemas.errors import UserError
from tests.davy.commands.test_lint import SPEC


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "e.yaml"
    file.write_text(SPEC, "utf-8")
    return file


def test_undo_goes_back_to_before_the_last_change(spec: Path, tmp_path: Path) -> None:
    config = Config(data_dir=str(tmp_path))
    with pytest.raises(UserError, match="nothing was shifted for e here"):
        shift(spec, None, True, config)
    shift(spec, "10%", False, config)
    shift(spec, "50%", False, config)
    weights, trace = shift(spec, "50%", False, config)  # changes nothing, so there is nothing of it to undo
    assert (weights["canary"], trace.fault) == (0.5, None)
    weights, trace = shift(spec, None, True, config)
    assert (weights, trace.fault) == ({"control": 0.9, "canary": 0.1}, None)


def test_it_is_told_what_to_do_in_one_way(spec: Path, tmp_path: Path) -> None:
    for weight, undo in ((None, False), ("10%", True)):
        with pytest.raises(UserError, match="say what to do"):
            shift(spec, weight, undo, Config(data_dir=str(tmp_path)))
