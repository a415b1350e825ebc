# SPDX-License-Identifier: GPL-3.0-or-later
"""Every difference between Blender 4.2 and 5.2 that the add-on meets, one function each."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy


def strips(sequence_editor):
    """The strips of a sequence editor: called ``sequences`` before 4.4."""
    # hasattr, since an empty collection is falsy
    return sequence_editor.strips if hasattr(sequence_editor, "strips") else sequence_editor.sequences


def all_strips(sequence_editor):
    """The strips of a sequence editor and those in its meta strips; see :func:`strips`."""
    if hasattr(sequence_editor, "strips_all"):
        return sequence_editor.strips_all
    return sequence_editor.sequences_all


def all_strips_name(sequence_editor) -> str:
    """What :func:`all_strips` are called."""
    return "strips_all" if hasattr(sequence_editor, "strips_all") else "sequences_all"


def strip_range(strip) -> tuple[int, int]:
    """First frame of a strip and the one after its last: its handles, renamed in 5.1."""
    if hasattr(strip, "left_handle"):
        return int(strip.left_handle), int(strip.right_handle)
    return int(strip.frame_final_start), int(strip.frame_final_end)


def set_strip_length(strip, frame_count: int):
    """Set how many frames a strip covers; a right handle replaced the duration in 5.1."""
    start, end = strip_range(strip)
    if end - start == frame_count:
        return
    if hasattr(strip, "left_handle"):
        strip.right_handle = strip.left_handle + frame_count
    else:
        strip.frame_final_duration = frame_count


def set_strip_range(strip, start: int, end: int):
    """Set the handles of a strip: its first frame, and the one after its last; see :func:`strip_range`.

    Blender lets no handle pass the other one, so that the one goes first that makes room.
    """
    left, right = "left_handle", "right_handle"
    if not hasattr(strip, left):
        left, right = "frame_final_start", "frame_final_end"
    handles = [(left, start), (right, end)]
    for handle, frame in reversed(handles) if start >= strip_range(strip)[1] else handles:
        setattr(strip, handle, frame)


def movie_size(strip) -> tuple[int, int, int]:
    """How many frames the movie of a strip has, its width and its height; 0 where it cannot be read."""
    frames = strip.content_duration if hasattr(strip, "content_duration") else strip.frame_duration
    return int(frames), strip.elements[0].orig_width, strip.elements[0].orig_height


def content_start(strip) -> int:
    """Frame at which the first picture of a strip lies, which a handle may hide; renamed in 5.1."""
    return int(strip.content_start if hasattr(strip, "content_start") else strip.frame_start)


def set_content_start(strip, frame: int):
    """Move a strip in time so that its first picture lies at a frame; see :func:`content_start`."""
    if hasattr(strip, "content_start"):
        strip.content_start = frame
    else:
        strip.frame_start = frame


def edited_scene(context):
    """The scene that a sequencer shows, or a viewport: since 5.0 a workspace has one for its sequencers."""
    shown = getattr(context, "sequencer_scene", None)
    in_sequencer = context.area is not None and context.area.type == "SEQUENCE_EDITOR"
    return shown if shown is not None and in_sequencer else context.scene


def show_in_sequencers(scene, instead_of=None):
    """Let Video Sequencers without a scene show this one; since 5.0 their workspace says which they show.

    So do those that show a scene that it takes the place of.
    """
    for workspace in bpy.data.workspaces:
        if hasattr(workspace, "sequencer_scene") and workspace.sequencer_scene in (None, instead_of):
            workspace.sequencer_scene = scene


def show_in_sequencers_of(workspace, scene, others):
    """Let the Video Sequencers of a workspace show a scene; returns which one its window is to have.

    That is the one for its other editors, but before 5.0, where sequencers show their window's scene.
    """
    if not hasattr(workspace, "sequencer_scene"):
        return scene
    workspace.sequencer_scene = scene
    return others


def fcurves(datablock) -> list:
    """The F-Curves of a data-block's action."""
    return [curve for curves in _fcurve_collections(datablock) for curve in curves]


def fcurves_of_action(action) -> list:
    """All F-Curves of an action: since 4.4 those of all its slots."""
    if not hasattr(action, "layers"):
        return list(action.fcurves)
    return [
        curve
        for layer in action.layers
        for strip in layer.strips
        for bag in strip.channelbags
        for curve in bag.fcurves
    ]


def own_action(datablock):
    """Give a data-block whose F-Curves others follow too a copy of them, so that a change is its own.

    Since 4.4 an action has a slot for each that it animates, and a slot may be shared.
    """
    animation = datablock.animation_data
    if animation is None or animation.action is None:
        return
    action = animation.action
    if not hasattr(animation, "action_slot"):
        if action.users - action.use_fake_user > 1:
            animation.action = action.copy()
        return
    slot = animation.action_slot
    if slot is not None and len(slot.users()) > 1:
        identifier = slot.identifier
        animation.action = action.copy()
        animation.action_slot = animation.action.slots[identifier]


def remove_fcurves(datablock, data_path: str):
    """Remove the F-Curves of a property from a data-block's action."""
    for curves in _fcurve_collections(datablock):
        for curve in list(curves):
            if curve.data_path == data_path:
                curves.remove(curve)


