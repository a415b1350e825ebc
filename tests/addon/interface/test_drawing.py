# SPDX-License-Identifier: GPL-3.0-or-later
"""Panels draw from memory: whatever they show of the disk was read before."""

import inspect
import os
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from bl_ui.utils import PresetPanel
from scenes import add_camera, add_empty, add_mesh, layout_of

from blender_addon import interface, memory
from blender_addon.engine import catalogue, job_schema
from blender_addon.errors import PeekabooError
from blender_addon.interface import icons, menus, overlay, panels_draft, preview_overlay, prompt_overlay
from blender_addon.shot.job import make_job, write_job
from blender_addon.takes import folders, reels, strips

DISK = {"open", "os.listdir", "os.scandir", "glob.glob"}
_told: list[Counter] = []


def _hear(event, arguments):
    if _told and event in DISK:
        _told[-1][f"{event} {arguments[0]}"] += 1


sys.addaudithook(_hear)


@contextmanager
def disk(monkeypatch):
    """Count what is asked of the disk; the state of a file makes no audit event, and is heard otherwise."""
    found = Counter()
    with monkeypatch.context() as patch:
        for name in ("stat", "lstat", "access", "readlink"):
            original = getattr(os, name)

            def heard(path, *arguments, original=original, name=name, **options):
                found[f"{name} {path}"] += 1
                return original(path, *arguments, **options)

            patch.setattr(os, name, heard)
        _told.append(found)
        try:
            yield found
        finally:
            _told.remove(found)


class Layout:
    """Takes whatever is drawn, and remembers the operators: Blender asks each of them whether it can run."""

    def __init__(self, operators, opens_menus=True, told=None, properties=None):
        self._operators, self._opens_menus = operators, opens_menus
        self._told = [] if told is None else told
        self._properties = set() if properties is None else properties

    def __getattr__(self, name):
        def draw(*arguments, **options):
            if name in {"operator", "operator_menu_enum"}:
                self._operators.add(arguments[0])
                self._told.append(options.get("text", ""))
                return SimpleNamespace()
            if name == "menu" and self._opens_menus:
                draw_class(getattr(bpy.types, arguments[0]), self._operators)
            if name == "label":
                self._told.append(options.get("text", ""))
            if name == "prop":
                self._properties.add(arguments[1])
            return Layout(self._operators, self._opens_menus, self._told, self._properties)

        return draw


def context():
    """Blender's own, in a sidebar that it has no window for."""
    own = bpy.context
    return SimpleNamespace(
        scene=own.scene,
        object=own.view_layer.objects.active,
        active_object=own.view_layer.objects.active,
        selected_objects=[],
        view_layer=own.view_layer,
        preferences=SimpleNamespace(system=SimpleNamespace(ui_scale=1.0), addons=own.preferences.addons),
        window_manager=own.window_manager,
        workspace=None,
        area=SimpleNamespace(type="VIEW_3D"),
        region=SimpleNamespace(width=300),
        space_data=None,
        mode="OBJECT",
    )


def classes():
    """All panels and lists of the interface."""
    modules = [each for _, each in inspect.getmembers(interface) if inspect.ismodule(each)]
    found = {each for module in modules for _, each in inspect.getmembers(module, inspect.isclass)}
    kinds = (bpy.types.Panel, bpy.types.UIList)
    return sorted(
        (
            each
            for each in found
            if issubclass(each, kinds)
            and each.__module__.startswith("blender_addon")
            and not issubclass(each, PresetPanel)  # Blender's own, which lists its files once it is opened
        ),
        key=lambda each: each.__name__,
    )


def draw_class(cls, operators):
    """Draw a panel, a menu or a list as Blender does, without a window."""
    own, at = SimpleNamespace(layout=Layout(operators), settings=getattr(cls, "settings", ())), context()
    if issubclass(cls, bpy.types.UIList):
        return
    poll = getattr(cls, "poll", None)
    if poll is not None and not poll(at):
        return
    for name in ("draw_header", "draw_header_preset", "draw"):
        if name in {each for base in cls.__mro__ for each in vars(base)} and cls.__module__ != "bl_ui":
            drawn = getattr(cls, name, None)
            if inspect.isfunction(drawn):
                drawn(own, at)


