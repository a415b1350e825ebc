# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said in windows, and what is going on in them."""

import bpy

from blender_addon import windows
from blender_addon.interface.operators import turns


def test_the_status_bar_is_given_back_also_after_another_file_was_opened(scene):
    windows.say("A clip is there.")
    bpy.ops.wm.read_homefile(load_ui=False, use_factory_startup=True, use_empty=True)
    assert bpy.app.timers.is_registered(windows._say_no_more)
    bpy.app.timers.unregister(windows._say_no_more)


def test_work_in_turns_keeps_clips_from_falling_into_its_middle():
    assert turns.PEEKABOO_OT_work_in_turns.__name__ in windows.WORKING
