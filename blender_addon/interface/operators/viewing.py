# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that let a take be seen, alone or beside others, and that remove one."""

from pathlib import Path
from typing import Any

import bpy
from bpy.props import IntProperty, StringProperty

from ... import compat, windows
from ...errors import PeekabooError
from ...takes import colors, reels, removing, strips, viewing
from .takes import OnActiveTake, OnNamedTake

WORKSPACE = "Video Editing"
TEMPLATE = "Video_Editing"
CAME_FROM = "peekaboo_came_from"
"""Custom property of that workspace: the name of the one in which Show Clip was pressed."""
VIEW_SECONDS = 0.3
"""What a workspace that has just been opened gets to be laid out in."""


class PEEKABOO_OT_show_clip(OnActiveTake, bpy.types.Operator):
    """Go to the Video Editing workspace, see the whole active take there, and go to its first frame"""

    bl_idname = "peekaboo.show_clip"
    bl_label = "Show Clip"
    bl_options = {"REGISTER"}

    def execute(self, context):
        """Open the workspace, or add it; then look at the clip when that is laid out."""
        scene, window = reels.edited_scene(context), context.window
        strip, came_from = reels.active_take(scene), window.workspace
        if WORKSPACE not in bpy.data.workspaces:
            templates: Any = bpy.utils.app_template_paths(path=TEMPLATE)
            found = next(iter(templates), "")
            path = str(Path(found) / "startup.blend")
            bpy.ops.workspace.append_activate(idname=WORKSPACE, filepath=path)
        if WORKSPACE not in bpy.data.workspaces:
            self.report({"ERROR"}, f"Blender has no workspace {WORKSPACE}: open a Video Sequencer yourself.")
            return {"CANCELLED"}
        workspace = bpy.data.workspaces[WORKSPACE]
        if came_from != workspace:  # else it was pressed there once more
            workspace[CAME_FROM] = came_from.name
        window.workspace, holder = workspace, strip.id_data
        window.scene = compat.show_in_sequencers_of(workspace, holder, scene)
        scene.frame_current = holder.frame_current = compat.strip_range(strip)[0]
        if viewing.is_hidden(strip):
            viewing.reveal(strip)
            bpy.ops.ed.undo_push(message=self.bl_label)  # all else is a view, which undo leaves alone
        bpy.app.timers.register(windows.view_sequences, first_interval=VIEW_SECONDS)
        return {"FINISHED"}


class PEEKABOO_OT_show_scene(bpy.types.Operator):
    """Show the scene that the takes are of in this window again, in the workspace that Show Clip has left"""

    bl_idname = "peekaboo.show_scene"
    bl_label = "Back to the Scene"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        """The window shows the scene of its takes."""
        if not reels.is_reel(context.scene):
            cls.poll_message_set("The window does not show a scene of takes")
            return False
        return True

    def execute(self, context):
        """Show it."""
        scene, window = reels.scene_of(context.scene), context.window
        left = bpy.data.workspaces.get(str(window.workspace.pop(CAME_FROM, "")))
        if left is not None:
            window.workspace = left
        window.scene = scene
        return {"FINISHED"}


class PEEKABOO_OT_show_in_camera(OnActiveTake, bpy.types.Operator):
    """Play the active take in its camera's view, under the outlines, or take it away again"""

    bl_idname = "peekaboo.show_in_camera"
    bl_label = "In Camera View"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, scene, strip):
        """Add the background image, or remove it."""
        if viewing.in_camera(scene, strip) is None:
            viewing.show_in_camera(scene, strip)
            start, end = compat.strip_range(strip)
            if not start <= scene.frame_current < end:  # there its first or last picture stays
                scene.frame_current = start
        else:
            viewing.hide_in_camera(scene, strip)


class PEEKABOO_OT_show_alone(OnActiveTake, bpy.types.Operator):
    """Hide the other takes of the same frames, or show them again"""

    bl_idname = "peekaboo.show_alone"
    bl_label = "Solo"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, scene, strip):
        """Hide them, or show them."""
        viewing.show_alone(strip)


