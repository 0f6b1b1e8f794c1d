"""How the program fares at its memory limit, on any kernel: pytest --kernel host --kernel debian:6.1"""

import pytest


def test_its_jobs_fit(memcg_container, image):
    end = memcg_container(image, ["/pool", "8", "8", "8"], memory="32M")
    assert end.exit_code == 0
    assert not end.kills


def test_a_leak_ends_at_the_limit(memcg_container, image):
    end = memcg_container(image, ["/pool", "leak"], memory="32M")
    assert end.exit_code == 137
    assert end.oom_killed
    assert [kill.comm for kill in end.kills] == ["pool"]


def test_a_job_that_is_too_big_costs_that_job_only(memcg_container, image):
    end = memcg_container(image, ["/pool", "8", "64", "8"], memory="32M")
    assert end.exit_code == 3
    assert end.logs.splitlines() == ["job 1: done", "job 2: lost, killed by signal 9", "job 3: done"]
    assert len(end.kills) == 1


def test_a_neighbour_is_spared(memcg_container, oom_watch, image):
    with oom_watch() as seen:
        leaking = memcg_container(image, ["/pool", "leak"], memory="32M")
        modest = memcg_container(image, ["/pool", "8"], memory="32M")
    assert modest.exit_code == 0
    assert [kill.container for kill in seen.kills] == [leaking.name]


def test_the_engine_limits_memory(docker_client, guest, kernel):
    assert docker_client.info()["MemoryLimit"]
    assert (guest is None) == (kernel == "host")


@pytest.mark.oom_scenario("one-big-many-small", rounds=12, boots=1)
def test_the_kernel_kills_in_vain_less_often_than_not(trial):
    result = trial()
    assert result.failed_rounds == 0
    assert len(result.kills) >= 12
    result.assert_rate_below(0.9)
