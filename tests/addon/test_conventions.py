# SPDX-License-Identifier: GPL-3.0-or-later
"""What Blender's users expect of any add-on: labels, tooltips, reasons, menus, presets, and no traces."""

import inspect
import re
from pathlib import Path

import bpy
import pytest
from scenes import add_camera, small_shot

import blender_addon

SMALL_WORDS = {"a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"}


def ours(kind):
    return [
        cls
        for cls in kind.__subclasses__()
        if cls.__module__.startswith("blender_addon") and cls.is_registered
    ]


def our_groups():
    return [*ours(bpy.types.PropertyGroup), *ours(bpy.types.AddonPreferences)]


def properties(cls):
    rna = cls.bl_rna
    if issubclass(cls, bpy.types.Operator):
        rna = getattr(bpy.ops.peekaboo, cls.bl_idname.rpartition("_OT_")[2].rpartition(".")[2]).get_rna_type()
    return [prop for prop in rna.properties if prop.identifier not in {"rna_type", "bl_idname", "name"}]


def is_title(text):
    words = [word for word in re.split(r"[\s(]+", text) if word[:1].isalpha()]
    return all(word[0].isupper() or word in SMALL_WORDS for word in words) and words[0][0].isupper()


def test_labels_are_in_title_case_and_all_has_a_tooltip():
    for cls in [*ours(bpy.types.Operator), *our_groups()]:
        if issubclass(cls, bpy.types.Operator):
            assert is_title(cls.bl_label), cls
            tooltip = getattr(cls, "bl_description", None) or cls.__doc__
            assert tooltip and not tooltip.endswith("."), cls
        for prop in properties(cls):
            if prop.is_hidden or prop.identifier in {"preset_name", "remove_name", "remove_active"}:
                continue
            inherited = prop.identifier in {"filepath", "check_existing", "directory", "files", "filename"}
            assert inherited or (is_title(prop.name) and prop.description), (cls, prop.identifier)
            assert not prop.description.endswith("."), (cls, prop.identifier)
    for cls in ours(bpy.types.Panel):
        assert is_title(cls.bl_label), cls


def test_a_poll_that_can_fail_says_why():
    for cls in ours(bpy.types.Operator):
        if "poll" in cls.__dict__:
            assert "poll_message_set" in inspect.getsource(cls.poll), cls


def test_the_sequencers_panels_are_those_of_the_viewport():
    """Whoever works beside the clips finds the same there: drawn by the same code, in the same order."""
    panels = {cls.__name__: cls for cls in ours(bpy.types.Panel)}
    twins = {name: cls for name, cls in panels.items() if "_sequencer_" in name}
    assert sorted(twins) == ["PEEKABOO_PT_sequencer_generate", "PEEKABOO_PT_sequencer_takes"]
    for name, twin in twins.items():
        own = panels[name.replace("_sequencer", "")]
        assert (own.bl_space_type, twin.bl_space_type) == ("VIEW_3D", "SEQUENCE_EDITOR")
        assert own.draw is twin.draw and own.bl_order == twin.bl_order and own.bl_label == twin.bl_label
        assert own.bl_category == twin.bl_category == "Peekaboo"


@pytest.mark.parametrize(
    "name", ["add_subject", "make_subjects", "animate_subject", "import_layout", "add_timed_phrase"]
)
def test_what_authors_a_shot_can_be_adjusted_and_undone(name):
    """Adjust Last Operation (F9) shows the options of what is registered."""
    cls = getattr(bpy.types, f"PEEKABOO_OT_{name}")
    assert {"REGISTER", "UNDO"} <= cls.bl_options
    assert any(not prop.is_hidden for prop in properties(cls))


def test_a_shot_is_kept_as_a_preset_and_comes_back(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(bpy.utils, "user_resource", lambda *_, path="", **__: str(tmp_path / path))
    (tmp_path / "presets" / "peekaboo_shot").mkdir(parents=True)
    settings = scene.peekaboo
    settings.prompt, settings.num_inference_steps, settings.seed_mode = "mine", 12, "RANDOM"
    bpy.ops.peekaboo.shot_preset_add(name="Twelve Steps")
    (preset,) = tmp_path.rglob("*.py")
    settings.prompt, settings.num_inference_steps, settings.seed_mode = "other", 0, "FIXED"
    bpy.ops.script.execute_preset(filepath=str(preset), menu_idname="PEEKABOO_PT_shot_presets")
    assert (settings.prompt, settings.num_inference_steps, settings.seed_mode) == ("other", 12, "RANDOM")


def test_a_preset_holds_settings_that_exist():
    for value in bpy.types.PEEKABOO_OT_shot_preset_add.preset_values:
        assert hasattr(bpy.context.scene.peekaboo, value.rpartition(".")[2])


def test_settings_of_which_a_clip_has_one_value_cannot_be_keyframed(scene):
    with pytest.raises(TypeError, match="not animatable"):
        scene.keyframe_insert("peekaboo.seed")


def traces():
    handlers = [
        f"{kind}: {handler.__name__}"
        for kind in dir(bpy.app.handlers)
        if isinstance(getattr(bpy.app.handlers, kind), list)
        for handler in getattr(bpy.app.handlers, kind)
        if "blender_addon" in getattr(handler, "__module__", "")
    ]
    menus = [
        name
        for name in dir(bpy.types)
        if "_MT_" in name
        for draw in getattr(getattr(bpy.types, name).draw, "_draw_funcs", ())
        if "blender_addon" in getattr(draw, "__module__", "")
    ]
    types = [name for name in dir(bpy.types) if "PEEKABOO" in name]
    return handlers + menus + types + dir(bpy.ops.peekaboo)


def test_disabling_leaves_nothing_and_enabling_brings_it_all_back():
    before = traces()
    menus = {"VIEW3D_MT_add", "VIEW3D_MT_object", "TOPBAR_MT_file_import", "TOPBAR_MT_render"}
    assert menus | {"SEQUENCER_MT_strip", "add_subject"} <= set(before)
    for _ in range(2):
        blender_addon.unregister()
        assert traces() == []
        assert not hasattr(bpy.types.Scene, "peekaboo") and not hasattr(bpy.types.Object, "peekaboo")
        blender_addon.register()
        assert traces() == before


def test_there_is_no_keymap():
    for path in Path(blender_addon.__file__).parent.rglob("*.py"):
        assert "keymaps" not in path.read_text(encoding="utf-8"), path


def test_reasons_lead_to_what_is_missing(scene):
    assert not bpy.ops.peekaboo.animate_subject.poll()
    assert not bpy.ops.peekaboo.import_layout.poll()
    add_camera(scene)
    assert bpy.ops.peekaboo.import_layout.poll()
    ball, _ = small_shot(scene)
    bpy.context.view_layer.objects.active = ball
    assert bpy.ops.peekaboo.animate_subject.poll()
