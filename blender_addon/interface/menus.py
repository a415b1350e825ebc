# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries in Blender's own menus, through which the search (F3) finds them too."""

import bpy

from ..authoring import placing
from ..masks.cameras import bound_markers
from ..takes import reels
from .operators.subjects import SHAPES


class PEEKABOO_MT_add_subject(bpy.types.Menu):
    """Add ▸ Peekaboo Subject."""

    bl_label = "Peekaboo Subject"

    def draw(self, _context):
        """Draw an entry for each shape; they go to the 3D cursor, as all that is added does."""
        self.layout.operator_context = "INVOKE_REGION_WIN"
        for shape, title, _description, icon, _number in SHAPES:
            add = self.layout.operator("peekaboo.add_subject", text=title, icon=icon)
            add.shape, add.placement = shape, "CURSOR"


class PEEKABOO_MT_subjects(bpy.types.Menu):
    """What else can be done to subjects, beside their list."""

    bl_label = "Subjects"

    def draw(self, _context):
        """Draw the entries."""
        layout = self.layout
        layout.menu("PEEKABOO_MT_add_subject", icon="ADD")
        layout.operator("peekaboo.make_subjects", icon="EMPTY_AXIS")
        layout.operator("peekaboo.make_subjects", text="Use Selected as One Subject").together = True
        layout.operator_menu_enum("peekaboo.animate_subject", "motion", icon="ANIM")
        layout.operator("peekaboo.draft", icon="TEXT")
        layout.separator()
        layout.operator("peekaboo.add_shot", icon="VIEW_CAMERA")
        layout.operator("peekaboo.check_shot", icon="VIEWZOOM")
        layout.operator("peekaboo.import_layout", icon="IMPORT")
        layout.operator("peekaboo.export_masks", icon="EXPORT")
        layout.operator("peekaboo.export_farm_job", text="Export Farm Job...", icon="NETWORK_DRIVE")


class PEEKABOO_MT_take(bpy.types.Menu):
    """Strip ▸ Peekaboo Take."""

    bl_label = "Peekaboo Take"

    def draw(self, _context):
        """Draw what can be done with the active take."""
        layout = self.layout
        layout.operator_context = "INVOKE_REGION_WIN"
        layout.operator("peekaboo.show_clip", icon="PLAY")
        layout.operator("peekaboo.show_in_camera", icon="VIEW_CAMERA")
        layout.operator("peekaboo.show_alone", icon="SOLO_OFF")
        layout.operator("peekaboo.next_take", icon="ARROW_LEFTRIGHT")
        layout.operator("peekaboo.retake", icon="FILE_REFRESH")
        layout.operator("peekaboo.restore_settings", icon="LOOP_BACK")
        layout.operator("peekaboo.show_masks", icon="MOD_MASK")
        layout.operator("peekaboo.open_take", icon="FILE_FOLDER")
        layout.separator()
        layout.operator("peekaboo.import_take", icon="IMPORT")
        layout.operator("peekaboo.delete_take", icon="TRASH")


def _draw_add(self, _context):
    self.layout.menu("PEEKABOO_MT_add_subject", icon="OUTLINER_OB_CAMERA")
    self.layout.operator_context = "INVOKE_REGION_WIN"
    self.layout.operator("peekaboo.draft", text="Peekaboo Draft from Text...", icon="TEXT")


def _draw_object(self, _context):
    self.layout.separator()
    self.layout.operator("peekaboo.make_subjects", text="Use as Peekaboo Subjects")
    self.layout.operator_menu_enum("peekaboo.animate_subject", "motion", text="Animate Peekaboo Subject")
    self.layout.operator("peekaboo.add_shot", text="Add Peekaboo Shot")
    self.layout.operator("peekaboo.check_shot", text="Check Peekaboo Shot")


