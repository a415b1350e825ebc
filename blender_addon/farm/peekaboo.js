// SPDX-License-Identifier: GPL-3.0-or-later

// Job type of Flamenco (https://flamenco.blender.org/usage/job-types/): clips of the shots of a .blend.
// Copy it to the folder "scripts" beside flamenco-manager. What is to be done is in the setting "tasks", as
// Export Farm Job wrote it into flamenco.json: blender_addon/farm/flamenco.py.

const VERSION = 2;

const JOB_TYPE = {
    label: "Peekaboo",
    description: "Make clips: masks by Blender, each clip by Peekaboo's engine, then an edit and a report",
    settings: [
        { key: "folder", type: "string", subtype: "dir_path", required: true,
          eval: "str(Path(bpy.data.filepath).parent)",
          description: "Folder that Export Farm Job wrote; on storage that all workers see" },
        { key: "output_folder", type: "string", subtype: "dir_path", required: true,
          eval: "str(Path(bpy.data.filepath).with_name('clips'))",
          description: "Gets a folder for each clip, the edit and the report; of this job alone" },
        { key: "generate_task_type", type: "string", required: true, default: "peekaboo", visible: "submission",
          description: "Type of the tasks that make clips: workers that have the GPU for it list it in task_types" },
        { key: "machine_faults", type: "string", required: true, default: "fail", choices: ["fail", "keep"],
          visible: "submission",
          description: "What a fault of a machine does: fail its task, so that others may try it, or be kept, so that "
              + "gather runs in any case" },
        { key: "tasks", type: "string", required: true, visible: "hidden",
          eval: "__import__('json').loads(Path(bpy.data.filepath).with_name('flamenco.json').read_text('utf-8'))"
              + "['settings']['tasks']",
          description: "What is to be done, as Export Farm Job wrote it" },
    ],
};

function compileJob(job) {
    const settings = job.settings;
    const wanted = readTasks(settings.tasks);
    const folder = settings.folder.replace(/[\/\\]+$/, "");
    const places = {
        "<blend>": folder + "/" + wanted.blend,
        "<plan>": folder + "/" + wanted.plan,
        "<faults>": settings.machine_faults,
        "<out>": settings.output_folder.replace(/[\/\\]+$/, ""),
    };

    const tasks = [];
    for (const [kind, name, needs] of wanted.tasks) {
        const put = Object.assign({ "<name>": name }, places);
        const words = wanted.commands[kind].map((word) => put[word] || word);
        const task = author.Task((kind + " " + name).trim(), taskType(kind, settings));
        task.addCommand(kind === "masks" ? blenderCommand(words) : engineCommand(words));
        for (const number of needs) {
            task.addDependency(tasks[number]);
        }
        tasks.push(task);
    }
    // Manager copies a task as it is added: all that is to be said of it comes before.
    for (const task of tasks) {
        job.addTask(task);
    }
}

function readTasks(text) {
    let wanted;
    try {
        wanted = JSON.parse(text);
    } catch (error) {
        throw "The tasks of this job are not what Export Farm Job wrote: export it again.";
    }
    if (wanted.version < VERSION) {
        throw "An older Peekaboo exported this job: export it again.";
    }
    if (wanted.version > VERSION) {
        throw "A newer Peekaboo exported this job: copy the peekaboo.js beside its flamenco.json to Manager's scripts.";
    }
    return wanted;
}

function taskType(kind, settings) {
    return { masks: "blender", generate: settings.generate_task_type, gather: "misc" }[kind];
}

// [program, .blend, arguments...]; what else Blender is told on this farm is its own to say.
function blenderCommand(words) {
    return author.Command("blender-render", {
        exe: words[0],
        exeArgs: "{blenderArgs}",
        argsBefore: [],
        blendfile: words[1],
        args: words.slice(2),
    });
}

function engineCommand(words) {
    return author.Command("exec", { exe: words[0], args: words.slice(1) });
}
