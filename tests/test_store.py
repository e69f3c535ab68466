"""The build's own store: lost, broken or old, it costs work and never truth (DESIGN 2)."""

import json
import os
import shutil
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from distill.build.store import RACY_NS, SETTLED, Fingerprint, Store, open_store
from distill.errors import InputError
from distill.hashing import FileHasher, hash_bytes, hash_file
from distill.targets import Behind, TargetFile
from tests.harness import Project

SFT = "exports/sft/instruction_response.jsonl"


def test_a_deleted_store_executes_nothing(project: Project) -> None:
    """After `rm -rf .distill` what is up to date is found in the receipts: no stage is executed and no run is added."""
    before = project.tree()
    shutil.rmtree(project.folder / ".distill")

    results = [project.doit(), project.doit()]

    assert [result.code for result in results] == [0, 0]
    assert all(set(result.executed) <= {"summary"} for result in results)
    assert project.tree() == before


def test_a_doit_that_ended_leaves_one_file(project: Project) -> None:
    """The store is closed as doit ends, whatever the interpreter leaves to the system: nothing of it lies in a file beside it."""
    beside: list[list[str]] = []
    for words in ((), ("export_sft",), ("list",)):
        project.doit(*words)
        beside.append([path.name for path in (project.folder / ".distill").glob("store.sqlite-*")])

    assert beside == [[], [], []]


@pytest.mark.parametrize("damage", ["rubbish", "empty", "cut", "other version"])
def test_a_broken_store_is_moved_aside(project: Project, damage: str) -> None:
    """A store that is no store of ours is kept under another name and rebuilt from the receipts."""
    store = project.folder / ".distill/store.sqlite"
    if damage == "other version":
        project.query("PRAGMA user_version = 99")
    for suffix in ("-wal", "-shm"):
        store.with_name(store.name + suffix).unlink(missing_ok=True)
    if damage != "other version":
        store.write_bytes({"rubbish": b"no database " * 500, "empty": b"", "cut": store.read_bytes()[:5000]}[damage])

    result = project.doit()

    assert result.code == 0
    assert "Traceback" not in result.text
    assert store.with_name("store.sqlite.broken").exists() is (damage != "empty")
    assert set(result.executed) <= ({"summary"} if damage != "empty" else set(result.executed))
    assert project.doit().executed == []


def test_forged_bytes_are_noticed_without_a_store(built: Project, project: Project) -> None:
    """A target forged while the store was gone is found from the receipts, kept and rebuilt."""
    shutil.rmtree(project.folder / ".distill")
    (project.folder / SFT).write_bytes(b"forged\n")

    assert project.doit().code == 0

    assert project.data_files() == built.data_files()
    assert project.held("tampered") == [SFT]


def test_a_forged_receipt_is_not_believed(built: Project, project: Project) -> None:
    """A receipt edited to fit a forged export is not the one its summary names: without store the export is rebuilt."""
    forged = project.data_files()[SFT].replace(b"answer of run-1", b"forged of run-1")
    (project.folder / SFT).write_bytes(forged)
    path = project.folder / "reports/distillation" / project.runs[-1] / "export-sft.json"
    receipt = json.loads(path.read_text())
    next(file for file in receipt["outputs"]["files"] if file["path"] == SFT)["blake3"] = hash_bytes(forged)
    path.write_text(json.dumps(receipt))
    shutil.rmtree(project.folder / ".distill")

    result = project.doit()

    assert result.code == 0
    assert project.data_files() == built.data_files()
    assert "export_sft" in result.executed
    assert any("export-sft.json" in flag and "was changed" in flag for flag in project.document("drift.json")["flags"])


def test_doit_rows_decide_nothing(project: Project) -> None:
    """Files doit would leave as its database are neither needed nor read."""
    assert not (project.folder / ".distill/doit").exists()
    project.write(".distill/doit", "rubbish")
    project.write(".doit.db", "rubbish")

    assert project.doit().executed == []


