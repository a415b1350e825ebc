# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job leaves takes its places together or not at all, whatever happens meanwhile."""

import os
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from peekaboo_engine.drafts import check_place, clip_name, drafting
from peekaboo_engine.errors import EngineError

RESULTS = (clip_name(16), "clip.json", "thumbnail.png")
PICTURE = (clip_name(1), *RESULTS[1:])
posix = pytest.mark.skipif(sys.platform == "win32", reason="processes and links of POSIX")


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def old_results(out: Path, results=RESULTS) -> dict[str, str]:
    out.mkdir(exist_ok=True)
    for name in results:
        (out / name).write_text(f"old {name}")
    return contents(out)


def new(results) -> dict[str, str]:
    return {name: f"new {name}" for name in results}


NEW = new(RESULTS)


def write_new(draft, results=RESULTS) -> None:
    for name, text in new(results).items():
        (draft.path / name).write_text(text)


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


@pytest.mark.parametrize("earlier", [True, False])
def test_results_come_out_together(tmp_path, earlier):
    out = tmp_path / "out"
    if earlier:
        old_results(out)
    with drafting(out) as draft:
        write_new(draft)
        (draft.path / "preview.png").write_text("a preview")
        draft.publish()
    assert contents(out) == NEW and names(out) == sorted(RESULTS)


@pytest.mark.parametrize("earlier, later", [(RESULTS, PICTURE), (PICTURE, RESULTS), (PICTURE, PICTURE)])
def test_a_picture_and_a_clip_take_each_others_places(tmp_path, earlier, later):
    old_results(tmp_path, earlier)
    with drafting(tmp_path) as draft:
        write_new(draft, later)
        draft.publish()
    assert contents(tmp_path) == new(later) and names(tmp_path) == sorted(later)


def test_a_block_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), drafting(tmp_path / "out") as draft:
        write_new(draft)
        raise ZeroDivisionError
    assert names(tmp_path / "out") == []


@pytest.mark.parametrize("missing", RESULTS)
@pytest.mark.parametrize("earlier", [RESULTS, (), RESULTS[:1], RESULTS[1:]])
def test_if_one_result_cannot_be_moved_the_earlier_ones_stay(tmp_path, missing, earlier):
    """Until now a failing clip.json left the new clip under the old record."""
    out = tmp_path / "out"
    old_results(out)
    for name in set(RESULTS) - set(earlier):
        (out / name).unlink()
    before = contents(out)
    with pytest.raises(EngineError) as caught, drafting(out) as draft:
        write_new(draft)
        (draft.path / missing).unlink()
        draft.publish()
    assert caught.value.code == "not_written"
    assert contents(out) == before and names(out) == sorted(before)


def test_a_clip_that_cannot_take_its_place_is_kept_beside_the_old_one(tmp_path):
    out = tmp_path / "out"
    old = old_results(out)
    (out / "thumbnail.png").unlink()
    with pytest.raises(EngineError, match="the new clip is kept in") as caught, drafting(out) as draft:
        write_new(draft)
        (out / "thumbnail.png").mkdir()  # somebody else's, meanwhile
        draft.publish()
    assert caught.value.code == "not_written"
    assert contents(out) == {name: old[name] for name in ("clip.mp4", "clip.json")}
    (kept,) = out.glob("clip-*")
    assert contents(kept) == NEW
    with drafting(out):  # the next engine cleans it no more than this one
        pass
    assert contents(kept) == NEW


