"""What a store says about its size is true."""

from __future__ import annotations


def test_stats_are_the_sizes_of_the_files_and_the_counts_of_the_tables(store):
    for number in range(3):
        with store.start_run("sizes") as run:
            for step in range(500):
                run.log({f"key {step % 7}": step, "other": number})
            run.log_text("x" * 1000, "a.txt")
    found = store.stats()
    assert found.folded_records >= 3 * 500 * 2
    assert found.lost_points == 0
    objects = [path for path in (store.path / "objects").rglob("*") if path.is_file()]
    assert found.object_files == len(objects) >= 1
    assert found.object_bytes == sum(path.stat().st_size for path in objects) >= 1000
    assert found.table_bytes == sum(path.stat().st_size for path in store.path.glob("store.db*"))
    journals = list((store.path / "journal").iterdir())
    assert (found.journal_files, found.journal_bytes) == (len(journals), sum(path.stat().st_size for path in journals))
    assert found.set_aside_bytes == 0


def test_stats_read_as_a_list(store):
    with store.start_run("doc") as run:
        run.log(loss=1.0)
    assert "lost points      0" in repr(store.stats()).splitlines()
