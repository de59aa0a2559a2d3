"""Large worlds whose disks are quick and whose queues are mostly on them: commits are made on the loop's thread, and
messages come back from blocks, under kills, power cuts and full disks.
"""

from typing import Any

import pytest

from benchmarks.simulate_large import try_out
from mqttlite.broker.clients.broker_store import BrokerStore
from mqttlite.sim.disks.disk import Disk
from mqttlite.store.tables import broker_blocks
from mqttlite.store.tables.broker_blocks import Blocks


@pytest.mark.parametrize("seed", [1, 4])
def test_no_promise_is_broken_on_quick_disks_with_queues_that_are_on_them(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    counts = {"at once": 0, "from the disk": 0}
    make_disk, make_store = Disk.__init__, BrokerStore.__init__
    commit_now, fetch = BrokerStore.commit_now, Blocks.fetch

    def quick(disk: Disk, *args: Any, **options: Any) -> None:
        make_disk(disk, *args, **options)
        disk.sync_ns = (50_000, 300_000)

    def small(store: BrokerStore, path: str, **options: Any) -> None:
        make_store(store, path, **({"keep": 2, "log_max": 2000} | options))

    def counted_commit(store: BrokerStore) -> bool:
        done = commit_now(store)
        counts["at once"] += done
        return done

    def counted_fetch(blocks: Blocks, *args: Any) -> Any:
        counts["from the disk"] += 1
        return fetch(blocks, *args)

    monkeypatch.setattr(Disk, "__init__", quick)
    monkeypatch.setattr(BrokerStore, "__init__", small)
    monkeypatch.setattr(BrokerStore, "commit_now", counted_commit)
    monkeypatch.setattr(Blocks, "fetch", counted_fetch)
    monkeypatch.setattr(broker_blocks, "BLOCK_MAX", 200)
    assert try_out(seed, 2).problems == []
    assert all(counts.values()), counts
