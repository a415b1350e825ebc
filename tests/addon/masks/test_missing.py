# SPDX-License-Identifier: GPL-3.0-or-later
"""What is linked from files that do not have it any more is named, not left out of masks without a word."""

import bpy
import pytest
from held import mask, primitive, subject
from scenes import add_camera

from blender_addon.errors import PeekabooError
from blender_addon.shot import check, findings, subjects


@pytest.fixture
def library(scene, tmp_path):
    """A file of all that a scene may link."""
    ball = primitive("uv_sphere", "Ball", radius=1)
    ball.data.name = "Ball"
    ball.data.materials.append(bpy.data.materials.new("Paint"))
    group = bpy.data.collections.new("Group")
    group.objects.link(ball)
    camera = add_camera(scene)
    camera.name = camera.data.name = "Lens"
    made = {ball, ball.data, group, camera, camera.data, *ball.data.materials}
    made |= {bpy.data.actions.new("Move"), bpy.data.textures.new("Bumps", "CLOUDS")}
    made.add(bpy.data.scenes.new("Walls"))
    made |= {bpy.data.node_groups.new("Nodes", "GeometryNodeTree"), bpy.data.images.new("Picture", 4, 2)}
    path = tmp_path / "library.blend"
    bpy.data.libraries.write(str(path), made, fake_user=True)
    return path


@pytest.fixture(params=["emptied", "gone"])
def reopened(request, library, tmp_path):
    """Link something into a scene, build on it, and open the file again without what was linked."""

    def reopen(kind, name, build):
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        scene = bpy.context.scene
        add_camera(scene)
        with bpy.data.libraries.load(str(library), link=True) as (_, wanted):
            setattr(wanted, kind, [name])
        build(scene, getattr(bpy.data, kind)[name])
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
        library.unlink()
        if request.param == "emptied":
            bpy.data.libraries.write(str(library), {bpy.data.scenes.new("Nothing")})
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
        return bpy.context.scene

    reopen.why = "that has none of this name" if request.param == "emptied" else "there is no such file"
    return reopen


def of_its_mesh(scene, mesh):
    subject(added(scene, bpy.data.objects.new("Own", mesh)))


def added(scene, obj):
    scene.collection.objects.link(obj)
    return obj


def cube():
    return subject(primitive("cube", "Own"))


def with_parent(scene, obj):
    cube().parent = added(scene, obj)


def with_constraint_of_a_parent(scene, obj):
    own = cube()
    own.parent = added(scene, bpy.data.objects.new("Above", None))
    own.parent.constraints.new("COPY_LOCATION").target = added(scene, obj)


def with_driver(scene, obj):
    driver = cube().driver_add("location", 0).driver
    target = driver.variables.new().targets[0]
    target.id, target.data_path = added(scene, obj), "location.x"


def instancing(scene, group):
    empty = subject(added(scene, bpy.data.objects.new("Own", None)))
    empty.instance_type, empty.instance_collection = "COLLECTION", group


def animated(_scene, action):
    cube().animation_data_create().action = action


def through(scene, lens):
    subject(primitive("cube", "Own"))
    scene.camera.data = lens


def looked_through(scene, camera):
    cube()
    scene.camera = added(scene, camera)


def of_nodes(_scene, group):
    cube().modifiers.new("Nodes", "NODES").node_group = group


def displaced(_scene, texture):
    cube().modifiers.new("Displace", "DISPLACE").texture = texture


def picture(scene, image):
    empty = subject(added(scene, bpy.data.objects.new("Own", None)))
    empty.empty_display_type, empty.data = "IMAGE", image


def hiding(scene, obj):
    cube()
    added(scene, obj)
    scene.peekaboo.occluded_by_scene = True


def hiding_in_a_set(scene, walls):
    cube()
    scene.background_set, scene.peekaboo.occluded_by_scene = walls, True


NEEDED = {
    hiding_in_a_set: ("scenes", "Walls", 'The scene "Walls" is linked from'),
    of_its_mesh: ("meshes", "Ball", '"Own" needs the mesh "Ball", linked from'),
    with_parent: ("objects", "Ball", '"Own" needs the object "Ball", linked from'),
    with_constraint_of_a_parent: ("objects", "Ball", '"Own" needs the object "Ball", linked from'),
    with_driver: ("objects", "Ball", '"Own" needs the object "Ball", linked from'),
    instancing: ("collections", "Group", '"Own" needs the collection "Group", linked from'),
    animated: ("actions", "Move", '"Own" needs the action "Move", linked from'),
    through: ("cameras", "Lens", '"Camera" needs the camera "Lens", linked from'),
    looked_through: ("objects", "Lens", 'The object "Lens" is linked from'),
    of_nodes: ("node_groups", "Nodes", '"Own" needs the node tree "Nodes", linked from'),
    displaced: ("textures", "Bumps", '"Own" needs the .*texture "Bumps", linked from'),
    picture: ("images", "Picture", '"Own" needs the image "Picture", linked from'),
    hiding: ("objects", "Ball", 'The object "Ball" is linked from'),
}


