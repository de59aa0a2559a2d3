"""What is to be published for Home Assistant, and when: told what there is, it says what has changed. No clock, no I/O:
`now_s` comes in.

A device that is there gets its configuration, retained, once; its state every `every_s`, and when it has come or gone.
One that is there no more gets an empty configuration, which removes it. So does one that an earlier life of this
gateway has left: what is retained is told first (`found`). When Home Assistant starts, all is said again, after a pause
that chance gives (`birth`), so that many gateways do not speak at once.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..settings.home_assistant import HomeSettings
from .payloads import OURS, Seen, at_once, config, config_topic, device_id, object_id, state, state_topic, without


class Publication(NamedTuple):
    topic: str
    payload: str
    is_config: bool  # retained, and at QoS 1; a state is neither


class Plan:
    """Of one gateway."""

    def __init__(self, settings: HomeSettings) -> None:
        self._settings = settings
        self._configs: dict[str, str] = {}  # by topic: what is retained
        self._states: dict[str, tuple[bool, str]] = {}  # what was said of each that cannot wait
        self._stated_s: dict[str, float] = {}
        self._again_s: float | None = None  # when all is said again

    def found(self, topic: str, payload: bytes) -> None:
        """A retained configuration, of an earlier life or of somebody else."""
        known = _read(payload)
        via = known.get("device", {})
        ours = OURS + object_id(self._settings.gateway)
        names = via.get("identifiers") if isinstance(via, dict) else None
        if isinstance(names, list) and (ours in names or via.get("via_device") == ours):
            self._configs.setdefault(topic, payload.decode())

    def birth(self, now_s: float, jitter_s: float) -> None:
        """Home Assistant has started. `jitter_s`: the pause."""
        self._again_s = now_s + jitter_s

    @property
    def again_s(self) -> float | None:
        """When all is to be said again; None: not now."""
        return self._again_s

    def due(self, now_s: float, devices: Iterable[Seen]) -> Iterator[Publication]:
        """What is to be published now. Each counts as published; `failed` takes it back."""
        if self._again_s is not None and now_s >= self._again_s:
            self._again_s = None
            for topic in list(self._configs):
                self._configs[topic] += " "  # it is said again, as it is
            self._states.clear()
        settings = self._settings
        there = {}
        for seen in devices:
            there[device_id(settings, seen)] = seen
        topics = {config_topic(settings, identifier) for identifier in there}
        for topic in [topic for topic in self._configs if topic not in topics]:
            del self._configs[topic]
            yield Publication(topic, "", True)
        for identifier, seen in there.items():
            yield from self._config(identifier, seen)
            topic = state_topic(settings, identifier)
            is_old = now_s - self._stated_s.get(topic, now_s) >= settings.every_s
            if self._states.get(topic) != at_once(seen) or is_old:
                self._states[topic] = at_once(seen)
                self._stated_s[topic] = now_s
                yield Publication(topic, state(seen), False)
        gone = {state_topic(settings, identifier) for identifier in there}
        for topic in [topic for topic in self._states if topic not in gone]:
            del self._states[topic], self._stated_s[topic]

    def _config(self, identifier: str, seen: Seen) -> Iterator[Publication]:
        topic = config_topic(self._settings, identifier)
        wanted = config(self._settings, seen)
        text = json.dumps(wanted, ensure_ascii=False)
        before = self._configs.get(topic)
        if before != text:
            self._configs[topic] = text
            if before is not None and (less := without(_read(before.encode()), wanted)) is not wanted:
                yield Publication(topic, json.dumps(less), True)  # removes what is no more; keys may be any text
            yield Publication(topic, text, True)

    def failed(self, publication: Publication) -> None:
        """It could not be published: it is due again."""
        if publication.is_config and publication.payload:
            self._configs[publication.topic] = publication.payload + " "
        elif publication.is_config:
            self._configs[publication.topic] = "{}"
        else:
            self._states.pop(publication.topic, None)


def _read(payload: bytes) -> dict[str, Any]:
    """What a retained message says, which anybody may have written; empty where it is no JSON object in UTF-8."""
    try:
        known = json.loads(payload.decode())
    except (ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}
