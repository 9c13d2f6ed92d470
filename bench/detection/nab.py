"""The Numenta Anomaly Benchmark's own scoring (Lavin and Ahmad 2015, section II; numenta/NAB, nab/sweeper.py and
nab/runner.py), over a checkout of that repository.

A row in a labelled window is worth more the earlier it stands in it, only a window's best flagged row counts, a window
without one costs `miss`; a flagged row elsewhere costs up to `false`. The first 15 % of a file (at most 750 rows) are not
judged. One threshold for all files, the best there is; 0 is a detector that never flags, 100 one that flags each window's
first row and nothing else.
"""

from __future__ import annotations

import csv
import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
PROBATION, PROBATION_ROWS = 0.15, 5000
FAR = 3.0
"""So many widths behind a window, a false alarm costs the whole."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a found window is worth, and what a false alarm and a missed window cost."""

    name: str
    found: float
    false: float
    miss: float


PROFILES = (
    Profile("standard", 1.0, 0.11, 1.0),
    Profile("reward_low_FP_rate", 1.0, 0.22, 1.0),
    Profile("reward_low_FN_rate", 1.0, 0.11, 2.0),
)


@dataclass(frozen=True)
class Series:
    """One file: its rows and its labelled windows, as rows [first, last], both inside."""

    name: str
    timestamps: tuple[str, ...]
    values: Floats
    windows: tuple[tuple[int, int], ...]

    @cached_property
    def probation(self) -> int:
        """Rows that are not judged."""
        return int(min(np.floor(PROBATION * len(self.values)), PROBATION * PROBATION_ROWS))

    @cached_property
    def window_of(self) -> npt.NDArray[np.int64]:
        """Per row: which window it lies in, -1 none."""
        which = np.full(len(self.values), -1, np.int64)
        for index, (first, last) in enumerate(self.windows):
            which[first : last + 1] = index
        return which

    @cached_property
    def position(self) -> Floats:
        """Per row its place relative to a window's end, in widths: negative in it, positive behind, FAR + 1 before any."""
        place = np.full(len(self.values), FAR + 1)
        for index, (first, last) in enumerate(self.windows):
            width = last - first + 1
            place[first : last + 1] = -(last - np.arange(first, last + 1) + 1) / width
            until = self.windows[index + 1][0] if index + 1 < len(self.windows) else len(place)
            place[last + 1 : until] = (np.arange(last + 1, until) - last) / (width - 1)
        return place

    @cached_property
    def worth(self) -> Floats:
        """Per row what flagging it earns, before the profile's weights."""
        return np.where(self.position > FAR, -1.0, scaled_sigmoid(self.position))


def scaled_sigmoid(position: Floats | float) -> Floats:
    """1 at a window's begin, 0 at its end, -1 far behind it."""
    return np.asarray(2 / (1 + np.exp(5 * np.minimum(np.asarray(position, float), 100.0))) - 1)


def corpus(repository: Path) -> tuple[Series, ...]:
    """All files of a checkout, by name."""
    labels = json.loads((repository / "labels" / "combined_windows.json").read_text("utf-8"))
    return tuple(_series(repository / "data" / name, name, labels[name]) for name in sorted(labels))


def _series(path: Path, name: str, windows: Sequence[tuple[str, str]]) -> Series:
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    timestamps = tuple(row["timestamp"] for row in rows)
    place = {time: index for index, time in reversed(list(enumerate(timestamps)))}
    found = tuple((place[begin[:19]], place[end[:19]]) for begin, end in windows)
    return Series(name, timestamps, np.array([float(row["value"]) for row in rows]), found)


def half(series: Sequence[Series], which: int) -> tuple[Series, ...]:
    """Every other file by name: 0 is what was tuned on, 1 what was not looked at."""
    return tuple(series[which::2])


def score(files: Iterable[Series], scores: Mapping[str, Floats], profile: Profile) -> tuple[float, float]:
    """The normalized score at the best threshold, and that threshold. `scores`: by file, one per row."""
    flags: list[Floats] = []
    worth: list[Floats] = []
    window: list[npt.NDArray[np.int64]] = []
    windows = 0
    for series in files:
        judged = slice(series.probation, None)
        inside = series.window_of[judged] >= 0
        found = series.worth[judged] * profile.found / scaled_sigmoid(-1.0)
        earns = np.where(inside, found, series.worth[judged] * profile.false)
        flags.append(np.asarray(scores[series.name])[judged])
        worth.append(earns)
        window.append(np.where(inside, series.window_of[judged] + windows, -1))
        windows += len(series.windows)
    totals, thresholds = _sweep(np.concatenate(flags), np.concatenate(worth), np.concatenate(window), profile.miss)
    best = int(np.argmax(totals))
    nothing = totals[0]
    return float(100 * (totals[best] - nothing) / (windows * profile.found - nothing)), float(thresholds[best])


def _sweep(flags: Floats, worth: Floats, window: npt.NDArray[np.int64], miss: float) -> tuple[Floats, Floats]:
    """Totals at all thresholds from above the highest score down, and these thresholds."""
    order = np.argsort(-flags, kind="stable")
    flags, worth, window = flags[order], worth[order], window[order]
    gain = np.where(window < 0, worth, 0.0)
    present = np.unique(window[window >= 0])
    for index in present:
        rows = np.flatnonzero(window == index)
        gain[rows] = np.diff(np.maximum.accumulate(np.concatenate(([-miss], worth[rows]))))
    totals = np.cumsum(gain) - miss * len(present)
    ends = np.append(np.flatnonzero(np.diff(flags)), len(flags) - 1)
    return np.concatenate(([-miss * len(present)], totals[ends])), np.concatenate(([np.inf], flags[ends]))


def published(repository: Path, series: Sequence[Series], detector: str) -> dict[str, Floats]:
    """The rows' scores that the repository has of one of its detectors."""
    return {each.name: _published(repository / "results" / detector, each.name, detector) for each in series}


def _published(folder: Path, name: str, detector: str) -> Floats:
    path = folder / Path(name).parent / f"{detector}_{Path(name).name}"
    with path.open(newline="", encoding="utf-8") as lines:
        return np.array([float(row["anomaly_score"]) for row in csv.DictReader(lines)])


def times_us(series: Series) -> array[int]:
    """Timestamps as the time they have in UTC."""
    return array("q", [round(datetime.fromisoformat(t + "+00:00").timestamp() * 1e6) for t in series.timestamps])
