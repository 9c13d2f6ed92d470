"""HAProxy, each unit by its hash: the splitter's map `haproxy-split.map`, changed at run time and read back.

Server weights (`haproxy`) end at 256 and split requests, not users. With a map the share is exact to 0.01 %, a unit keeps its
arm from step to step, and a HAProxy that is started again reads the same from the file. docs/rollout.md has the few lines that
HAProxy's configuration needs. Only entries that differ are told; after a refusal what was changed is set back, the last first.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from deploy import splitter
from deploy.traffic.base import Adapter, Order, TargetError
from deploy.traffic.haproxy import Options as SocketOptions
from deploy.traffic.haproxy import RuntimeSocket
from schemas.config import Config
from schemas.model import Text

_ENTRY = re.compile(r"^0x[0-9a-f]+ (\S+) (\d+)$", re.MULTILINE)


class Options(SocketOptions):
    """`map`: the file as HAProxy's configuration names it; without it the splitter's own in `traffic_dir`."""

    map: Text | None = None


class HaproxyMap:
    """One map of one HAProxy process."""

    blind = False

    def __init__(self, options: Options, root: Path) -> None:
        self._socket = RuntimeSocket(options)
        self._map, self._root = options.map, root
        self.name = f"{self._socket.name} map"

    def apply(self, order: Order) -> None:
        before, wanted = self._entries(order), _wanted(order)
        if missing := wanted.keys() - before.keys():
            raise TargetError(f"{self.name}: {self._path(order)} has no entry for {', '.join(sorted(missing))}")
        changed: list[str] = []
        for variant in _in_order(before, wanted):
            reply = self._set(order, variant, wanted[variant])
            if reply:
                stuck = [name for name in reversed(changed) if self._set(order, name, before[name])]
                left = f"setting back {', '.join(stuck)} was refused, too" if stuck else "what was changed was set back"
                raise TargetError(f"{self.name} refused {wanted[variant]} for {variant} ({reply}); {left}")
            changed.append(variant)

    def fault(self, order: Order) -> str | None:
        found = self._entries(order)
        for variant, bound in _wanted(order).items():
            if found.get(variant) != bound:
                return f"{self.name} says {found.get(variant)} for {variant}, not {bound}"
        return None

    def _path(self, order: Order) -> str:
        return self._map or str(self._root / order.spec.id / splitter.HAPROXY_MAP)

    def _set(self, order: Order, variant: str, bound: int) -> str:
        return self._socket.ask(f"set map {self._path(order)} {variant} {bound}")

    def _entries(self, order: Order) -> dict[str, int]:
        reply = self._socket.ask(f"show map {self._path(order)}")
        found = {variant: int(bound) for variant, bound in _ENTRY.findall(reply)}
        if not found:
            raise TargetError(f"{self.name} does not show {self._path(order)}: {reply[:200] or 'it is empty'}")
        return found


def _wanted(order: Order) -> dict[str, int]:
    text = splitter.render(order.spec, order.weights)[splitter.HAPROXY_MAP]
    return {variant: int(bound) for variant, bound in (line.split() for line in text.splitlines())}


def _in_order(before: dict[str, int], wanted: dict[str, int]) -> list[str]:
    """What differs, so that no arm gets another's buckets on the way: bounds that fall from the first, then those that rise
    from the last."""
    falling = [name for name in wanted if wanted[name] < before[name]]
    return [*falling, *(name for name in reversed(wanted) if wanted[name] > before[name])]


def _make(options: Options, config: Config) -> Any:
    return HaproxyMap(options, config.traffic)


ADAPTER = Adapter("haproxy-map", Options, _make)
