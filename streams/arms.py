"""What a closed window holds of a spec's arms: all of them, by segment, by instance."""

from __future__ import annotations

from collections.abc import Mapping

from analyzers.arm import EMPTY, ArmWindow, Instances
from schemas.spec import ExperimentSpec
from streams.producers import PRODUCER, by_producer
from streams.windows import Group, Label, Windows

NOTHING = (EMPTY, 0)
NOBODY: tuple[Instances, Instances] = ({}, {})


def group_of(spec: ExperimentSpec) -> Group:
    """Where an experiment's cells are kept."""
    return (spec.id, spec.service, spec.environment)


def arms_of(spec: ExperimentSpec, labels: Mapping[Label, ArmWindow]) -> dict[str, tuple[ArmWindow, int]]:
    """Per arm what counts as its evidence, and the rows that carry another version than the arm's."""
    arms: dict[str, tuple[ArmWindow, int]] = {}
    for (version, variant), content in labels.items():
        name = spec.arm_of(version, variant)
        if name is None:
            continue
        counted, wrong = arms.get(name, NOTHING)
        if version == spec.variants[name].version:
            arms[name] = (content if counted is EMPTY else counted + content, wrong)
        else:
            arms[name] = (counted, wrong + content.rows)
    return arms


def instances_of(
    spec: ExperimentSpec, candidate: str, start_us: int, windows: Windows
) -> tuple[Instances, Instances]:  # fmt: skip
    """Control's and the candidate's, where cells tell them apart."""
    told = windows.values_at(group_of(spec), PRODUCER, start_us)
    if not told:
        return NOBODY
    control, canary = (dict(sorted(by_producer(spec, told, arm).items())) for arm in (spec.control, candidate))
    return control, canary


def strata_of(
    spec: ExperimentSpec, candidate: str, start_us: int, windows: Windows
) -> tuple[tuple[ArmWindow, ArmWindow], ...]:  # fmt: skip
    """Control and candidate by segment, where the spec compares within segments."""
    if spec.stratify is None:
        return ()
    found = windows.strata(group_of(spec), start_us)
    strata = [arms_of(spec, found[name]) for name in sorted(found, key=lambda name: (name is not None, name or ""))]
    return tuple((arms.get(spec.control, NOTHING)[0], arms.get(candidate, NOTHING)[0]) for arms in strata)
