"""`doit clean` on folders that hold more than the build put there (SPEC 1)."""

from pathlib import Path

import pytest

from tests.harness import Project


def test_clean_removes_strangers_with_their_folders(project: Project) -> None:
    """`doit clean` removes folders, links and files that others put below data, follows no link, and ends without a traceback."""
    outside = project.write("mine/notes.txt", "mine")
    project.write("data/strange/deep/file.txt", "left over")
    (project.folder / "data/empty/deeper").mkdir(parents=True)
    (project.folder / "data/strange/link").symlink_to(outside.parent)
    (project.folder / "data/dangling").symlink_to("nowhere")

    result = project.doit("clean")

    assert (result.code, result.err) == (0, "")
    assert not (project.folder / "data").exists()
    assert outside.read_text() == "mine"


@pytest.mark.parametrize("name", ["data", "exports"])
def test_clean_leaves_a_link_to_another_disk(project: Project, tmp_path: Path, name: str) -> None:
    """A data or exports folder that is a link is emptied and stays a link, which the next build fills."""
    (project.folder / name).rename(tmp_path / name)
    (project.folder / name).symlink_to(tmp_path / name)

    result = project.doit("clean")

    assert (result.code, result.err) == (0, "")
    assert list((tmp_path / name).iterdir()) == []
    assert project.doit().code == 0
    assert (project.folder / name).is_symlink()


def test_clean_says_in_one_line_what_it_cannot_remove(project: Project) -> None:
    """A file that cannot be removed ends `doit clean` with one line that names it and exit status 1."""
    project.write("data/stranger.txt", "left over")
    body = "\ndef refuse(path, missing_ok=False):\n    raise PermissionError(13, 'Permission denied', str(path))\n"
    project.write("dodo.py", (project.folder / "dodo.py").read_text() + f"import pathlib\n{body}\npathlib.Path.unlink = refuse\n")

    result = project.doit("clean")

    assert result.code == 1
    assert "Traceback" not in result.text
    assert "data/stranger.txt" in result.err
    assert len(result.err.splitlines()) == 1