def draw_all():
    """Draw all that the tabs have, and ask the operators in it."""
    operators: set[str] = set()
    for cls in classes():
        draw_class(cls, operators)
    scene = bpy.context.scene
    rows = (
        ("PEEKABOO_UL_subjects", scene, "objects", scene.objects),
        ("PEEKABOO_UL_shots", scene, "timeline_markers", scene.timeline_markers),
        ("PEEKABOO_UL_takes", None, "", reels.takes(scene)),
    )
    for name, data, listed, items in rows:
        cls, own = getattr(bpy.types, name), SimpleNamespace(bitflag_filter_item=1)
        if data is not None:
            cls.filter_items(own, bpy.context, data, listed)
        for index, item in enumerate(items):
            if name != "PEEKABOO_UL_shots" or item.camera:
                more = (index,) if name == "PEEKABOO_UL_shots" else ()
                cls.draw_item(own, context(), Layout(operators), data, item, 0, None, "", *more)
    for name in operators:
        module, _, function = name.partition(".")
        with memory.drawing():  # as its polls have it in a window
            getattr(getattr(bpy.ops, module), function).poll()


def test_panels_read_nothing_of_the_disk_while_they_draw(scene, tmp_path, monkeypatch):
    """Neither the first time, when they do not know, nor once a timer has looked for them."""
    draw_scene(scene, tmp_path)
    models = [str(tmp_path / "model"), "zeroscope", "//nowhere/model"]
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model_index.json").write_text('{"_class_name": "TextToVideoSDPipeline"}')
    memory.forget()
    job_schema.size_problem(8, 8, 1)  # the package's own files are read once
    catalogue.catalogue()
    for model in models:
        scene.peekaboo.model = model
        for _ in range(3):
            with disk(monkeypatch) as asked:
                draw_all()
            assert not asked, (model, asked)
            memory.look_again()
    assert memory.is_asked() == (False, False)


def test_viewports_read_nothing_of_the_disk_while_they_draw(scene, tmp_path, monkeypatch):
    """Of a model's folder, which says what shape a clip has."""
    add_camera(scene)
    add_empty(scene)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model_index.json").write_text('{"_class_name": "TextToVideoSDPipeline"}')
    order = SimpleNamespace(preview=tmp_path, previews=1, frames=range(1, 9))
    for module, name, value in (  # as if there were a viewport
        (overlay, "looks_through_camera", True),
        (overlay, "_on_screen", None),
        (prompt_overlay, "looks_through_camera", True),
        (preview_overlay, "preview_in", order),
        (preview_overlay, "_current", None),
        (panels_draft.drafting, "pending", order),
    ):
        monkeypatch.setattr(module, name, lambda *_, value=value: value)
    scene.peekaboo.model = str(folder)
    job_schema.size_problem(8, 8, 1)  # the package's own files are read once
    for draw in (overlay._draw, prompt_overlay._draw, preview_overlay._draw, panels_draft._draw):
        memory.forget()
        catalogue.catalogue()
        for changes in (True, False):
            with disk(monkeypatch) as asked:
                draw()
            assert not asked, draw
            assert memory.look_again() is changes


def test_another_machine_that_a_file_names_is_not_looked_at_until_the_user_says_so(monkeypatch):
    looked, home = [], [""]

    @memory.remembered(PeekabooError("Looking..."))
    def size_of(path):
        looked.append(path)
        return len(path)

    paths = (r"\\Server\models\a", "//server/models/a")
    monkeypatch.setattr(memory, "_visited", set())
    memory.stay_home(lambda: home[0])
    try:
        for path in paths:
            for drawn in (True, False):  # the Shot Check and other timers ask without drawing
                with memory.drawing(drawn), pytest.raises(PeekabooError, match='"server"'):
                    size_of(path)
        assert not memory.look_again() and not looked
        assert size_of("/server/models/a") == 16
        with disk(monkeypatch) as asked:
            for path in paths:
                with pytest.raises(PeekabooError, match="press Look There"):
                    catalogue.model_size(path)
            assert icons.icon_of(Path("//server/takes/1/thumbnail.png"), 1) == 0
        assert not asked
        home[0] = r"\\SERVER\shots\shot.blend"  # where the user has opened a file
        assert size_of(paths[0]) == len(paths[0])
        home[0] = ""
        assert bpy.ops.peekaboo.look_there(machine=memory.far_machine(paths[1])) == {"FINISHED"}
        assert size_of(paths[1]) == len(paths[1])
    finally:
        memory.stay_home(None)
    assert memory.far_machine(r"\\other\share") == ""  # a command was typed


