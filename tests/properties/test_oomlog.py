"""What holds for any log (tests/unit/test_oomlog_properties.py), with all of the examples."""

from propertytests import with_all_examples

from tests.unit import test_oomlog_properties

globals().update(with_all_examples(test_oomlog_properties))
