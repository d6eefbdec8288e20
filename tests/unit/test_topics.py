from __future__ import annotations

import inspect

import pytest

from mosquitto.bus import check_topic, covers, matches
from mosquitto.errors import TopicError
from mosquitto.topics import Topics, level

TOPICS = Topics("chain-1")


def each_topic_with_its_filter() -> list[tuple[str, str]]:
    pairs = []
    for name, _ in inspect.getmembers(Topics, inspect.isfunction):
        if name.startswith("every_"):
            single = getattr(TOPICS, name.removeprefix("every_"), None)
            single = single or getattr(TOPICS, name.removeprefix("every_") + "s")
            count = len(inspect.signature(single).parameters)
            pairs.append((single(*["a", "b"][:count]), getattr(TOPICS, name)()))
    return pairs


def test_every_filter_matches_its_own_topics_and_no_others() -> None:
    pairs = each_topic_with_its_filter()
    assert len(pairs) >= 10
    for topic, _ in pairs:
        check_topic(topic)
        assert [known for known, wanted in pairs if matches(wanted, topic)] == [topic]
        assert matches(TOPICS.everything(), topic)
        assert not matches(Topics("chain-2").everything(), topic)


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "a b", "nul\0", "ümlaut", "x" * 65, "a.b", "$SYS", "a\n"])
def test_names_that_would_reach_into_other_topics_are_refused(name: str) -> None:
    with pytest.raises(TopicError):
        level(name)
    with pytest.raises(TopicError):
        TOPICS.transactions(name, "host")
    with pytest.raises(TopicError):
        Topics(name)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "answer"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("#", "a/b", True),
        ("+/b", "a/b", True),
        ("a/b", "a/bb", False),
        ("#", "$SYS/broker/uptime", False),
        ("+/broker/uptime", "$SYS/broker/uptime", False),
        ("$SYS/#", "$SYS/broker/uptime", True),
        ("a/+", "a/", True),
    ],
)
def test_filters_match_as_mqtt_says(topic_filter: str, topic: str, answer: bool) -> None:
    assert matches(topic_filter, topic) is answer


@pytest.mark.parametrize(
    ("wider", "narrower", "answer"),
    [
        ("#", "a/b", True),
        ("a/#", "a/+/c", True),
        ("a/#", "a", True),
        ("a/+", "a/b", True),
        ("a/+", "a/#", False),
        ("a/b", "a/+", False),
        ("+/b", "a/+", False),
        ("a/+", "a/+", True),
        ("a/+/c", "a/b", False),
        ("#", "$SYS/#", False),
    ],
)
def test_a_filter_covers_another_when_it_matches_all_its_topics(wider: str, narrower: str, answer: bool) -> None:
    assert covers(wider, narrower) is answer
