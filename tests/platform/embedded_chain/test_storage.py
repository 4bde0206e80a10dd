import sqlite3
import threading

import pytest

from tallystick_platform.embedded_chain.errors import ChainLocked, ChainStorageFailed
from tallystick_platform.embedded_chain.storage import (
    DATABASE_NAME,
    SCHEMA_VERSION,
    BlockNodes,
    ChainStorage,
    StoredNodes,
)


@pytest.fixture
def storage(tmp_path):
    opened = ChainStorage(tmp_path)
    yield opened
    opened.close()


def test_what_was_committed_is_there_after_reopening(tmp_path):
    first = ChainStorage(tmp_path)
    first.commit({b"k": b"v"}, {"meta": [("a", "b")]})
    first.close()
    second = ChainStorage(tmp_path)
    assert StoredNodes(second)[b"k"] == b"v"
    assert second.meta() == {"a": "b"}
    second.close()


def test_a_commit_that_fails_leaves_nothing(storage):
    storage.commit({}, {"meta": [("a", "1")]})
    with pytest.raises(ChainStorageFailed, match="UNIQUE"):
        storage.commit({b"k": b"v"}, {"meta": [("b", "2"), ("a", "again")]})
    assert b"k" not in StoredNodes(storage)
    assert storage.meta() == {"a": "1"}


def test_after_a_full_disk_the_next_commit_works(storage):
    storage.writer.execute("PRAGMA max_page_count=40")
    with pytest.raises(ChainStorageFailed, match="full"):
        storage.commit({b"big": bytes(1_000_000)}, {})
    storage.writer.execute("PRAGMA max_page_count=100000")
    storage.commit({b"k": b"v"}, {})
    assert b"big" not in StoredNodes(storage)
    assert StoredNodes(storage)[b"k"] == b"v"


def test_a_second_process_is_refused(storage, tmp_path):
    with pytest.raises(ChainLocked, match="another process"):
        ChainStorage(tmp_path)


def test_the_lock_goes_with_the_owner(tmp_path):
    ChainStorage(tmp_path).close()
    ChainStorage(tmp_path).close()


def test_a_schema_of_the_future_is_refused_by_its_number(tmp_path):
    ChainStorage(tmp_path).close()
    connection = sqlite3.connect(tmp_path / DATABASE_NAME)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(ChainStorageFailed, match=f"schema version {SCHEMA_VERSION + 1}"):
        ChainStorage(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / DATABASE_NAME).write_bytes(b"not a database at all" * 100)
    with pytest.raises(ChainStorageFailed, match="not a database"):
        ChainStorage(tmp_path)


def test_commits_are_durable_by_default(storage):
    assert storage.writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert storage.writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_readers_cannot_write(storage):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        storage.reader().execute("DELETE FROM node")


def test_each_thread_reads_through_its_own_connection(storage):
    seen = [storage.reader()]
    thread = threading.Thread(target=lambda: seen.append(storage.reader()))
    thread.start()
    thread.join()
    assert seen[0] is not seen[1]
    assert storage.reader() is seen[0]


def test_the_folder_is_the_owners_alone(tmp_path):
    storage = ChainStorage(tmp_path / "chain")
    assert (tmp_path / "chain").stat().st_mode & 0o777 == 0o700
    storage.close()


def test_the_block_in_the_making_is_seen_by_itself_alone(storage):
    stored = StoredNodes(storage)
    nodes = BlockNodes(stored)
    nodes[b"k"] = b"v"
    assert nodes[b"k"] == b"v"
    assert b"k" in nodes
    assert b"k" not in stored
    nodes.clear()
    assert b"k" not in nodes


def test_a_deletion_hides_what_is_stored_until_the_commit_makes_it_so(storage):
    stored = StoredNodes(storage)
    storage.commit({b"k": b"v"}, {})
    nodes = BlockNodes(stored)
    del nodes[b"k"]
    with pytest.raises(KeyError):
        nodes[b"k"]
    assert stored[b"k"] == b"v"
    storage.commit(nodes.written, {})
    with pytest.raises(KeyError):
        stored[b"k"]


def test_what_is_absent_cannot_be_deleted(storage):
    with pytest.raises(KeyError):
        del BlockNodes(StoredNodes(storage))[b"absent"]


def test_a_group_of_writes_that_fails_is_dropped(storage):
    nodes = BlockNodes(StoredNodes(storage))

    def fail_halfway():
        with nodes.atomic_batch() as batch:
            batch[b"k"] = b"v"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert nodes.written == {}


def test_the_durable_state_cannot_be_written_beside_a_block(storage):
    stored = StoredNodes(storage)
    with pytest.raises(TypeError):
        stored[b"k"] = b"v"
    with pytest.raises(TypeError):
        del stored[b"k"]
    with pytest.raises(TypeError), stored.atomic_batch():
        pass