@pytest.mark.parametrize("build", NEEDED, ids=lambda build: build.__name__)
def test_what_masks_need_and_a_library_has_not_is_named(reopened, build):
    kind, name, words = NEEDED[build]
    scene = reopened(kind, name, build)
    with pytest.raises(PeekabooError, match=rf'{words} ".*library.blend", and {reopened.why}: bring it back'):
        mask(scene)
    report = check.check_now(scene)  # what the panel shows
    assert f'"{name}"' in report.problem and "relocate the library" in report.problem


def seen_beside(scene, obj):
    cube()
    added(scene, obj)


def painted(_scene, material):
    cube().data.materials.append(material)


def drawn_as_a_bone(scene, obj):
    armature = bpy.data.armatures.new("Rig")
    rig = added(scene, bpy.data.objects.new("Rig", armature))
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    armature.edit_bones.new("Bone").tail = (0, 0, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    rig.pose.bones["Bone"].custom_shape = obj
    cube().parent = rig


@pytest.mark.parametrize(
    ("build", "kind", "name"),
    [(seen_beside, "objects", "Ball"), (painted, "materials", "Paint"), (drawn_as_a_bone, "objects", "Ball")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_masks_do_not_need_is_none_of_their_business(reopened, build, kind, name):
    scene = reopened(kind, name, build)
    assert mask(scene).any()
    told = [finding.text for finding in findings.absent(scene)]
    in_scene = build is seen_beside
    assert [text.startswith(f'"{name}" is not in the file that it is linked from') for text in told] == [
        True
    ] * in_scene


def excluded(scene, *objects, collections=()):
    """What is in a collection that no view layer shows, beside a subject that all others may hide."""
    cube()
    own = bpy.data.collections.new("Aside")
    for obj in objects:
        own.objects.link(obj)
    for collection in collections:
        own.children.link(collection)
    scene.collection.children.link(own)
    bpy.context.view_layer.layer_collection.children["Aside"].exclude = True
    scene.peekaboo.occluded_by_scene = True


def excluded_collection(scene, group):
    excluded(scene, collections=[group])


def of_a_hidden_object(scene, mesh):
    cube()
    added(scene, bpy.data.objects.new("Proxy", mesh)).hide_render = True
    scene.peekaboo.occluded_by_scene = True


def focused_on(scene, obj):
    cube()
    scene.camera.data.dof.focus_object = obj


def behind_the_picture(scene, image):
    cube()
    scene.camera.data.background_images.new().image = image


def muted(scene, obj):
    own = cube()
    own.driver_add("location", 0).mute = True
    own.animation_data.drivers[0].driver.variables.new().targets[0].id = obj
    constraint = own.constraints.new("COPY_LOCATION")
    constraint.target, constraint.mute = obj, True
    modifier = own.modifiers.new("Shrinkwrap", "SHRINKWRAP")
    modifier.target, modifier.show_render = obj, False


def lit_alone(_scene, group):
    cube().light_linking.receiver_collection = group


IDLE = {
    excluded: ("objects", "Ball"),
    excluded_collection: ("collections", "Group"),
    of_a_hidden_object: ("meshes", "Ball"),
    focused_on: ("objects", "Ball"),
    behind_the_picture: ("images", "Picture"),
    muted: ("objects", "Ball"),
    lit_alone: ("collections", "Group"),
}


@pytest.mark.parametrize("build", IDLE, ids=lambda build: build.__name__)
def test_what_has_no_part_in_what_is_seen_may_be_missing(reopened, build):
    assert mask(reopened(*IDLE[build], build)).any()


def test_what_is_muted_by_an_animation_may_come_back(reopened):
    def build(scene, obj):
        constraint = cube().constraints.new("COPY_LOCATION")
        constraint.target, constraint.mute = added(scene, obj), True
        constraint.keyframe_insert("mute", frame=1)

    with pytest.raises(PeekabooError, match='"Own" needs the object "Ball"'):
        mask(reopened("objects", "Ball", build))


def test_a_bones_shape_that_it_also_follows_is_needed(reopened):
    def build(scene, obj):
        drawn_as_a_bone(scene, obj)
        bpy.data.objects["Rig"].pose.bones["Bone"].constraints.new("COPY_LOCATION").target = obj

    with pytest.raises(PeekabooError, match='"Own" needs the object "Ball"'):
        mask(reopened("objects", "Ball", build))


def test_a_subject_that_was_one_in_its_own_file_is_named(reopened):
    scene = reopened("objects", "Ball", added)
    with pytest.raises(PeekabooError, match=r'no subject ."Ball" is not in the file that it is linked from'):
        subjects.roles_of(scene)


def test_a_collection_of_walls_that_is_not_there_hides_nothing_without_a_word(reopened):
    def build(scene, group):
        cube()
        scene.collection.children.link(group)

    scene = reopened("collections", "Group", build)
    assert mask(scene).any() and len(findings.absent(scene)) == 1
    scene.peekaboo.occluded_by_scene = True
    with pytest.raises(PeekabooError, match='The collection "Group" is linked from'):
        mask(scene)


def test_a_target_that_was_never_set_is_ignored_as_by_a_render(stage):
    own = cube()
    for kind in ("COPY_LOCATION", "CHILD_OF", "TRACK_TO", "ARMATURE"):
        own.constraints.new(kind)
    own.modifiers.new("Hook", "HOOK")
    assert mask(stage).any()
