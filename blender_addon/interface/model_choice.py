# SPDX-License-Identifier: GPL-3.0-or-later
"""The model of a shot in the panel: the list to choose from, what there is to know of it, its download."""

from __future__ import annotations

from typing import Any

import bpy

from .. import memory
from ..engine import catalogue
from ..errors import PeekabooError, shown
from ..making import downloading
from ..shot.model import model_of
from .sidebar import Drawn, draw_sentence

_ICONS: dict[str, Any] = {"downloaded": "CHECKMARK", "half": "TIME", "missing": "IMPORT"}


class PEEKABOO_MT_models(Drawn, bpy.types.Menu):
    """The models that clips can be made with: what they take, their licence, and whether they are here"""

    bl_label = "Models"

    def draw(self, _context):
        """Draw a line for each."""
        for name, entry in catalogue.choosable().items():
            size = f"{entry['width']} × {entry['height']}"
            text = f"{entry['title']}: {size}, {catalogue.memory(name)}, {catalogue.conditions(name)}"
            line = self.layout.operator(
                "peekaboo.choose_model", text=text, icon=_ICONS[catalogue.state(name)]
            )
            line.model = name


def draw_model(layout, context) -> None:
    """Draw the choice of the model, and what there is to know of the one that is chosen."""
    for known in catalogue.choosable():
        catalogue.state(known)  # for the menu, which is drawn but once when it is opened
    row = layout.row(align=True)
    row.prop(context.scene.peekaboo, "model")
    row.menu("PEEKABOO_MT_models", text="", icon="DOWNARROW_HLT")
    try:
        name = model_of(context.scene)
        draw_visit(layout, name)
        facts = " · ".join(catalogue.describe(name))
    except PeekabooError:  # whoever draws the frames says so
        return
    draw_sentence(layout, context, facts, "INFO")
    if name in catalogue.catalogue():
        _draw_download(layout, context, name)


def draw_visit(layout, path: object) -> None:
    """Offer to look at another machine, which a file names."""
    if machine := memory.far_machine(path):
        text = f"Look There: {shown(machine)}"
        layout.operator("peekaboo.look_there", text=text, icon="NETWORK_DRIVE").machine = machine


def draw_lora_download(layout, context, source: str) -> None:
    """Draw the download of a LoRA that is in a repository, and not here."""
    running, ended = downloading.current(), downloading.outcome(source)
    if running is not None and running.model == source:
        _draw_progress(layout, running)
    elif running is None and catalogue.lora_state(source) == "missing":
        layout.operator("peekaboo.download_lora", text="Download", icon="IMPORT").source = source
    if ended is not None:
        draw_sentence(layout, context, ended.text, "ERROR" if ended.failed else "INFO")


def _draw_progress(layout, running: downloading.Download) -> None:
    row = layout.row(align=True)
    row.progress(factor=running.factor, text=running.text)
    row.operator("peekaboo.cancel_download", text="", icon="CANCEL")


def _draw_download(layout, context, name: str) -> None:
    running, ended, here = downloading.current(), downloading.outcome(name), catalogue.state(name)
    for limit in catalogue.licence(name)[2] if here != "downloaded" else ():
        draw_sentence(layout, context, limit, "ERROR")
    if running is not None:
        if running.model != name:
            other = catalogue.catalogue().get(running.model)
            layout.label(text=other["title"] if other else shown(running.model))
        _draw_progress(layout, running)
    elif here != "downloaded":
        text = "Resume Download" if here == "half" else "Download"
        layout.operator("peekaboo.download_model", text=text, icon="IMPORT").model = name
    if ended is not None:
        draw_sentence(layout, context, ended.text, "ERROR" if ended.failed else "INFO")


_register_classes, _unregister_classes = bpy.utils.register_classes_factory((PEEKABOO_MT_models,))


def register():
    """Add the menu; from now on no machine is looked at that a file names, where there is somebody to ask."""
    _register_classes()
    memory.stay_home(None if bpy.app.background else lambda: bpy.data.filepath)


def unregister():
    """Take it away."""
    memory.stay_home(None)
    _unregister_classes()
