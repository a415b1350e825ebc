# SPDX-License-Identifier: GPL-3.0-or-later
"""Make what tests look at."""

import math

import bpy

from blender_addon.shot import seeds, settings, stating, subjects
from blender_addon.shot.job import make_job, write_job
from blender_addon.shot.layout import Layout, Subject, read_shot, timing_of

PROMPT = "a red ball and a blue cube on grass"


def add_camera(scene, location=(0, -10, 0), rotation=(math.pi / 2, 0, 0), **lens):
    """A camera that looks along +Y unless told otherwise; the first becomes the scene's."""
    data = bpy.data.cameras.new("Camera")
    for name, value in lens.items():
        setattr(data, name, value)
    camera = bpy.data.objects.new("Camera", data)
    camera.location, camera.rotation_euler = location, rotation
    scene.collection.objects.link(camera)
    scene.camera = scene.camera or camera
    return camera


def add_empty(
    scene,
    phrase="a red ball",
    display="CUBE",
    size=1.0,
    location=(0, 0, 0),
    rotation=(0, 0, 0),
    scale=(1, 1, 1),
):
    """An empty that is a subject."""
    empty = bpy.data.objects.new(f"{display.title()} Subject", None)
    empty.empty_display_type, empty.empty_display_size = display, size
    empty.location, empty.rotation_euler, empty.scale = location, rotation, scale
    scene.collection.objects.link(empty)
    empty.peekaboo.is_subject, empty.peekaboo.phrase = True, phrase
    return empty


def add_mesh(scene, vertices, faces, name="Mesh"):
    """A mesh object, which is no subject yet."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(vertices, [], faces)
    obj = bpy.data.objects.new(name, mesh)
    scene.collection.objects.link(obj)
    return obj


def small_shot(scene, frames=4):
    """Two subjects in view, with a prompt that names them, over a few frames."""
    scene.frame_start, scene.frame_end = 1, frames
    add_camera(scene)
    ball = add_empty(scene, "a red ball", "SPHERE", location=(-2, 0, 0))
    cube = add_empty(scene, "a blue cube", "CUBE", location=(2, 0, 0))
    scene.peekaboo.prompt = PROMPT
    return ball, cube


def write_shot(scene, folder, pictures=None):
    """Read a scene and write its job folder; returns the job."""
    layout = read_shot(scene)
    job = make_job(scene, layout, *seeds.seeds(scene), pictures or {})
    write_job(job, layout.labels, folder, pictures or {})
    return job


def layout_of(scene, labels):
    """The layout of labels that nothing in the scene has made."""
    named = [
        Subject(obj.name, stating.stated(obj.peekaboo, settings.SUBJECT)) for obj in subjects.marked(scene)
    ]
    return Layout(tuple(named), labels, timing_of(scene, len(labels)))
