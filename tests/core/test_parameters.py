"""Generation parameters: what can't be meant is refused, what nobody knows is passed on."""

import numpy as np
import pytest

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.parameters import KNOWN_PARAMETERS, check_parameters


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "hot"),
        ("temperature", -0.1),
        ("temperature", True),
        ("temperature", float("nan")),
        ("max_tokens", 0),
        ("max_new_tokens", 1.5),
        ("top_p", 1.01),
        ("top_k", -2),
        ("seed", "x"),
        ("stop", 3),
        ("stop", ["a", 3]),
        ("repeat_penalty", -1),
        ("prompt_format", 3),
    ],
)
def test_a_value_that_can_not_be_meant_is_refused_by_its_name(name, value):
    with pytest.raises(UsageError, match=f"^{name} must be "):
        check_parameters({"temperature": 0.5, name: value})


def test_what_is_meant_passes():
    """Also numpy's numbers, null for "leave it out", and what only the server knows."""
    check_parameters(
        {
            "temperature": np.float64(0),
            "max_tokens": np.int64(5),
            "top_k": -1,
            "stop": ("a", "b"),
            "seed": None,
        }
    )
    check_parameters({"min_p": 0.1, "reasoning_effort": "low", "logit_bias": {"5": -100}})
    check_parameters(dict.fromkeys(KNOWN_PARAMETERS))


def test_a_slip_of_a_known_name_is_no_parameter_of_the_servers():
    with pytest.raises(NotFound, match="temprature"):
        check_parameters({"temprature": 0.5})
