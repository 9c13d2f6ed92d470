from __future__ import annotations

import pytest

from schemas.errors import DavyError, InfrastructureError, UnknownId, UserError
from schemas.located import Errors, Finding
from schemas.spec import SpecErrors


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (UserError("say x"), 2),
        (Errors([Finding("a", 1, 2, "say x")]), 2),
        (SpecErrors([]), 2),
        (UnknownId("say x"), 3),
        (InfrastructureError("say x"), 4),
    ],
)
def test_exit_codes_are_those_of_the_contract(error: DavyError, exit_code: int) -> None:
    assert error.exit_code == exit_code
    assert error.sentence == str(error)