def test_what_is_drawn_changes_once_the_disk_does(tmp_path):
    looked = []

    @memory.remembered("unknown")
    def has(path):
        looked.append(path)
        if path == tmp_path / "wrong":
            raise PeekabooError("It is wrong: mend it.")
        return path.exists()

    with memory.drawing():
        assert has(tmp_path / "a") == has(tmp_path / "wrong") == "unknown" and not looked
        assert memory.is_asked() == (True, True)
    assert memory.look_again() and not memory.look_again()
    with memory.drawing(), pytest.raises(PeekabooError, match="It is wrong"):
        assert has(tmp_path / "a") is False
        has(tmp_path / "wrong")
    assert not memory.look_again()  # nothing has changed
    (tmp_path / "a").touch()
    with memory.drawing():
        assert has(tmp_path / "a") is False
    assert memory.look_again()
    with memory.drawing():
        assert has(tmp_path / "a") is True
    (tmp_path / "a").unlink()
    assert has(tmp_path / "a") is False  # whoever does not draw looks


def test_what_fails_as_nobody_has_foreseen_keeps_nothing_else_from_being_looked_at(tmp_path):
    @memory.remembered("unknown")
    def wrong(path):
        raise OSError(36, "File name too long")

    @memory.remembered("unknown")
    def has(path):
        return path.exists()

    memory.forget()
    with memory.drawing():
        assert wrong(tmp_path) == has(tmp_path) == "unknown"
    assert memory.look_again()
    with memory.drawing():
        assert has(tmp_path) is True
        with pytest.raises(PeekabooError, match="failed unexpectedly"):
            wrong(tmp_path)
    with pytest.raises(OSError, match="too long"):
        wrong(tmp_path)
    assert catalogue.lora_state(f"a/{'b' * 300}/c.safetensors") == "missing"


