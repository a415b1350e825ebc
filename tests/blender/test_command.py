# SPDX-License-Identifier: GPL-3.0-or-later
"""``blender shot.blend --command peekaboo``, as the installed extension brings it."""

import pytest
from environments import ENGINE

SHOT = """
import bpy
bpy.context.scene.frame_end = 8
bpy.context.view_layer.update()
bpy.ops.peekaboo.add_subject()
bpy.context.object.peekaboo.phrase = "a red ball"
bpy.context.scene.peekaboo.prompt = "a red ball on grass"
bpy.ops.wm.save_as_mainfile(filepath={path!r})
"""


@pytest.fixture
def shot(profile, tmp_path):
    path = tmp_path / "shot.blend"
    profile.python(SHOT.format(path=str(path)))
    return path


def command(profile, shot, *arguments, python=str(ENGINE.python)):
    return profile.blender(shot, "--command", "peekaboo", *arguments, check=False, PEEKABOO_PYTHON=python)


def test_a_clip_is_made_beside_the_file_and_saved_in_it(profile, shot, model):
    run = command(profile, shot, "generate", "--model", model, "--seed", "4", "--save")
    assert run.returncode == 0 and "step 3/3" in run.stdout
    assert (shot.parent / "peekaboo" / "Scene_001" / "clip.mp4").is_file()
    names = "[s.name for s in getattr(E, 'strips' if hasattr(E, 'strips') else 'sequences')]"
    profile.python(
        f"import bpy; E = bpy.context.scene.sequence_editor; assert {names} == ['Peekaboo 4']", shot
    )


def test_what_fails_is_a_sentence_and_an_exit_code(profile, shot):
    run = command(profile, shot, "generate", "--prompt", "nothing")
    assert run.returncode == 1 and "does not occur in the prompt" in run.stdout
    assert "Traceback" not in run.stdout
    assert command(profile, shot, "sing").returncode == 2


def test_the_engine_is_checked(profile, shot):
    run = command(profile, shot, "check")
    assert run.returncode == 0 and "Ready: torch" in run.stdout
    run = command(profile, shot, "check", python="/nowhere/python")
    assert run.returncode == 1 and "does not exist" in run.stdout
