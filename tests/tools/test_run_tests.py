"""The closing line of the test run counts every C test function."""

import importlib.util
from pathlib import Path
from xml.etree import ElementTree

import pytest

PATH = Path(__file__).parents[2] / "tools" / "run_tests.py"
SPEC = importlib.util.spec_from_file_location("run_tests", PATH)
run_tests = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(run_tests)

CMOCKA = """[==========] Running 3 test(s).
[ RUN      ] opens
[       OK ] opens
[ RUN      ] skips
[  SKIPPED ] skips
[ RUN      ] breaks
[  ERROR   ] --- 1 != 2
[  FAILED  ] breaks
[==========] 3 test(s) run.
[  PASSED  ] 1 test(s).
[  FAILED  ] 1 test(s), listed below:
[  FAILED  ] breaks
"""


def case(output: str, *, status: str = "run", child: str = "") -> ElementTree.Element:
    inner = f"<{child}/>" if child else ""
    return ElementTree.fromstring(
        f'<testcase name="x" status="{status}">{inner}<system-out>{output}</system-out></testcase>'
    )


def test_each_function_is_counted_once():
    counts = run_tests.count_c_case(case(CMOCKA, status="fail", child="failure"))
    assert counts == {"passed": 1, "failed": 1, "skipped": 1}


@pytest.mark.parametrize("output", ["", "[ RUN      ] opens\n[       OK ] opens\n"])
def test_an_executable_that_dies_is_a_failure(output):
    counts = run_tests.count_c_case(case(output, status="fail", child="failure"))
    assert counts["failed"] == 1
    assert counts["passed"] == output.count("OK")


def test_a_program_without_functions_counts_as_one():
    assert run_tests.count_c_case(case("done\n")) == {"passed": 1}
