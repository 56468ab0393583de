"""An answer that was not streamed is told to health by a way of its own: it says the same as the general one."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline.routing.health import Health, Sample

_what = st.sampled_from(["answer", "answer", "answer", "failure", "limit", "nothing"])
_later_s = st.sampled_from([0.0, 0.1, 3.0, 20.0, 61.0, 400.0])


@given(st.lists(st.tuples(_what, _later_s), max_size=30))
def test_an_answer_is_the_same_whichever_way_it_is_told(steps: list[tuple[str, float]]) -> None:
    general, short = Health(), Health()
    now_s = 1000.0
    for what, later_s in steps:
        for health in (general, short):
            health.begin("acme/alpha:one", now_s)
        began_s, now_s = now_s, now_s + later_s
        if what == "answer":
            general.observe("acme/alpha:one", Sample(now_s, True, began_s=began_s))
            short.answered("acme/alpha:one", now_s, began_s)
        else:
            sample = Sample(now_s, {"failure": False}.get(what), limited=what == "limit", began_s=began_s)
            for health in (general, short):
                health.observe("acme/alpha:one", sample)
        assert short.figures("acme/alpha:one", now_s) == general.figures("acme/alpha:one", now_s)
        assert short.changes == general.changes
    assert list(short.news(now_s)) == list(general.news(now_s))
