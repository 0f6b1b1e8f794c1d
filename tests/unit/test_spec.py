"""Specs, sizes, scenarios and plans: what is accepted, and what each refusal says."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.spec.arm import amplify
from harness.spec.boots import default_boots, rounds_per_boot
from harness.spec.kernel import parse_kernel_spec
from harness.spec.plan import plan_blocks
from harness.spec.scenarios import decode, load_scenario, scenario_names
from harness.units import format_size, parse_size


def test_kernel_spec_keeps_patches_in_order():
    spec = parse_kernel_spec("source:6.1+wait-for-victim+./fix.patch")
    assert (spec.kind, spec.argument, spec.patches, spec.is_stock) == (
        "source",
        "6.1",
        ("wait-for-victim", "./fix.patch"),
        False,
    )
    assert parse_kernel_spec("source:6.12").is_stock


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("host", ("host", "", "", ())),
        ("debian:6.1", ("debian", "6.1", "", ())),
        ("debian:6.1.0-56", ("debian", "6.1.0-56", "", ())),
        ("debian:6.12.117+deb12", ("debian", "6.12.117+deb12", "", ())),
        ("tree:../linux", ("tree", "../linux", "", ())),
        ("tree:/src/linux@v6.1+a+./b.patch", ("tree", "/src/linux", "v6.1", ("a", "./b.patch"))),
        ("tree:/src/c++++/me@@work@HEAD@{1}", ("tree", "/src/c++/me@work", "HEAD@{1}", ())),
        ("image:/boot/me@work/bzImage", ("image", "/boot/me@work/bzImage", "", ())),
    ],
)
def test_every_kind_of_kernel_spec_is_read(text, parts):
    spec = parse_kernel_spec(text)
    assert (spec.kind, spec.argument, spec.ref, spec.patches) == parts


@pytest.mark.parametrize(
    ("text", "version", "suite", "patches"),
    [
        ("debian:7.2@sid", "7.2", "sid", ()),
        ("debian:7.3~rc7", "7.3~rc7", "", ()),
        ("debian:6.12.90+deb12.1", "6.12.90+deb12.1", "", ()),
        ("source:6.19.8", "6.19.8", "", ()),
        ("source:7.0.13-1", "7.0.13-1", "", ()),
        ("source:7.2@trixie-backports+wait-for-victim", "7.2", "trixie-backports", ("wait-for-victim",)),
        (
            "source:7.0.13-1~bpo13+1@trixie-backports+a+./b.patch",
            "7.0.13-1~bpo13+1",
            "trixie-backports",
            ("a", "./b.patch"),
        ),
        ("source:6.12.117-1~deb12u1+a", "6.12.117-1~deb12u1", "", ("a",)),
        ("source:6.1+./c++++/me@work.patch", "6.1", "", ("./c++/me@work.patch",)),
    ],
)
def test_versions_of_debian_and_suites_are_read(text, version, suite, patches):
    spec = parse_kernel_spec(text)
    assert (spec.argument, spec.suite, spec.patches) == (version, suite, patches)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "write source:VERSION"),
        ("debian:7.2@", "no SUITE after @"),
        ("source:7.2@/etc", "no SUITE after @"),
        ("source:6.1++x", "write source:VERSION"),
        ("6.1", "write source:VERSION"),
        ("source:", "write source:VERSION"),
        ("source:six", "write source:VERSION"),
        ("source:6.1+", "write source:VERSION"),
        ("source:6.1 ++x", "write source:VERSION"),
        ("host:6.1", "write source:VERSION"),
        ("tree:", "write source:VERSION"),
        ("tree:linux@", "no REF after @"),
        ("debian:bookworm", "is not a Debian kernel; write debian:VERSION"),
        ("debian:6.1+wait-for-victim", r"prebuilt and takes no patch; build it: source:6\.1\+wait-for-victim"),
        ("image:bzImage+./fix.patch", r"prebuilt and takes no patch; build it: tree:PATH"),
    ],
)
def test_unknown_kernel_spec_is_refused_with_the_form(text, says):
    with pytest.raises(UsageError, match=says):
        parse_kernel_spec(text)


@given(st.integers(min_value=1, max_value=1 << 44))
def test_sizes_survive_a_round_trip(size_bytes):
    assert parse_size(format_size(size_bytes)) == size_bytes


@pytest.mark.parametrize("text", ["", "M", "-1M", "1.5M", "1T", "10 apples"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match="not a size"):
        parse_size(text)


def test_every_shipped_scenario_loads_and_needs_a_kill():
    assert "one-big-many-small" in scenario_names()
    for name in scenario_names():
        scenario = load_scenario(name)
        assert not scenario.demand_fits(set(range(len(scenario.hogs)))) or not scenario.has_oracle


def test_one_big_many_small_needs_exactly_one_kill():
    scenario = load_scenario("one-big-many-small")
    assert scenario.hogs[0].name == "big.0"
    assert scenario.demand_fits(set(range(1, len(scenario.hogs))))


def test_demand_is_asked_of_every_limit_and_of_what_outlives_its_process():
    nested = load_scenario("two-containers-one-parent")
    assert not nested.demand_fits(set(range(21)))
    assert nested.demand_fits(set(range(1, 21)))
    assert nested.memory_max_bytes is None
    assert nested.top_level == 1
    four = load_scenario("four-at-once")
    assert four.demand_fits(set(range(1, 84)), victim=0)
    assert not four.demand_fits(set(range(1, 84)))  # three other containers still need their kill
    shmem = load_scenario("shmem-survivor")
    smalls = [n for n, hog in enumerate(shmem.hogs) if hog.name.startswith("small")]
    assert not shmem.demand_fits(set(smalls))  # the shared memory of the dead one is still charged
    assert shmem.demand_fits(set(smalls[:9]))


def test_the_calibration_tries_the_survivors_and_one_more_at_each_limit():
    def tried(name):
        return [(found.limit.name, found.fit, found.over) for found in load_scenario(name).calibrations()]

    assert tried("one-big-many-small") == [("main", [0, 20], [1, 20])]
    assert tried("equal-hogs") == [("main", [2], [3])]
    assert tried("no-victim-then-big") == [("main", [0, 0, 20], [0, 1, 20])]
    assert tried("two-containers-one-parent") == [("parent 1", [0, 20], [1, 20])]  # the other limit is never reached
    assert tried("four-at-once")[1] == ("two", [0, 0, 0, 20, 0, 0, 0, 0], [0, 0, 1, 20, 0, 0, 0, 0])
    assert tried("global-oom") == tried("shmem-survivor") == []


def test_unknown_scenario_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'one-big-many-small'"):
        load_scenario("one-big-many-smal")


_HEAD = 'summary = "x"\n'


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("summary = ", "scenario t"),
        (_HEAD + 'memory_max = "50M"\nhogs = []\n', "0 hogs"),
        (_HEAD + 'memory_max = "50M"\nlimit = 3\nhogs = []\n', "limit"),
        (_HEAD + 'memory_max = "1M"\n[[hogs]]\nname = "a"\ncount = 1\nsize = "1M"\n', "minimum is 6M"),
        (
            _HEAD + 'memory_max = "50M"\n[[hogs]]\nname = "a"\ncount = 1\nsize = "60M"\n',
            r"allowed are 4K to its limit \(50M\)",
        ),
        (
            _HEAD + 'memory_max = "50M"\n[[hogs]]\nname = "a"\ncount = 0\nsize = "10M"\n',
            "count of hog a is 0; allowed are 1",
        ),
        (
            _HEAD + 'memory_max = "50M"\n[[hogs]]\nname = "a:b"\ncount = 9\nsize = "10M"\n',
            "without blank, colon, comma or =",
        ),
        (_HEAD + 'memory_max = "50M"\n[[hogs]]\nname = "a"\ncount = 2\nsize = "10M"\n', "no kill is needed"),
        (_HEAD + 'memory_max = "lots"\nhogs = []\n', "not a size"),
        (_HEAD + 'memory_mx = "50M"\nhogs = []\n', "unknown key 'memory_mx', did you mean memory_max"),
        (
            _HEAD + 'memory_max = "50M"\n[[hogs]]\nname = "a"\nsize = "60M"\nkond = "vm"\n',
            "'kond' of hogs, did you mean kind",
        ),
        (
            _HEAD + 'memory_max = "50M"\n[[hogs]]\nname = "a"\ncount = 9\nsize = "10M"\nkind = "mlok"\n',
            "did you mean mlock",
        ),
        (
            _HEAD + 'memory_max = "50M"\n[[hogs]]\nname = "a"\ncount = 9\nsize = "10M"\ncontainer = "b"\n',
            "container 'b'",
        ),
        (
            _HEAD + 'memory_max = "50M"\n[[hogs]]\nname = "a"\nsize = "40M"\nkind = "fork"\ncount = 2\n',
            'must be "none"',
        ),
        (_HEAD + 'memory_max = "50M"\nexpect = ["dead"]\n[[hogs]]\nname = "a"\ncount = 9\nsize = "10M"\n', "'dead'"),
        (
            _HEAD + 'memory_max = "8M"\nbase_overhead = "9M"\n[[hogs]]\nname = "a"\nsize = "8M"\n',
            "base_overhead alone is 9M",
        ),
        (_HEAD + '[[hogs]]\nname = "a"\nsize = "40M"\noracle = "none"\n', "oracle"),
        (_HEAD + '[[hogs]]\nname = "a"\nsize = "40M"\n', 'where = "guest"'),
        (
            _HEAD + 'cpus = 0.001\nmemory_max = "50M"\n[[hogs]]\nname = "a"\ncount = 9\nsize = "10M"\n',
            "minimum is 0.01",
        ),
    ],
)
def test_a_scenario_that_cannot_be_is_refused_with_the_number(toml, complaint):
    with pytest.raises(UsageError, match=complaint):
        decode("t", toml)


_ENOUGH = 'memory_max = "50M"\n[[hogs]]\nname = "a"\ncount = 9\nsize = "10M"\n'


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("round_deadline_s = nan", "round_deadline_s is nan"),
        ("round_deadline_s = inf", "round_deadline_s is inf"),
        ("round_deadline_s = -1.0", "round_deadline_s is -1"),
        ("round_deadline_s = 0", "round_deadline_s is 0"),
        ("cpus = nan", "cpus is nan"),
        ("cpus = inf", "cpus is inf"),
        ("cpus = -0.5", "cpus is -0.5; allowed are 0 to 4096"),
        ('memory_high = "99999999999G"', "memory_high is 99999999999G"),
        ('memory_swap_max = "99999999999G"', "memory_swap_max is 99999999999G"),
    ],
)
def test_a_number_that_no_round_can_have_is_refused(line, complaint):
    with pytest.raises(UsageError, match=complaint):
        decode("t", f"{_HEAD}{line}\n{_ENOUGH}")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("cycles = -1", "cycles of hog a is -1; allowed are 0 to 1000"),
        ("cycles = 1001", "cycles of hog a is 1001"),
        ("step_rest_ms = -1", "step_rest_ms of hog a is -1"),
        ("phase = -1", "phase of hog a is -1"),
        ("tasks = 0", "tasks of hog a is 0"),
        ('step = "0"', "rests after every 0; the minimum is 4K"),
    ],
)
def test_a_number_that_no_hog_can_have_is_refused(line, complaint):
    with pytest.raises(UsageError, match=complaint):
        decode("t", f"{_HEAD}{_ENOUGH}{line}\n")


def test_a_billion_hogs_are_refused_before_they_are_made():
    with pytest.raises(UsageError, match="count of hog a is 1000000000"):
        decode("t", f"{_HEAD}{_ENOUGH.replace('count = 9', 'count = 1000000000')}")


@given(st.integers(1, 5), st.integers(1, 60), st.integers(1, 9), st.integers(0, 10_000))
def test_a_plan_gives_every_arm_its_rounds_and_interleaves_boots(n_arms, rounds, boots, seed):
    arms = [f"arm{i}" for i in range(n_arms)]
    if rounds < boots:
        with pytest.raises(UsageError):
            plan_blocks(arms, ["s"], rounds, boots, seed)
        return
    blocks = plan_blocks(arms, ["s"], rounds, boots, seed)
    total = Counter()
    for block in blocks:
        total[block.arm] += block.rounds
    assert total == dict.fromkeys(arms, rounds)
    assert [block.boot for block in blocks] == sorted(block.boot for block in blocks)
    assert blocks == plan_blocks(arms, ["s"], rounds, boots, seed)


def test_amplified_kernels_have_the_sleep_below_their_own_patches():
    assert amplify(["source:6.1", "source:6.1+wait-for-victim", "tree:/a++b@v1+./x.patch"]) == (
        "source:6.1+scan-sleeps",
        "source:6.1+scan-sleeps+wait-for-victim",
        "tree:/a++b@v1+scan-sleeps+./x.patch",
    )
    assert amplify(["source:6.1+scan-sleeps"]) == ("source:6.1+scan-sleeps",)
    with pytest.raises(UsageError, match="is not built here"):
        amplify(["debian:6.1"])


@pytest.mark.parametrize(
    ("start_s", "round_s", "expected"), [(1.4, 0.3, 12), (9.8, 0.3, 25), (0.1, 2.0, 4), (1.0, 1.0, 6)]
)
def test_boots_are_as_long_as_their_start_costs(start_s, round_s, expected):
    assert rounds_per_boot(start_s, round_s) == expected


def test_boots_of_a_run_are_many_and_short():
    assert default_boots(40, restored=True) == 8
    assert default_boots(200, restored=True) == 17
    assert default_boots(200, restored=False) == 8
    assert default_boots(400, restored=True, until_decided=True) == 67
    assert default_boots(400, restored=False, until_decided=True) == 50
    assert default_boots(3, restored=True) == 3
