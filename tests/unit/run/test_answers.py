"""What a run is started with is never evaluated, and is of the kind that was asked for."""

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput
from ansible_collections.dualwrite.rollback.plugins.module_utils.run.answers import KINDS, require_plain
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.run_answers import run_answers

LOOKUP = "lookup('pipe', 'id')"


def refused(answers):
    with pytest.raises(InvalidInput) as told:
        require_plain(answers)
    return told.value


@pytest.mark.parametrize(
    "hostile",
    [
        f"{{{{ {LOOKUP} }}}}",
        f"a reason {{{{{LOOKUP}}}}} with more",
        f"{{%- if {LOOKUP} %}}{{%- endif %}}",
        "{# nothing to see #}",
        f"#jinja2: variable_start_string:'[[', variable_end_string:']]'\n[[ {LOOKUP} ]]",
    ],
)
@pytest.mark.parametrize(
    ("place", "wrap"),
    [
        ("dualwrite_reason", lambda text: text),
        ("dualwrite_symptoms[1]", lambda text: ["requests_failing", text]),
        ("anything.deep[0].er", lambda text: {"deep": [{"er": text}]}),
        ("anything", lambda text: {text: 1}),
    ],
)
def test_a_template_is_refused_wherever_it_stands_and_never_repeated(place, wrap, hostile):
    name = place.split("[")[0].split(".")[0]
    error = refused({"dualwrite_ticket": "INC-1", name: wrap(hostile)})
    assert error.where == place
    assert "never evaluated" in str(error)
    assert "pipe" not in str(error)


def test_a_template_in_the_name_of_a_variable_is_refused_and_not_shown():
    error = refused({f"x{{{{ {LOOKUP} }}}}": 1})
    assert "{{" not in error.where
    assert len(error.where) <= 60


@pytest.mark.parametrize(
    ("name", "answer", "told"),
    [
        ("dualwrite_reason", ["a", "list"], "must be a text, and is a list"),
        ("dualwrite_ticket", {"a": 1}, "must be a text, and is a mapping"),
        ("dualwrite_confirm", True, "must be a text, and is true or false"),
        ("dualwrite_reason", None, "must be a text, and is nothing"),
        ("dualwrite_budget", "soon", "must be a number, 0 or more, and is a text"),
        ("dualwrite_budget", "nan", "must be a number"),
        ("dualwrite_watch", -1, "must be a number"),
        ("dualwrite_hold", [5], "must be a number, 0 or more, and is a list"),
        ("dualwrite_trend", -1, "must be a number"),
        ("dualwrite_execute", "maybe", "must be true or false, and is a text"),
        ("dualwrite_execute", "", "must be true or false"),
        ("dualwrite_drill_recover", "the last one", "must be true or false, and is a text"),
        ("dualwrite_symptoms", {"requests_failing": True}, "must be a text or a list of texts, and is a mapping"),
        ("dualwrite_symptoms", ["requests_failing", 5], "must be a text or a list of texts, and is a list"),
    ],
)
def test_an_answer_of_another_kind_is_refused(name, answer, told):
    error = refused({name: answer})
    assert error.where == name
    assert told in str(error)


def test_plain_answers_of_every_kind_are_taken():
    answers = {
        "dualwrite_reason": "p95 > 2x; 100 % of {vnext} calls, see #incident {1}",
        "dualwrite_ticket": 4711,
        "dualwrite_budget": "300",
        "dualwrite_watch": 0,
        "dualwrite_execute": "yes",
        "dualwrite_accept_divergence": False,
        "dualwrite_symptoms": "requests_failing,test_data_left",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "of_the_inventory": {"any": [1, None, 2.5]},
    }
    assert require_plain(answers) == len(answers) - 1
    assert require_plain({}) == 0
    assert {name.partition("_")[0] for name in KINDS} == {"dualwrite"}


def test_whoever_hands_no_answers_over_is_told_so():
    with pytest.raises(InvalidInput, match="only the controller knows"):
        run_answers({})
