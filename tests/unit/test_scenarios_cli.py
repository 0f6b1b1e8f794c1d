"""`oomtrial scenarios`: what it prints is a scenario file, and what it writes can be run."""

import json
import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from rich.console import Console

from harness.cli import cli
from harness.errors import CHECK_FAILED, UsageError
from harness.report.scenariotable import print_scenarios
from harness.spec.demand import check_demand
from harness.spec.scenariofile import ContainerLimits, HogGroup, ParentLimits, ScenarioFile
from harness.spec.scenarios import decode, load_scenario, scenario_names, scenario_template

STRUCTS = {"": ScenarioFile, "hogs": HogGroup, "containers": ContainerLimits, "parents": ParentLimits}


def invoke(*arguments):
    done = CliRunner().invoke(cli, ["scenarios", *arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


@pytest.mark.parametrize("name", scenario_names())
def test_what_is_printed_is_the_file(name, tmp_path):
    text = invoke(name)
    assert tomllib.loads(text)["summary"]
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert load_scenario(str(path)).version == load_scenario(name).version


def test_a_list_is_a_table_and_one_can_be():
    assert "what happens" in invoke()
    assert "what happens" in invoke("one-big-many-small", "--format", "table")
    assert json.loads(invoke("equal-hogs", "--format", "json"))[0]["name"] == "equal-hogs"
    assert len(json.loads(invoke("--format", "json"))) == len(scenario_names())


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_of_80_columns_has_the_whole_table(width):
    console = Console(width=width, force_terminal=True, color_system=None)
    scenarios = [load_scenario(name) for name in scenario_names()]
    with console.capture() as shown:
        print_scenarios(console, scenarios)
    lines = shown.get().replace("\N{NO-BREAK SPACE}", " ").splitlines()
    assert "…" not in shown.get()
    assert max(map(len, lines)) <= width
    start = next(line.index("what happens") for line in lines if "what happens" in line)
    squeezed = "".join("".join(line[start:] for line in lines).split())
    assert [one.name for one in scenarios if "".join(one.summary.split()) not in squeezed] == []
    assert all(any(line.lstrip().startswith(one.name) for line in lines) for one in scenarios)


def test_the_schema_has_every_key_with_what_it_means():
    schema = json.loads(invoke("--schema"))
    for struct in STRUCTS.values():
        properties = schema["$defs"][struct.__name__]["properties"]
        assert set(properties) == {field.name for field in msgspec.structs.fields(struct)}
        assert all(each["description"].endswith(".") for each in properties.values())
    hog = schema["$defs"]["HogGroup"]["properties"]
    assert "vfork" in hog["kind"]["enum"]
    assert re.fullmatch(hog["size"]["pattern"], "20M")
    assert not re.fullmatch(hog["size"]["pattern"], "thirty")


def test_the_template_is_the_scenario_that_shows_most_and_has_every_key():
    text = scenario_template()
    of_template, known = decode("x", text), load_scenario("one-big-many-small")
    assert (of_template.limits, of_template.hogs) == (known.limits, known.hogs)
    table, seen = "", {name: set() for name in STRUCTS}
    for line in text.splitlines():
        if heading := re.fullmatch(r"(?:# )?\[\[(\w+)\]\]", line):
            table = heading[1]
        elif key := re.match(r"(?:# )?(\w+) = ", line):
            seen[table].add(key[1])
    tables = {"hogs", "containers", "parents"}
    for name, struct in STRUCTS.items():
        assert seen[name] == {field.name for field in msgspec.structs.fields(struct)} - tables, name


def test_every_default_of_the_template_is_the_default():
    table, defaults = "", {}
    for line in scenario_template().splitlines():
        if heading := re.fullmatch(r"(?:# )?\[\[(\w+)\]\]", line):
            table = heading[1]
        elif value := re.match(r"# (\w+) = ([^#]*)", line):
            defaults[table, value[1]] = tomllib.loads(f"x = {value[2]}")["x"]
    for (table, key), value in defaults.items():
        (field,) = (field for field in msgspec.structs.fields(STRUCTS[table]) if field.name == key)
        if key not in (
            "shows",
            "memory_high",
            "memory_max",
            "machine_max",
            "name",
            "step",
            "reads",
        ):  # examples: their default is none
            assert value == (list(field.default) if isinstance(field.default, tuple) else field.default), key


def test_a_new_one_is_written_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = invoke("new", "mine")
    assert shown.splitlines()[0] == "mine.toml"
    assert "scenarios check 'two words.toml'\n" in invoke("new", "two words")  # a shell takes it
    assert load_scenario("mine.toml").name == "mine"
    Path("mine.toml").write_text("precious")
    done = CliRunner().invoke(cli, ["scenarios", "new", "mine.toml"])
    assert isinstance(done.exception, UsageError)
    assert "mine.toml exists already" in str(done.exception)
    assert Path("mine.toml").read_text() == "precious"


BASE = 'summary = ""\nmemory_max = "30M"\n[[hogs]]\nname = "a"\nsize = "40M"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BASE.replace('"30M"', '"thirty"'), "memory_max is not a size: 'thirty'; write a number with K, M or G"),
        (BASE.replace('"40M"', '"forty"'), "size of hog a is not a size: 'forty'"),
        (BASE.replace("[[hogs]]", '[[parents]]\nmemory_high = "x"\n[[hogs]]'), "memory_high of parent 1 is not a size"),
        (
            BASE.replace("[[hogs]]", '[[containers]]\nname = "c"\nmemory_max = "x"\n[[hogs]]'),
            "memory_max of container c is",
        ),
        (BASE.replace('"30M"', '"1K"'), "memory_max of main is 1K"),
        (BASE.replace("[[hogs]]", "[[hogs]]\ncount = 0"), "count of hog a is 0; allowed are 1 to 512"),
        (BASE.replace("[[hogs]]", "[[hogs]]\nknd = 1"), "unknown key 'knd' of hogs, did you mean kind?"),
    ],
)
def test_what_is_wrong_names_file_and_key(tmp_path, text, says):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_scenario(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)