def _draw_object_context(self, context):
    """Draw what can be made of the object that was clicked on."""
    layout, obj = self.layout, context.object
    if obj is None:
        return
    if obj.peekaboo.is_subject:
        layout.separator()
        layout.operator_menu_enum("peekaboo.animate_subject", "motion", text="Animate Peekaboo Subject")
        layout.operator("peekaboo.remove_subject", text="Remove from Peekaboo Subjects")
    elif obj.type in placing.CAN_HAVE_EXTENT:
        layout.separator()
        layout.operator("peekaboo.make_subjects", text="Use as Peekaboo Subjects")
        if len(context.selected_objects) > 1:
            layout.operator("peekaboo.make_subjects", text="Use as One Peekaboo Subject").together = True
    elif obj.type == "CAMERA":
        layout.separator()
        layout.operator("peekaboo.add_shot", text="Add Peekaboo Shot Here")


def _draw_timeline_context(self, context):
    """Draw what can be made of the current frame, in the timeline and in its other views."""
    scene, layout = context.scene, self.layout
    if reels.is_reel(scene):
        return
    layout.separator()
    layout.operator_context = "INVOKE_DEFAULT"
    layout.operator("peekaboo.add_shot", text="Add Peekaboo Shot")
    if bound_markers(scene):
        layout.operator("peekaboo.remove_shot", text="Remove Peekaboo Shot")
        layout.operator("peekaboo.generate", text="Generate Peekaboo Shot").shots = "CURRENT"
    layout.operator_menu_enum("peekaboo.animate_subject", "motion", text="Animate Peekaboo Subject")


def _draw_strip_context(self, context):
    """Draw what can be done with the take that was clicked on."""
    if reels.active_take(reels.edited_scene(context)) is not None:
        self.layout.separator()
        self.layout.menu("PEEKABOO_MT_take", icon="SEQUENCE")


def _draw_overlays(self, context):
    """Draw what lies over the camera view, beside Blender's own overlays."""
    settings, layout = context.scene.peekaboo, self.layout
    layout.separator()
    layout.label(text="Peekaboo")
    row = layout.row()
    row.active = context.space_data.overlay.show_overlays
    row.prop(settings, "show_outlines", text="Outlines")
    beside = row.row()
    beside.active = settings.show_outlines
    beside.prop(settings, "show_prompt", text="Prompt")


def _draw_import(self, _context):
    self.layout.operator_context = "INVOKE_REGION_WIN"
    self.layout.operator("peekaboo.import_layout", text="Peekaboo Layout (.json)")
    self.layout.operator("peekaboo.import_take", text="Peekaboo Take (folder)")


def _draw_export(self, _context):
    self.layout.operator_context = "INVOKE_REGION_WIN"
    self.layout.operator("peekaboo.export_masks", text="Peekaboo Masks, Depth (.png, .exr)")
    self.layout.operator("peekaboo.export_farm_job", text="Peekaboo Farm Job (folder)")


def _draw_render(self, _context):
    self.layout.separator()
    self.layout.operator_context = "INVOKE_REGION_WIN"
    self.layout.operator("peekaboo.generate", text="Generate Peekaboo Clip")
    self.layout.operator("peekaboo.cancel", text="Cancel Generating Peekaboo Clip")


def _draw_strip(self, _context):
    self.layout.separator()
    self.layout.menu("PEEKABOO_MT_take", icon="SEQUENCE")


_DRAWN = (
    ("VIEW3D_PT_overlay", _draw_overlays),
    ("VIEW3D_MT_add", _draw_add),
    ("VIEW3D_MT_object", _draw_object),
    ("TOPBAR_MT_file_import", _draw_import),
    ("TOPBAR_MT_file_export", _draw_export),
    ("TOPBAR_MT_render", _draw_render),
    ("SEQUENCER_MT_strip", _draw_strip),
    ("VIEW3D_MT_object_context_menu", _draw_object_context),
    ("DOPESHEET_MT_context_menu", _draw_timeline_context),
    ("SEQUENCER_MT_context_menu", _draw_strip_context),
)

_register_classes, _unregister_classes = bpy.utils.register_classes_factory(
    (PEEKABOO_MT_add_subject, PEEKABOO_MT_subjects, PEEKABOO_MT_take)
)


def register():
    """Add the menus, and the entries to Blender's."""
    _register_classes()
    for name, draw in _DRAWN:
        getattr(bpy.types, name).append(draw)


def unregister():
    """Take them away."""
    for name, draw in _DRAWN:
        getattr(bpy.types, name).remove(draw)
    _unregister_classes()
