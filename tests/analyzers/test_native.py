"""Loops in machine code: the same answers as Python's, from the cache too."""

from __future__ import annotations

import math
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from analyzers import native
from analyzers.detectors import extremes, seasonal
from analyzers.kernels import extremes as extremes_kernel
from analyzers.native import Native, cache_folder
from tests.analyzers.detectors.test_conformance import noise, times

ROWS = [*noise(200), math.nan, *(value + 4 for value in noise(100, seed=3)), 1e300, -1e300, 0.0, *noise(60, seed=9)]


@pytest.mark.parametrize("loop", [extremes, seasonal])
def test_machine_code_gives_bit_for_bit_what_python_gives(loop: object, monkeypatch: pytest.MonkeyPatch) -> None:
    one = loop.DETECTOR  # type: ignore[attr-defined]
    loop.LOOP.warm()  # type: ignore[attr-defined]
    state, fast = one.step(one.start(), times(0, len(ROWS)), array("d", ROWS))
    kernel = loop.LOOP.python  # type: ignore[attr-defined]
    monkeypatch.setattr(loop, "LOOP", lambda *arrays, rows: kernel(*arrays, rows))
    plain_state, plain = one.step(one.start(), times(0, len(ROWS)), array("d", ROWS))
    assert fast == plain
    assert state.memory.tobytes() == plain_state.memory.tobytes()


def test_its_logarithm_is_one() -> None:
    for x in (0.0, 1e-9, 0.3, 0.5, 1.0, 19.7, 2e10):
        assert math.isclose(extremes_kernel.log1p(x), math.log1p(x), rel_tol=1e-7, abs_tol=1e-12)


def test_another_process_takes_it_from_the_cache_without_the_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    Native(extremes_kernel.extremes, 4).warm()
    assert len(list((tmp_path / "davy" / "native").iterdir())) == 1
    script = (
        "import sys; from analyzers.detectors import extremes; from array import array; d = extremes.DETECTOR;"
        "n = 20_000; _, found = d.step(d.start(), array('q', range(n)), array('d', range(n)));"
        "assert 'numba' not in sys.modules and 'numpy' not in sys.modules; print(sum(found.scores) > 0)"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout == "True\n"


def test_few_rows_are_read_by_python_where_nothing_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(native, "_compile", lambda *_: pytest.fail("compiled"))
    loop = Native(extremes_kernel.extremes, 4)
    memory, scores = array("d", [0.0]) * extremes_kernel.SIZE, array("d", [9.0, 9.0])
    loop(memory, array("d", [0.0, 60.0]), array("d", [1.0, 2.0]), scores, rows=2)
    assert list(scores) == [0.0, 0.0]


def test_the_first_rows_load_no_machine_code_and_those_after_them_go_on_with_it() -> None:
    for loop in (extremes.LOOP, seasonal.LOOP):
        loop.warm()
    script = (
        "import sys; from analyzers.detectors import ensemble; from array import array; d = ensemble.DETECTOR;"
        "rows = array('d', [float(i % 7) for i in range(600)]); at = array('q', range(600)); state, scores = d.start(), [];"
        "state, found = d.step(state, at[:10], rows[:10]); scores += found.scores; assert 'llvmlite' not in sys.modules;"
        "state, found = d.step(state, at[10:], rows[10:]); scores += found.scores; assert 'llvmlite' in sys.modules;"
        "assert scores == list(d.step(d.start(), at, rows)[1].scores)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_cache_folder_that_others_may_write_to_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = cache_folder("native")
    assert folder is not None
    folder.chmod(0o777)
    assert cache_folder("native") is None