def test_a_missing_file_is_not_an_unknown_scenario(tmp_path):
    with pytest.raises(UsageError, match=r"there is no scenario file .*none\.toml; `oomtrial scenarios new NAME`"):
        load_scenario(str(tmp_path / "none.toml"))


def test_a_check_says_how_many_kills_are_needed_and_what_is_left():
    assert invoke("check", "one-big-many-small").splitlines() == [
        "one-big-many-small: memory.max 30.0 MiB, 21 processes, declared demand 45.9 MiB",
        "  1 kill is needed (the largest first); the survivors then use 25.8 MiB and leave 4.2 MiB",
    ]
    assert 'oracle = "none"' in invoke("check", "fork-storm")


@pytest.mark.parametrize("name", scenario_names())
def test_no_scenario_of_the_package_is_too_tight(name):
    assert "too tight" not in invoke("check", name)


def test_a_check_agrees_with_the_calibration():
    """Kills are what is left out of the hogs that the calibration starts."""
    for name in scenario_names():
        scenario = load_scenario(name)
        kills = {each.limit: each.kills_needed for each in check_demand(scenario)}
        for calibration in scenario.calibrations():
            if not any(group.until_enomem for group in scenario.file.hogs):
                held = sum(calibration.limit.name in hog.containers for hog in scenario.hogs)
                assert kills[calibration.limit] == held - sum(calibration.fit), name


def test_a_scenario_without_room_for_its_survivors_fails_the_check(tmp_path):
    path = tmp_path / "tight.toml"
    text = load_scenario("one-big-many-small").text
    path.write_text(re.sub("(?m)^memory_max = .*$", 'memory_max = "26500K"', text))
    done = CliRunner().invoke(cli, ["scenarios", "check", str(path)])
    assert done.exit_code == CHECK_FAILED
    assert "too tight" in done.output
