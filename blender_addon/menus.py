# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries in Blender's own menus, through which the search (F3) finds them too."""

import bpy

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
        layout.operator_menu_enum("peekaboo.animate_subject", "motion", icon="ANIM")
        layout.separator()
        layout.operator("peekaboo.check_shot", icon="VIEWZOOM")
        layout.operator("peekaboo.import_layout", icon="IMPORT")


def _draw_add(self, _context):
    self.layout.menu("PEEKABOO_MT_add_subject", icon="OUTLINER_OB_CAMERA")


def _draw_object(self, _context):
    self.layout.separator()
    self.layout.operator("peekaboo.make_subjects", text="Make Peekaboo Subjects")
    self.layout.operator_menu_enum("peekaboo.animate_subject", "motion", text="Animate Peekaboo Subject")
    self.layout.operator("peekaboo.check_shot", text="Check Peekaboo Shot")


def _draw_import(self, _context):
    self.layout.operator("peekaboo.import_layout", text="Peekaboo Layout (.json)")


_DRAWN = (
    ("VIEW3D_MT_add", _draw_add),
    ("VIEW3D_MT_object", _draw_object),
    ("TOPBAR_MT_file_import", _draw_import),
)

_register_classes, _unregister_classes = bpy.utils.register_classes_factory(
    (PEEKABOO_MT_add_subject, PEEKABOO_MT_subjects)
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
