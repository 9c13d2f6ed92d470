"""Every notebook runs from top to bottom on the embedded engine; those on history see what a real run left behind."""

from __future__ import annotations

from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient

from davy.store import ask
from schemas.config import Config
from tests.support.demo import END_S, running, to_its_end

HOME = Path(__file__).parents[2] / "notebooks"
OF_A_RUN = ("first_look.py", "rollback.py", "error_budgets.py")
OF_SIMULATIONS = ("calibration.py", "design.py")
AFTERWARDS = """
    SELECT count() FROM windows WHERE variant = 'control' AND start > (
        SELECT max(time) + INTERVAL 5 SECOND FROM decisions WHERE kind = 'rollback' AND outcome = 'DONE')
"""
"""Windows that began when nobody met the candidate any more; none while the rollback is not in the store."""


@pytest.mark.usefixtures("alone")
def test_a_release_that_is_rolled_back_is_told_by_its_notebooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config().with_data_dir(tmp_path)
    with running("errors", tmp_path) as demo:
        to_its_end(demo, tmp_path, "ROLLBACK")
        demo.until(lambda line: ask(config, AFTERWARDS).rows[0][0] >= 2, END_S)
        assert demo.end() == 1
    monkeypatch.setenv("DAVY_DIR", str(tmp_path))
    for name in OF_A_RUN:
        execute(name)


@pytest.mark.parametrize("name", OF_SIMULATIONS)
def test_simulated_releases_are_told_by_theirs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAVY_TRIALS", "4")
    monkeypatch.setenv("DAVY_SEEDS", "1")
    execute(name)


def execute(name: str) -> None:
    """Run every cell; a notebook has a title, a plot and something to read."""
    notebook = jupytext.read(HOME / name)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(HOME)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs), f"{name} has no plot"
    assert any(output.output_type == "stream" and output.name == "stdout" for output in outputs)
    assert [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"] == []
    assert notebook.cells[0].source.startswith("# ")


def test_none_is_left_out() -> None:
    there = {path.name for path in HOME.glob("*.py")} - {"trials.py"}
    assert there == {*OF_A_RUN, *OF_SIMULATIONS}
    text = (HOME / "README.md").read_text()
    assert [name for name in there if f"[{name}]({name})" not in text] == []
