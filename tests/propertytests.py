"""Tests of what holds for any input, in two lengths: a sixth of the examples in tests/unit, all of them in tests/properties."""

from hypothesis import HealthCheck, Phase, given, settings

_PART = 6
_FEWEST = 20


def holds_for(*strategies, examples, phases=tuple(Phase)):
    """Makes the short test of a property; `all_examples()` of it makes the long one. Each takes the same examples in every run."""

    def decorate(check):
        def take(count):
            return settings(
                phases=phases,
                derandomize=True,
                deadline=None,
                database=None,
                max_examples=count,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
            )(given(*strategies)(check))

        short = take(min(examples, max(_FEWEST, examples // _PART)))
        short.all_examples = lambda: take(examples)
        return short

    return decorate


def with_all_examples(module):
    """The properties that a module of tests/unit has, by name, as long tests."""
    return {name: test.all_examples() for name, test in vars(module).items() if hasattr(test, "all_examples")}
