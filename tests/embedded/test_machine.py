"""Whether this machine can run the local model: each reason comes with what mends it."""

import pytest

from trunkline.embedded import machine

CPUINFO = "\n\n".join(
    f"processor\t: {n}\nflags\t\t: fpu sse2 avx2 fma bmi2\nphysical id\t: {n // 4}\ncore id\t\t: {n % 4 // 2}\n"
    for n in range(8)
)


def test_this_machine_can_run_it() -> None:
    assert machine.runtime_reasons() == []
    assert machine.physical_cores() >= 1


def test_an_old_processor_is_told_before_it_crashes() -> None:
    old = CPUINFO.replace("avx2", "avx").replace("bmi2", "")
    assert machine._flags_reason(CPUINFO) == ""
    assert machine._flags_reason(old).startswith(
        "this processor has no AVX2, BMI2, which the runtime needs; use Ollama"
    )


def test_a_missing_extra_names_the_command() -> None:
    assert "pip install 'trunkline[embedded]'" in machine._extra_reason(installed=False)


@pytest.mark.parametrize(
    ("system", "libc", "words"),
    [
        ("linux", "glibc", ""),
        ("linux", "", "musl"),
        ("win32", "", "win32"),
        ("darwin", "", ""),
    ],
)
def test_systems_without_a_build_are_told(system: str, libc: str, words: str) -> None:
    reason = machine._libc_reason(system, libc)
    assert words in reason
    assert bool(reason) == bool(words)


def test_too_little_memory_is_told_in_figures() -> None:
    assert machine.memory_reason(900_000_000, 500_000_000).startswith(
        "500 MB of memory are free, the model needs about 900 MB"
    )
    assert machine.memory_reason(900_000_000, 2_000_000_000) == ""
    assert machine.memory_reason(900_000_000, None) == ""


def test_a_containers_memory_counts_cached_files_as_free() -> None:
    assert machine._left_in_group("1000\n", "900\n", "anon 400\ninactive_file 300\nactive_file 200\n") == 600
    assert machine._left_in_group("max\n", "900\n", "") is None
    assert machine._left_in_group("", "", "") is None


def test_hardware_threads_of_one_core_count_once() -> None:
    assert machine._cores_in(CPUINFO) == 4
    assert machine._cores_in("processor\t: 0\n") == 0


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000", 0), ("150000 100000", 1), ("400000 100000", 4), ("50000 100000", 1), ("", 0)]
)
def test_a_containers_quota_is_counted(text: str, cores: int) -> None:
    assert machine._quota_cores(text) == cores
