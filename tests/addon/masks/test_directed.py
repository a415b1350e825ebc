# SPDX-License-Identifier: GPL-3.0-or-later
"""A directed scene as artists build them, held against Cycles in each of its shots."""

import math

import bpy
import numpy as np
from held import primitive, subject
from scenes import add_camera
from truth import render_labels

from blender_addon import compat
from blender_addon.shot import shots
from blender_addon.shot.layout import read_layout

WIDTH, HEIGHT = 54, 96
FIRST, LAST = 101, 180


def rigged_hero(scene):
    """A character of two meshes whose bones are keyed; returns the armature and the meshes."""
    bpy.ops.object.armature_add(enter_editmode=True)
    rig = bpy.context.object
    body = rig.data.edit_bones[0]
    body.head, body.tail = (0, 0, 0), (0, 0, 1)
    head = rig.data.edit_bones.new("Head")
    head.head, head.tail, head.parent = (0, 0, 1), (0, 0, 1.6), body
    names = body.name, head.name
    bpy.ops.object.mode_set(mode="OBJECT")
    meshes = [primitive("cube", "Body", size=0.7, location=(0, 0, 0.6))]
    meshes.append(primitive("cube", "Nod", size=0.5, location=(0, 0, 1.3)))
    for mesh, bone in zip(meshes, names, strict=True):
        mesh.vertex_groups.new(name=bone).add(range(8), 1.0, "REPLACE")
        mesh.parent, mesh.modifiers.new("Armature", "ARMATURE").object = rig, rig
    for frame, side, turn in ((FIRST, -1.5, -0.8), (LAST, 1.5, 0.8)):
        rig.location.x = side
        rig.keyframe_insert("location", frame=frame)
        pose = rig.pose.bones["Head"]
        pose.rotation_mode, pose.rotation_euler = "XYZ", (turn, 0, 0)
        pose.keyframe_insert("rotation_euler", frame=frame)
    return rig, meshes


def car_on_a_path(scene):
    """An instance of a collection below an empty that follows a path; returns the instance and its meshes."""
    meshes = [primitive("cube", "Cabin", size=0.8, location=(0, 0, 1)), primitive("cube", "Bonnet", size=1.2)]
    car = bpy.data.collections.new("Car")
    for mesh in meshes:
        scene.collection.objects.unlink(mesh)
        car.objects.link(mesh)
    bpy.ops.curve.primitive_nurbs_path_add(location=(0, 3, 0.6))
    path = bpy.context.object
    for frame, part in ((FIRST, 0), (LAST, path.data.path_duration)):
        path.data.eval_time = part
        path.data.keyframe_insert("eval_time", frame=frame)
    rider, instance = bpy.data.objects.new("Rider", None), bpy.data.objects.new("Car", None)
    instance.instance_type, instance.instance_collection, instance.parent = "COLLECTION", car, rider
    for obj in (rider, instance):
        scene.collection.objects.link(obj)
    follow = rider.constraints.new("FOLLOW_PATH")
    follow.target, follow.use_curve_follow = path, True
    return instance, meshes


def cut_between_cameras(scene, hero):
    """Wide, hand-held with a zoom, and high, a marker each."""
    hand = add_camera(scene, location=(2, -6, 1.5))
    hand.keyframe_insert("location", frame=FIRST)
    for curve in compat.fcurves(hand):
        noise = curve.modifiers.new("NOISE")
        noise.scale, noise.strength, noise.phase = 10, 0.4, 7 * curve.array_index
    track = hand.constraints.new("TRACK_TO")
    track.target, track.track_axis, track.up_axis = hero, "TRACK_NEGATIVE_Z", "UP_Y"
    for frame, lens in ((128, 30), (154, 60)):
        hand.data.lens = lens
        hand.data.keyframe_insert("lens", frame=frame)
    high = add_camera(scene, location=(0, -6, 7), rotation=(math.radians(48), 0, 0), lens=35)
    wide = add_camera(scene, location=(0, -10, 1), lens=35)
    for frame, camera in ((FIRST, wide), (128, hand), (155, high)):
        scene.timeline_markers.new(camera.name, frame=frame).camera = camera


def test_masks_of_a_directed_scene_are_what_each_of_its_cameras_renders(scene):
    scene.frame_start, scene.frame_end = FIRST, LAST
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    rig, body = rigged_hero(scene)
    instance, car = car_on_a_path(scene)
    cut_between_cameras(scene, rig)
    for obj, phrase in ((rig, "a tin robot"), (instance, "a toy car")):
        subject(obj).peekaboo.phrase = phrase
    scene.peekaboo.prompt = "a tin robot and a toy car"
    for shot in shots.shots_of(scene):
        read = read_layout(scene, WIDTH, HEIGHT, 2, shot=shot)
        of = {one.phrase: number for number, one in enumerate(read.subjects, 1)}
        labels = dict.fromkeys(body, of["a tin robot"]) | dict.fromkeys(car, of["a toy car"])
        for time, found in zip(read.timing.scene_frames, read.labels, strict=True):
            scene.frame_set(math.floor(time), subframe=time % 1)
            truth = render_labels(scene, labels)
            assert set(np.unique(truth)) == {0, 1, 2} == set(np.unique(found)), (shot.title, time)
            assert np.count_nonzero(found != truth) <= 0.02 * np.count_nonzero(truth), (shot.title, time)