def test_the_list_of_models_is_known_before_it_is_opened(scene, tmp_path, monkeypatch):
    """It is drawn once, when it is opened, and not again once the disk was looked at."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    memory.forget()
    for _ in range(2):
        own = SimpleNamespace(layout=Layout(set(), opens_menus=False))
        bpy.types.PEEKABOO_PT_shot.draw(own, context())
        memory.look_again()
    with memory.drawing():
        assert {catalogue.state(name) for name in catalogue.choosable()} == {"downloaded", "missing"}


def labels_of(scene, width):
    """What the rows of the list of shots say at their ends in a sidebar so many pixels wide."""
    at, told = context(), []
    at.region.width = width
    for index, marker in enumerate(scene.timeline_markers):
        layout = Layout(set(), told=told)
        bpy.types.PEEKABOO_UL_shots.draw_item(None, at, layout, scene, marker, 0, None, "", index)
    return told[1::2]


def test_the_state_of_a_shot_is_a_number_where_there_is_no_room_for_words(scene, tmp_path):
    draw_scene(scene, tmp_path)
    scene.frame_end = 9  # of which the second shot has one, too few
    assert labels_of(scene, 400) == ["2 takes", "too short"]
    assert labels_of(scene, 250) == ["2", ""]


def test_the_button_names_the_one_shot_that_is_ticked(scene, tmp_path):
    draw_scene(scene, tmp_path)
    told = []
    own = SimpleNamespace(layout=Layout(set(), told=told))
    bpy.types.PEEKABOO_PT_generate.draw(own, context())
    scene.timeline_markers[0].peekaboo.enabled = False
    bpy.types.PEEKABOO_PT_generate.draw(own, context())
    scene.timeline_markers[1].name = "Close\n\u202e"
    bpy.types.PEEKABOO_PT_generate.draw(own, context())
    scene.timeline_markers.clear()
    bpy.types.PEEKABOO_PT_generate.draw(own, context())
    pressed = [text for text in told if text.startswith("Generate")]
    assert pressed == ["Generate: 2 Shots", "Generate: Shot 9", r"Generate: Close\n\u202e", "Generate"]


def test_markers_without_cameras_are_told_to_cut_nothing(scene):
    told = []
    panel, own = bpy.types.PEEKABOO_PT_shots, SimpleNamespace(layout=Layout(set(), told=told))
    scene.timeline_markers.new('"in rain"', frame=3)
    assert not panel.poll(context())
    marker = scene.timeline_markers.new("Close", frame=5)
    assert panel.poll(context())
    panel.draw(own, context())
    assert " ".join(told).startswith("No marker has a camera that renders, so the scene is one clip")
    marker.camera = add_camera(scene)
    told.clear()
    panel.draw(own, context())
    assert not any("No marker" in text for text in told)


def properties_of(obj):
    """What the panel of an active subject lets one set."""
    bpy.context.view_layer.objects.active, shown = obj, set()
    own = SimpleNamespace(layout=Layout(set(), properties=shown))
    bpy.types.PEEKABOO_PT_subject.draw(own, context())
    return shown


def test_a_subject_shows_what_changes_its_outline_and_nothing_else(scene):
    shape = {"empty_display_type", "empty_display_size"}
    empty, instance, parent = (add_empty(scene) for _ in range(3))
    mesh = add_mesh(scene, [(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2)])
    part = add_mesh(scene, [(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2)])
    part.parent = parent
    car = bpy.data.collections.new("Car")
    car.objects.link(mesh)
    instance.instance_type, instance.instance_collection = "COLLECTION", car
    assert shape < properties_of(empty) and "outline" not in properties_of(empty)
    for obj in (mesh, instance, parent):
        assert "outline" in properties_of(obj) and not shape & properties_of(obj)


def draw_scene(scene, tmp_path):
    scene.frame_start, scene.frame_end = 1, 16
    for frame in (1, 9):
        scene.timeline_markers.new(f"Shot {frame}", frame=frame).camera = add_camera(scene)
    bpy.context.view_layer.objects.active = add_empty(scene)
    scene.peekaboo.prompt = "a red ball in rain"
    scene.peekaboo.output_folder = str(tmp_path)
    labels = np.ones((4, 24, 32), np.uint8)
    for seed in (1, 2):
        job = make_job(scene, layout_of(scene, labels), seed=seed)
        folder = folders.new_folder(scene)
        write_job(job, labels, folder / "job")
        (folder / "clip.mp4").touch()
        strips.add_clip(reels.prepare(scene), folder / "clip.mp4", job)


def entries(draw, active=None, selected=()):
    """The operators that a menu of Blender's gets for what is active and selected."""
    at, operators = context(), set()
    at.object, at.selected_objects = active, list(selected)
    draw(SimpleNamespace(layout=Layout(operators)), at)
    return {name.removeprefix("peekaboo.") for name in operators}


def test_right_click_menus_have_what_can_be_made_of_what_is_there(scene):
    at_object, in_time = menus._draw_object_context, menus._draw_timeline_context
    camera, ball = add_camera(scene), add_empty(scene)
    other = add_empty(scene)
    other.peekaboo.is_subject = False
    assert entries(at_object) == set()
    assert entries(at_object, camera) == {"add_shot"}
    assert entries(at_object, ball) == {"animate_subject", "remove_subject"}
    assert entries(at_object, other, [other]) == {"make_subjects"}
    assert entries(in_time) == {"add_shot", "animate_subject"}
    scene.timeline_markers.new("Wide", frame=1).camera = camera
    assert entries(in_time) == {"add_shot", "remove_shot", "generate", "animate_subject"}
