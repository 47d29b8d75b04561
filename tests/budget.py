"""A pytest plugin for suites that may take so many minutes and no more: `-p tests.budget --minutes 12 --from WORD`.

Once they are over no test is begun, and what is left is skipped with a word about it. `--from` decides by which file it
begins, so that other commits test other files first.
"""

import time
import zlib
from itertools import groupby
from math import inf

import pytest

NO_TIME = "THE REST WAS NOT TESTED: no time was left"
END = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", type=float, default=inf, help="begin no test after so many")
    parser.addoption("--from", dest="begin_by", default="", help="a word, e.g. a commit, that decides where to begin")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[END] = time.monotonic() + 60 * config.getoption("minutes")


@pytest.hookimpl(trylast=True)  # the files of tests that are left
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    files = [list(group) for _, group in groupby(items, lambda item: item.path)]
    first = zlib.crc32(config.getoption("begin_by").encode()) % max(1, len(files))
    items[:] = [item for file in files[first:] + files[:first] for item in file]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if time.monotonic() > item.config.stash[END]:
        pytest.skip(NO_TIME)
