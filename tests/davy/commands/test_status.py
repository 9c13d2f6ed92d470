"""What `davy status` prints: a line for each experiment, and for each of several candidates."""

from __future__ import annotations

import re
from dataclasses import replace

from davy.commands.status import table
from davy.web.state import Experiment, State
from schemas.spec import load_specs
from tests.support.served import SECOND, another, verdict

END = 1_760_000_000 * SECOND
TWO = """\
apiVersion: davy/v1
kind: Experiment
id: cart-two
service: cart
environment: test
variants: {control: {version: "1"}, blue: {version: "2"}, green: {version: "3"}}
slis: [{name: errors, type: error_ratio, max_increase: 1pp}]
steps: [{weight: 20%, duration: 30s}]
"""


def test_several_candidates_have_a_line_each_and_one_needs_no_name() -> None:
    state, two, one = State(), load_specs(TWO)[0], another("shop")
    state.experiments[two.id] = Experiment(two, 1, "ann", {"control": 0.8, "blue": 0.2, "green": 0.0})
    state.experiments[one.id] = Experiment(one, 1, "ann", {"control": 0.9, "canary": 0.1})
    for number, name, action, conclusion in ((1, "blue", "HOLD", "INVALID"), (2, "green", "ROLLBACK", "HARM")):
        state.take(replace(verdict(action, conclusion, number, END, spec=two), variant=name))
    state.take(verdict("CONTINUE", "HEALTHY", 1, END, spec=one))
    lines = table(state, [two.id, one.id], END + SECOND, False).splitlines()
    shown = [re.split(r" {2,}", line)[:-1] for line in lines[1:]]
    assert shown == [
        ["cart-two", "–", "control 80 %, blue 20 %", "blue: HOLD"],
        ["", "green: ROLLBACK"],
        ["shop", "–", "control 90 %, canary 10 %", "CONTINUE"],
    ]
