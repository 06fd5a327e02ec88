"""Decoded blocks in memory: bounded, the oldest dropped first, usable after a fork."""

from __future__ import annotations

import numpy as np

from spikey.container.cache import CACHED_SAMPLES, MOST_CACHED, BlockCache, room_for


def of(value: int, samples: int = 10) -> np.ndarray:
    return np.full((samples, 1), value, dtype=np.int16)


def test_what_was_used_longest_ago_goes_first():
    cache = BlockCache(30)
    for at in range(3):
        cache.put(at, of(at))
    assert cache.get(0) is not None  # used again
    cache.put(3, of(3))
    assert [at for at in range(4) if at in cache] == [0, 2, 3] and cache.get(1) is None
    assert cache.get(3)[0] == 3


def test_a_block_that_is_put_again_counts_once():
    cache = BlockCache(30)
    for _ in range(5):
        cache.put(0, of(0))
        cache.put(1, of(1))
    cache.put(2, of(2))
    assert 0 in cache and 1 in cache and 2 in cache


def test_one_block_stays_however_large():
    cache = BlockCache(5)
    cache.put(0, of(0))
    assert 0 in cache
    cache.put(1, of(1))
    assert 0 not in cache and 1 in cache


def test_a_smaller_room_holds_from_the_next_block_on():
    cache = BlockCache(100)
    for at in range(5):
        cache.put(at, of(at))
    cache.room = 10
    cache.put(5, of(5))
    assert [at for at in range(6) if at in cache] == [5]


def test_cleared_it_is_empty_and_has_its_room_again():
    cache = BlockCache(20)
    cache.put(0, of(0))
    cache.put(1, of(1))
    cache.clear()
    assert 0 not in cache and 1 not in cache
    cache.put(2, of(2))
    cache.put(3, of(3))
    assert 2 in cache and 3 in cache


def test_a_child_has_a_lock_of_its_own():
    cache = BlockCache(20)
    with cache.lock:
        cache.forked()
        assert not cache.lock.locked()


def test_there_is_room_for_the_blocks_of_one_time():
    assert room_for(0) == CACHED_SAMPLES
    assert room_for(CACHED_SAMPLES) == CACHED_SAMPLES + CACHED_SAMPLES // 4
    assert room_for(MOST_CACHED) == MOST_CACHED