def test_a_young_fingerprint_is_not_trusted(tmp_path: Path) -> None:
    """A file changed about when it was hashed is hashed again, however equal its fingerprint; an old one is not."""
    store = Store(tmp_path)
    path = tmp_path / "file"
    path.write_bytes(b"one")
    assert store.hash_of("file") == hash_bytes(b"one")

    path.write_bytes(b"two")

    assert store.hash_of("file") == hash_bytes(b"two")
    row = store._base.execute("SELECT ctime, seen FROM files").fetchone()
    assert row[1] < row[0] + RACY_NS
    store.close()


def test_a_settled_fingerprint_is_trusted(tmp_path: Path) -> None:
    """Where the fingerprint is older than the record the file is not opened again."""
    store = Store(tmp_path)
    path = tmp_path / "file"
    path.write_bytes(b"one")
    stat = path.stat()
    fingerprint = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
    store.remember("file", Fingerprint(*fingerprint), "a" * 64, "b" * 64, seen=stat.st_ctime_ns + RACY_NS + 1)

    assert store.hash_of("file") == "a" * 64
    assert store.known_hashes("file") == ("a" * 64, "b" * 64)
    path.write_bytes(b"two!")
    assert store.known_hashes("file") is None
    store.close()


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that a store reads to hash them."""
    names: list[str] = []

    def watch(path: str, **settings: Any) -> FileHasher:
        names.append(Path(path).name)
        return hash_file(path, **settings)

    monkeypatch.setattr("distill.hashing.hash_file", watch)
    return names


def test_a_file_is_not_read_to_learn_that_it_is_another(tmp_path: Path, hashed: list[str]) -> None:
    """A file that grew, and one of which no sha256 is known, are not hashed to say so; one of the same length is."""
    store, path = Store(tmp_path), tmp_path / "file"
    path.write_bytes(b"one")
    stat = path.stat()
    store.remember("file", Fingerprint(3, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino), hash_bytes(b"one"), "b" * 64, seen=SETTLED)

    path.write_bytes(b"one more")
    assert (store.known_hashes("file"), store.known_hashes("other"), store.holds("file", hash_bytes(b"one"))) == (None, None, False)
    assert hashed == []

    path.write_bytes(b"two")
    assert (store.known_hashes("file"), store.holds("file", hash_bytes(b"two")), hashed[:1]) == (None, True, ["file"])
    store.close()


def test_targets_that_wait_for_their_places_hold_no_memory(tmp_path: Path) -> None:
    """A build of thousands of targets holds none of their bytes until they are published."""
    data = bytes(range(256)) * 8192
    (tmp_path / "rows").write_bytes(data)
    tracemalloc.start()

    targets = [TargetFile(tmp_path, f"target-{i}") for i in range(40)]
    for target in targets:
        target.write_range(str(tmp_path / "rows"), 0, len(data), 1)
        target.close()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held < 1 << 20
    assert {(target.hasher.blake3, target.hasher.bytes) for target in targets} == {(hash_bytes(data), len(data))}


def test_hashes_behind_the_workers_are_those_of_the_bytes(tmp_path: Path) -> None:
    """What others copied to a target is hashed in a thread, in the order of the target, whatever is written to it in between."""
    data = bytes(range(256)) * 8192
    (tmp_path / "rows").write_bytes(b"of another file")
    behind = Behind()
    targets = [TargetFile(tmp_path, f"target-{i}", behind) for i in range(2)]
    for target in targets:
        target.temporary.write_bytes(data + b"short")
        target.take_written(len(data), 3, copied=hash_bytes(data))
        target.take_written(5, 1)
    targets[0].write_range(str(tmp_path / "rows"), 0, 15, 1)
    for target in targets:
        target.close()

    behind.wait()

    assert [target.hasher.blake3 for target in targets] == [hash_bytes(data + b"shortof another file"), hash_bytes(data + b"short")]
    assert [target.records for target in targets] == [5, 4]
    targets[0].publish()
    assert (tmp_path / "target-0").read_bytes() == data + b"shortof another file"


def test_what_fails_behind_the_workers_is_raised_where_it_is_waited_for(tmp_path: Path) -> None:
    """A target that is shorter than it was told to be is an error of the stage; nothing is done after it."""
    behind, done = Behind(), list[str]()
    target = TargetFile(tmp_path, "target", behind)
    target.temporary.write_bytes(bytes(1 << 20))
    target.take_written(1 << 21, 1, copied=hash_bytes(bytes(1 << 21)))
    behind.ask(lambda: done.append("after"), lane="blake3")

    with pytest.raises(InputError, match="ends at byte 1,048,576"):
        behind.wait()

    behind.ask(lambda: done.append("anew"))
    behind.wait()
    target.discard()
    assert done == ["anew"]


def test_what_is_dropped_is_not_done(tmp_path: Path) -> None:
    """A stage that fails waits for what is being done, does no more, and raises nothing of it."""
    behind, done, begun, go = Behind(), list[str](), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        done.append("first" if go.wait(10) else "late")

    behind.ask(work)
    behind.ask(lambda: done.append("second"))
    assert begun.wait(10)
    threading.Timer(0.2, go.set).start()

    behind.drop()
    behind.wait()

    assert done == ["first"]


def test_a_pipe_in_the_place_of_a_target_is_not_waited_for(tmp_path: Path) -> None:
    """What lies where a target goes is opened to let go of it, and a pipe there, whose writer never comes, is replaced like a file."""
    (tmp_path / "rows").write_bytes(b"row\n")
    os.mkfifo(tmp_path / "target")
    behind = Behind()
    target = TargetFile(tmp_path, "target", behind)

    target.write_range(str(tmp_path / "rows"), 0, 4, 1)
    target.close()
    target.publish(behind)
    behind.wait()

    assert (tmp_path / "target").read_bytes() == b"row\n"


def test_a_target_is_not_read_again(tmp_path: Path) -> None:
    """The state of a target is told where its last write is older than its rename by more than a tick, and by nobody else."""
    targets = [TargetFile(tmp_path, name) for name in ("young", "settled", "written by others")]
    (tmp_path / "rows").write_bytes(b"row\n")
    for target in targets:
        target.write_range(str(tmp_path / "rows"), 0, 4, 1)
        target.close()
    states = [targets[0].publish()]
    time.sleep(0.05)
    with targets[2].temporary.open("r+b") as file:
        file.write(b"raw\n")
    states += [target.publish() for target in targets[1:]]

    assert [state is not None for state in states] == [False, True, False]


@pytest.mark.parametrize(
    ("kind", "found"),
    [("absent", None), ("folder", "a folder"), ("loop", "unreadable"), ("pipe", "no regular file"), ("below a file", None)],
)
def test_what_is_no_file_has_no_hash(tmp_path: Path, kind: str, found: str | None) -> None:
    """What is absent has no hash; a folder, a link to itself or a pipe is told apart from every file and never opened."""
    store, path = Store(tmp_path), tmp_path / "file"
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to("file")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "below a file":
        path.write_text("x")

    assert store.hash_of("file/below" if kind == "below a file" else "file") == found

    store.close()


def test_every_thread_has_a_connection_of_its_own(tmp_path: Path) -> None:
    """Threads of `doit -P thread` share the store and no connection."""
    found: list[Store] = []
    thread = threading.Thread(target=lambda: found.append(open_store(tmp_path)))
    thread.start()
    thread.join()

    assert open_store(tmp_path) is open_store(tmp_path)
    assert found[0] is not open_store(tmp_path)
    open_store(tmp_path).close()


def test_a_transaction_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """What is written between `begin` and `commit` is not seen by another connection before."""
    one, two = Store(tmp_path), Store(tmp_path)

    one.begin()
    one.claim("score", [("a", "1"), ("b", "2")], pending=False)
    assert two.claims("score") == {}
    one.commit()

    assert two.claims("score") == {"a": ("1", None), "b": ("2", None)}
    one.claim("score", [("a", "3")], pending=True)
    assert two.claims("score")["a"] == ("1", "3")
    one.close()
    two.close()
