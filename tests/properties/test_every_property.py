"""No property of tests/unit is left out here."""

from pathlib import Path

HERE = Path(__file__).parent


def test_every_file_with_a_property_has_its_long_tests():
    here = "".join(path.read_text() for path in HERE.glob("test_*.py") if path.name != Path(__file__).name)
    short = [path.stem for path in (HERE.parent / "unit").glob("test_*.py") if "\n@holds_for(" in path.read_text()]
    assert len(short) >= 3
    assert [name for name in short if f"with_all_examples({name})" not in here] == []
