"""The run-time type checker behind PHYSML_TEST_TYPES."""

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep673Exception

# An int where a float is annotated is fine (PEP 484).
_checked = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check(function):
    """`function` with its annotations checked; one that returns `Self` can be checked only when
    the whole class is decorated, and is left as it is."""
    try:
        return _checked(function)
    except BeartypeDecorHintPep673Exception:
        return function
