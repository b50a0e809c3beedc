"""The tables of names from elsewhere: they lead to what there is."""

import inspect
import re
from operator import attrgetter

import pytest

import fastmlp
from fastmlp import activations, initialization, losses, metrics, optimizers, schedules
from fastmlp._spec import elsewhere

TABLES = {
    "losses": (losses.ELSEWHERE, losses.LOSSES),
    "activations": (activations.ELSEWHERE, activations.ACTIVATIONS),
    "optimizers": (optimizers.ELSEWHERE, optimizers.OPTIMIZERS),
    "metrics": (metrics.ELSEWHERE, metrics.METRICS),
    "init": (initialization.ELSEWHERE, initialization.INITIALIZATIONS),
}


@pytest.mark.parametrize(("found", "known"), TABLES.values(), ids=TABLES)
def test_tables_lead_to_names_that_are_known(found, known):
    assert {name for names in found.values() for name in names} <= {*known}
    for name in known:
        assert found[elsewhere.plain(name)] == [name], "a name of fastmlp's own means nothing else"


def test_schedules_by_name_are_there():
    for answer in (answer for answers in schedules.ELSEWHERE.values() for answer in answers):
        name = answer.removeprefix("fastmlp.schedules.").removesuffix("(…)")
        assert answer == "a number" or issubclass(getattr(schedules, name), schedules.RateSchedule)


def test_every_answer_of_train_is_a_parameter_of_it_or_in_fastmlp():
    own = inspect.signature(fastmlp.train).parameters
    words = {word for words in elsewhere._KEYWORDS.values() for word in words.split()} - {*own}
    assert len(words) > 100
    for word in words:
        with pytest.raises(TypeError, match=rf"^train\(\) got {word}=; ") as raised:
            fastmlp.train([[1.0]], [1.0], **{word: 1})
        answer = str(raised.value).partition("; ")[2]
        if match := re.match(r"use (\w+)=", answer):
            assert match[1] in own
        else:
            assert answer == "use net.train(X, y), which goes on from where net stands"
        for path in re.findall(r"fastmlp\.([\w.]+)\(", answer):
            assert callable(attrgetter(path)(fastmlp))