def publish_and_die(out: Path, changes: int, results=RESULTS) -> bool:
    """Publish in a process that ends before its next change of a folder after so many; whether it did."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    left = changes

    def dying(call):
        def counted(*arguments, **options):
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(9)
            return call(*arguments, **options)

        return counted

    for name in ("replace", "link", "unlink", "rmdir", "mkdir"):
        setattr(os, name, dying(getattr(os, name)))
    try:
        with drafting(out) as draft:
            write_new(draft, results)
            draft.publish()
    finally:
        os._exit(0)


@posix
@pytest.mark.parametrize("later", [RESULTS, PICTURE])
@pytest.mark.parametrize("blocked", [(), RESULTS[1:2], RESULTS[2:]])
def test_a_death_at_any_moment_leaves_the_old_or_the_new_ones(tmp_path, blocked, later):
    """The process ends before its n-th change of a folder, for each n; the next engine puts it right.

    With a folder in the place of a result, one that cannot be moved is followed by the death, or the other
    way round.
    """
    came_through = False
    for number in range(40):
        out = tmp_path / str(number)
        old_results(out, (*RESULTS, "enlarged.mp4"))  # what was made of the old clip goes with it
        for name in blocked:
            (out / name).unlink()
            (out / name / "inside").mkdir(parents=True)
        old, there = contents(out), names(out)
        died = publish_and_die(out, number, later)
        with drafting(out):
            pass
        assert contents(out) in ([old] if blocked else [old, new(later)]), number
        kept = [name for name in names(out) if name.startswith("clip-")]  # the new one, beside what blocks it
        assert all(contents(out / name) == new(later) for name in kept), number
        assert len(kept) <= len(blocked), number
        assert {*names(out)} - {*kept} == {*(there if contents(out) == old else later)}, number
        if not died:
            came_through = True
            break
    assert came_through and number > 5


@posix
def test_what_a_killed_engine_left_in_a_take_is_cleaned_by_one_in_the_next(tmp_path):
    killed, following = tmp_path / "Shot_001", tmp_path / "Shot_002"
    stranger = tmp_path / "holiday"
    for folder in (killed / "job", stranger):
        folder.mkdir(parents=True)
    for folder in (killed, stranger):
        (folder / ".peekaboo-0123").mkdir()
        (folder / ".peekaboo-0123" / "clip.mp4").write_text("half")
    with drafting(following):
        pass
    assert names(killed) == ["job"]
    assert names(stranger) == [".peekaboo-0123"]  # no take: not ours to touch


@posix
def test_cleaning_follows_no_link(tmp_path):
    mine, take = tmp_path / "mine", tmp_path / "take"
    (take / "job").mkdir(parents=True)
    old_results(mine)
    (take / ".peekaboo-1").symlink_to(mine)
    (take / ".peekaboo-2").mkdir()
    (take / ".peekaboo-2" / "linked").symlink_to(mine)
    (take / ".peekaboo-3.whole").mkdir()
    (take / ".peekaboo-3.whole" / "clip.mp4").symlink_to(mine / "clip.mp4")
    with drafting(take):
        pass
    assert len(contents(mine)) == 3
    assert names(take) == [".peekaboo-1", "job"]


@posix
def test_two_engines_do_not_work_in_one_folder(tmp_path):
    with drafting(tmp_path / "out"):
        with pytest.raises(EngineError, match="Another engine") as caught, drafting(tmp_path / "out"):
            pass
        with drafting(tmp_path / "other"):
            pass
    assert caught.value.code == "busy_folder"
    with drafting(tmp_path / "out"):
        pass


def test_a_full_disk_is_said_before_the_work(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9 - 5 * 10**6, 5 * 10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with drafting(tmp_path / "out") as draft:
        check_place(draft, 4 * 10**6)
        with pytest.raises(EngineError, match="5 MB free, and the clip may take 6 MB") as caught:
            check_place(draft, 6 * 10**6)
    assert caught.value.code == "not_written"


@pytest.mark.parametrize("name", {*RESULTS, *PICTURE})
def test_a_folder_in_the_place_of_a_result_is_said_before_the_work(tmp_path, name):
    (tmp_path / "out" / name).mkdir(parents=True)
    with drafting(tmp_path / "out") as draft, pytest.raises(EngineError, match="is a folder"):
        check_place(draft, 0)


@pytest.mark.parametrize("path", ["file/out", "nul\0byte", "x" * 300])
def test_an_output_folder_that_cannot_be_is_one_sentence(tmp_path, path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError) as caught, drafting(tmp_path / path):
        pass
    assert caught.value.code == "not_written" and "\0" not in caught.value.message


def test_a_draft_that_somebody_removed_is_made_anew(tmp_path):
    with drafting(tmp_path / "out") as draft:
        shutil.rmtree(draft.path)
        write_new(draft)
        draft.publish()
    assert contents(tmp_path / "out") == NEW
