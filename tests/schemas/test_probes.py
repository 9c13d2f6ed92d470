"""`probes:` in davy.yaml: the allow-list, and what a target must say."""

from __future__ import annotations

import pytest

from schemas.config import parse_config
from schemas.located import Errors

TARGET = "probes:\n  allow: [{allow}]\n  targets:\n    sessions: {{kind: redis, address: '{address}'}}\n"


@pytest.mark.parametrize(
    ("allow", "address"),
    [
        ("10.0.0.0/8", "10.2.3.4:6379"),
        ("'*.internal'", "redis://user:secret@sessions.internal:6379/0"),
        ("cache", "cache:6379"),
        ("'::1/128'", "[::1]:6379"),
    ],
)
def test_what_the_list_names_may_be_probed(allow: str, address: str) -> None:
    config = parse_config(TARGET.format(allow=allow, address=address), "davy.yaml", {})
    assert config.probes.refused() == {}
    assert "secret" not in repr(config)


@pytest.mark.parametrize(
    ("allow", "address"),
    [("", "10.2.3.4:6379"), ("10.0.0.0/8", "11.0.0.1:1"), ("'*.internal'", "internal:1"), ("a", "b:1")],
)
def test_all_else_is_a_finding_at_its_line(allow: str, address: str) -> None:
    with pytest.raises(Errors) as errors:
        parse_config(TARGET.format(allow=allow, address=address), "davy.yaml", {})
    (finding,) = errors.value.findings
    assert (finding.file, finding.line) == ("davy.yaml", 4)
    assert "put it into probes.allow" in finding.message


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("{kind: tcp}", "say address"),
        ("{kind: command, address: 'a:1'}", "say address, or for kind: command"),
        ("{kind: tcp, address: 'http://'}", "address has no host"),
        ("{kind: tcp, address: 'a:99999'}", "address has no host"),
        ("{kind: tcp, address: 'a:1', every: 0s}", "no time at all"),
        ("{kind: tcp, address: 'a:1', open_after: 0}", "open_after"),
    ],
)
def test_a_target_that_is_not_one(target: str, told: str) -> None:
    with pytest.raises(Errors, match=told):
        parse_config(f"probes: {{allow: [a], targets: {{one: {target}}}}}", "davy.yaml", {})


def test_a_command_must_be_allowed_too() -> None:
    text = "probes: {allow: [ALLOW], targets: {one: {kind: command, command: [/bin/check, --fast]}}}"
    assert parse_config(text.replace("ALLOW", "/bin/check"), "davy.yaml", {}).probes.refused() == {}
    with pytest.raises(Errors, match="may not go to /bin/check"):
        parse_config(text.replace("ALLOW", "/bin/other"), "davy.yaml", {})
