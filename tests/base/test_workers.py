"""Threads that share work: all of it is done once, in order, and errors are those that one thread would meet first."""

from __future__ import annotations

import threading

import pytest

from spikey.base.workers import Workers, each, spread


def test_results_are_in_the_order_of_the_items():
    assert each(abs, [-3, 2, -1]) == [3, 2, 1]
    for jobs in (1, 2, 5):
        assert spread(lambda n: each(abs, [n, -n, n + 1]), range(6), jobs) == [[n, n, n + 1] for n in range(6)]


def test_an_idle_thread_helps_with_one_item_in_parts():
    both = threading.Barrier(2, timeout=60)
    assert spread(lambda _: each(lambda n: both.wait() >= 0 and n, [1, 2]), [0], 2) == [[1, 2]]


def test_the_calling_thread_alone_needs_no_pool():
    threads = set(each(lambda _: threading.get_ident(), range(10)))
    assert threads == {threading.get_ident()}


def test_the_error_of_the_first_item_is_raised():
    first = threading.Event()

    def fail(n: int) -> None:
        if n == 0:
            first.wait(60)  # until the other one has failed
        else:
            first.set()
        raise ValueError(n)

    with pytest.raises(ValueError, match="0"):
        spread(lambda _: each(fail, [0, 1]), [None], 2)


def test_work_goes_on_where_the_pool_takes_no_more():
    inside, shut = threading.Event(), threading.Event()

    def work() -> list[int]:
        inside.set()
        shut.wait(60)
        return each(abs, [-1, -2])

    with Workers(2) as pool:
        future = pool.submit(work)
        inside.wait(60)
        pool.shutdown(wait=False)
        shut.set()
        assert future.result() == [1, 2]
