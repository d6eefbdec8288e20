from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from mosquitto.bus import check_filter, check_topic, covers, matches
from mosquitto.errors import TopicError

names = st.sampled_from(["a", "b", "$s", ""])
topics = st.lists(names, min_size=1, max_size=4).map("/".join).filter(bool)
bodies = st.lists(st.one_of(names, st.just("+")), min_size=1, max_size=4)
filters = st.tuples(bodies, st.booleans()).map(lambda f: "/".join([*f[0], "#"] if f[1] else f[0])).filter(bool)


def narrowed(wider: str, draw: st.DataObject, wildcards: bool) -> str:
    """One of the filters, or (without wildcards) topics, that lie within `wider`."""
    levels: list[str] = []
    for part in wider.split("/"):
        if part == "#":
            tail = st.lists(st.one_of(names, st.just("+")) if wildcards else names, max_size=3)
            levels += draw.draw(tail) + (["#"] if wildcards and draw.draw(st.booleans()) else [])
        elif part == "+" and not (wildcards and draw.draw(st.booleans())):
            levels.append(draw.draw(names))
        else:
            levels.append(part)
    return "/".join(levels)


@given(filters, st.data())
def test_a_filter_covers_what_lies_within_it_and_matches_its_topics(wider: str, draw: st.DataObject) -> None:
    narrower = narrowed(wider, draw, wildcards=True)
    topic = narrowed(narrower, draw, wildcards=False)
    assume(narrower and topic and "$" not in narrower[:1] + topic[:1])
    assert covers(wider, narrower)
    assert matches(narrower, topic)
    assert matches(wider, topic)


@given(filters, filters, topics)
def test_a_topic_of_the_narrower_that_the_wider_misses_means_it_does_not_cover(
    wider: str, narrower: str, topic: str
) -> None:
    if matches(narrower, topic) and not matches(wider, topic):
        assert not covers(wider, narrower)


@given(filters, topics)
def test_generated_filters_and_topics_are_well_formed_and_cover_themselves(wanted: str, topic: str) -> None:
    check_filter(wanted)
    check_topic(topic)
    assert covers(wanted, wanted)
    assert matches(topic, topic)


@given(st.text(max_size=10))
def test_any_text_is_a_topic_or_a_topic_error(text: str) -> None:
    try:
        check_topic(text)
    except TopicError:
        return
    assert matches(text, text)
