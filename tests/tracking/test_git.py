"""Which code made a run."""

import subprocess
from pathlib import Path

import pytest

from pipeline.tracking import git


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one committed file, in place of the project's."""

    def run(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "conf").mkdir()
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "sweeps").mkdir()
    for name in ("conf/a.yaml", "pipeline/a.py", "sweeps/a.py", "pyproject.toml"):
        (tmp_path / name).write_text("one\n")
    run("init", "-q")
    run("add", "-A")
    run("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first")
    monkeypatch.setattr(git, "ROOT", tmp_path)
    return tmp_path


def test_a_clean_tree_has_no_diff(checkout: Path) -> None:
    assert len(git.commit()) == 40
    assert git.uncommitted() == b""


def test_the_diff_holds_changes_and_new_files_of_the_code_and_can_be_applied(checkout: Path) -> None:
    (checkout / "pipeline" / "a.py").write_text("two\n")
    (checkout / "conf" / "mine.yaml").write_text("name: mine\n")
    (checkout / "huge_data.csv").write_text("0,1,2\n")
    staged = subprocess.run(["git", "status", "--porcelain"], cwd=checkout, capture_output=True, text=True).stdout
    diff = git.uncommitted()
    assert b"+two" in diff
    assert b"+name: mine" in diff
    assert b"huge_data" not in diff
    again = subprocess.run(["git", "status", "--porcelain"], cwd=checkout, capture_output=True, text=True).stdout
    assert again == staged, "the person's own staging is left alone"
    (checkout / "pipeline" / "a.py").write_text("one\n")
    (checkout / "conf" / "mine.yaml").unlink()
    subprocess.run(["git", "apply"], input=diff, cwd=checkout, check=True)
    assert (checkout / "conf" / "mine.yaml").read_text() == "name: mine\n"


def test_outside_a_checkout_there_is_nothing_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "ROOT", tmp_path)
    assert git.commit() is None
    assert git.uncommitted() == b""


def test_neither_a_persons_settings_nor_odd_bytes_nor_a_room_that_is_gone_spoil_the_diff(checkout: Path) -> None:
    for setting in (("color.ui", "always"), ("diff.noprefix", "true")):
        subprocess.run(["git", "config", *setting], cwd=checkout, check=True)
    subprocess.run(["git", "rm", "-rq", "sweeps"], cwd=checkout, check=True)
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "less"], cwd=checkout, check=True
    )
    (checkout / "conf" / "latin.yaml").write_bytes(b"# caf\xe9\n")
    diff = git.uncommitted()
    assert b"+++ b/conf/latin.yaml" in diff
    assert b"+# caf\xe9" in diff
    assert b"\x1b[" not in diff
