from __future__ import annotations

import pytest

from schemas.yaml_events import Event, NotYaml, events


def test_events_are_flat_and_have_places() -> None:
    assert list(events("a: &x [1, 'b']\nc: *x\n")) == [
        Event("document", (1, 1), 0),
        Event("mapping", (1, 1), 0),
        Event("scalar", (1, 1), 0, "a", plain=True),
        Event("list", (1, 4), 3, anchor="x"),
        Event("scalar", (1, 8), 7, "1", plain=True),
        Event("scalar", (1, 11), 10, "b"),
        Event("end", (1, 14), 13),
        Event("scalar", (2, 1), 15, "c", plain=True),
        Event("alias", (2, 4), 18, anchor="x"),
        Event("end", (3, 1), 21),
    ]


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("a: [1,\nb: 2\n", (3, 1), "while parsing a flow sequence, expected ',' or ']'"),
        ("a: b: c", (1, 5), "mapping values are not allowed here"),
        ("a:\n\t- b", (2, 1), "cannot start any token"),
        ("a: 1\nb: \x07", (2, 4), "the character U+0007 is not allowed"),
    ],
)
def test_broken_grammar_has_a_place(text: str, place: tuple[int, int], problem: str) -> None:
    with pytest.raises(NotYaml) as caught:
        list(events(text))
    assert caught.value.place == place
    assert problem in str(caught.value)