def _fcurve_collections(datablock) -> list:
    """What holds F-Curves: the slot's channel bags since 4.4, and nothing else since 5.0."""
    animation = datablock.animation_data
    if animation is None or animation.action is None:
        return []
    if not hasattr(animation, "action_slot"):
        return [animation.action.fcurves]
    return [
        bag.fcurves
        for layer in animation.action.layers
        for strip in layer.strips
        if (bag := strip.channelbag(animation.action_slot)) is not None
    ]


def draw_text(layout, data, name: str, lines: int, placeholder: str = ""):
    """Draw a text of a property in a box of some lines; before 5.2 in the only one that there can be."""
    if hasattr(layout, "textbox"):
        layout.textbox(data, name, initial_visible_lines=lines, placeholder=placeholder)
    else:
        layout.prop(data, name, text="", placeholder=placeholder)


def folder_options() -> set[Any]:
    """Options of a property for a folder that may be relative to the .blend, which 4.5 and later ask for."""
    return {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set()


def set_exr_output(render, layered: bool):
    """Let a render go to OpenEXR files of 32 bits; those of many layers are a media type since 5.0."""
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "MULTI_LAYER_IMAGE" if layered else "IMAGE"
    render.image_settings.file_format = "OPEN_EXR_MULTILAYER" if layered else "OPEN_EXR"
    render.image_settings.color_mode = "RGBA"
    render.image_settings.color_depth = "32"
    render.image_settings.exr_codec = "ZIP"


def set_picture_output(render):
    """Let a render go to PNGs of 8 bits without an alpha channel; see :func:`set_exr_output`."""
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "IMAGE"
    render.image_settings.file_format = "PNG"
    render.image_settings.color_mode, render.image_settings.color_depth = "RGB", "8"


def literal_path(path) -> str:
    """A render's path whose braces are braces: since 4.5 they stand for what Blender puts there."""
    text = str(path)
    return text.replace("{", "{{").replace("}", "}}") if bpy.app.version >= (4, 5, 0) else text


@contextmanager
def own_compositor(copy) -> Iterator[Any]:
    """The compositor's nodes of a copied scene, for itself alone within a block; None without.

    Since 5.0 they are a node group, which the copy has in common with the scene, and which does not go with
    it.
    """
    if not hasattr(copy, "compositing_node_group"):
        yield copy.node_tree if copy.use_nodes else None
        return
    if copy.compositing_node_group is None:
        yield None
        return
    own = copy.compositing_node_group = copy.compositing_node_group.copy()
    own.is_runtime_data = True  # which no file is saved with
    try:
        yield own
    finally:
        bpy.data.node_groups.remove(own)


def composites_nothing(tree) -> bool:
    """Whether a compositor has no output, so that a render makes no picture; before 5.0 Blender says so."""
    return bpy.app.version >= (5, 0, 0) and all(node.type != "GROUP_OUTPUT" for node in tree.nodes)


def is_subdivided_adaptively(obj, modifier, scene) -> bool:
    """Whether Cycles itself chooses the levels of a last subdivision; a setting of the modifier since 5.0."""
    if hasattr(modifier, "use_adaptive_subdivision"):
        return modifier.use_adaptive_subdivision
    return scene.cycles.feature_set == "EXPERIMENTAL" and obj.cycles.use_adaptive_subdivision


def has_strokes(grease_pencil) -> bool:
    """Whether anything is drawn at any frame; a frame has a drawing, which has the strokes, since 4.3."""
    frames = [frame for layer in grease_pencil.layers if not layer.hide for frame in layer.frames]
    return any(len(getattr(frame, "drawing", frame).strokes) for frame in frames)


def set_movie_output(render):
    """Let a render go to an H.264 movie with sound; movies became a media type of their own in 5.0."""
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "VIDEO"
    render.image_settings.file_format = "FFMPEG"
    render.ffmpeg.format, render.ffmpeg.codec = "MPEG4", "H264"
    render.ffmpeg.constant_rate_factor = "HIGH"
    render.ffmpeg.audio_codec = "AAC"


class NodesInput:
    """The value of an input of a Geometry Nodes modifier: a custom property of it before 5.2."""

    def __init__(self, modifier, identifier: str):
        """Take an input by its identifier in the interface of the nodes."""
        self._modifier, self._identifier = modifier, identifier

    @property
    def value(self) -> Any:
        """As it is set; None where it never was."""
        if hasattr(self._modifier, "properties"):
            return getattr(self._modifier.properties.inputs, self._identifier).value
        return self._modifier.get(self._identifier)

    @value.setter
    def value(self, value: Any):
        if hasattr(self._modifier, "properties"):
            getattr(self._modifier.properties.inputs, self._identifier).value = value
        else:
            self._modifier[self._identifier] = value


def is_packed_bake(modifier, bake) -> bool:
    """Whether a bake of a Geometry Nodes modifier lies in the .blend, as they can since 4.3."""
    target = getattr(bake, "bake_target", "DISK")
    return (modifier.bake_target if target == "INHERIT" else target) == "PACKED"


def is_packed_library(library) -> bool:
    """Whether all that is linked from a library lies in the .blend, as data-blocks can since 5.0."""
    if getattr(library, "is_archive", False):
        return True
    return bool(getattr(library, "archive_libraries", ())) and not library.users_id