class PEEKABOO_OT_next_take(OnActiveTake, bpy.types.Operator):
    """Show the next take of the same frames instead of the active one: again and again, to compare them"""

    bl_idname = "peekaboo.next_take"
    bl_label = "Compare with Next"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, scene, strip):
        """Hide the active one, and make the next one active and seen."""
        takes = sorted([strip, *viewing.others_in_place(strip)], key=strips.height_of)
        if len(takes) == 1:
            raise PeekabooError("There is no other take of these frames: press Retake to make one.")
        following = takes[(takes.index(strip) + 1) % len(takes)]
        for take in takes:
            take.mute = take != following
        viewing.reveal(following)
        strips.choose(strip.id_data.sequence_editor, following)  # else the hidden one is removed by X


class PEEKABOO_OT_choose_take(bpy.types.Operator):
    """Make this take the active one"""

    bl_idname = "peekaboo.choose_take"
    bl_label = "Choose Take"
    bl_options = {"INTERNAL", "UNDO"}

    name: StringProperty(name="Name", description="Of its strip", options={"HIDDEN"})

    def execute(self, context):
        """Choose it; nothing where it is gone."""
        try:
            found = reels.take_named(reels.edited_scene(context), self.name)
        except PeekabooError:
            return {"CANCELLED"}
        strips.choose(found.id_data.sequence_editor, found)
        return {"FINISHED"}


class PEEKABOO_OT_rate_take(OnActiveTake, bpy.types.Operator):
    """Say how good the active take is: so many stars, or none where it has so many already"""

    bl_idname = "peekaboo.rate_take"
    bl_label = "Rate Take"
    bl_options = {"REGISTER", "UNDO"}

    stars: IntProperty(name="Stars", description="How good it is", min=0, max=strips.MOST_STARS, default=0)

    def act(self, _scene, strip):
        """Keep them with the strip."""
        rated = strip.get(strips.RATING_PROPERTY)
        strip[strips.RATING_PROPERTY] = 0 if rated == self.stars else self.stars


class PEEKABOO_OT_delete_take(OnNamedTake, bpy.types.Operator):
    """Remove the active take from the sequencer, and its clip and masks from the disk"""

    bl_idname = "peekaboo.delete_take"
    bl_label = "Delete Take and Its Files"
    bl_options = {"REGISTER", "UNDO"}

    def invoke(self, context, event):
        """Ask before, since no undo brings files back."""
        self.take = reels.active_take(reels.edited_scene(context)).name
        return context.window_manager.invoke_confirm(self, event)

    def act(self, scene, strip):
        """Remove it, let another take of its frames be seen and chosen, and say what is left."""
        others = viewing.others_in_place(strip)
        left = removing.delete(strip)
        if others:
            viewing.choose_seen(others)
        if left:
            names = ", ".join(path.name for path in left[:3])
            self.report({"WARNING"}, f"Files that are none of ours, or in use, are left: {names}")


class PEEKABOO_OT_match_colors(bpy.types.Operator):
    """Show all takes in the colors that they have on disk; how your own scene is seen stays as it is"""

    bl_idname = "peekaboo.match_colors"
    bl_label = "Match Colors of Takes"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        """Set the strips' colour space, and the view of a scene that was made for them."""
        scene = reels.edited_scene(context)
        holder = reels.holder_of(scene)
        if holder is not None and holder != scene:
            colors.view_plainly(holder)
        for strip in reels.takes(scene):
            colors.show_as_on_disk(strip.id_data, strip)
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (
        PEEKABOO_OT_show_clip,
        PEEKABOO_OT_show_scene,
        PEEKABOO_OT_show_in_camera,
        PEEKABOO_OT_show_alone,
        PEEKABOO_OT_next_take,
        PEEKABOO_OT_choose_take,
        PEEKABOO_OT_rate_take,
        PEEKABOO_OT_delete_take,
        PEEKABOO_OT_match_colors,
    )
)
