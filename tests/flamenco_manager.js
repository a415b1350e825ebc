// SPDX-License-Identifier: GPL-3.0-or-later

// Compiles a job as Flamenco Manager does, and refuses what Manager does not have or a worker would not take:
//
//     node flamenco_manager.js JOB_TYPE.js < JOB.json
//
// A job is a SubmittedJob; standard output gets {"jobType", "tasks"}. What there is is documented at
// https://flamenco.blender.org/usage/job-types/ and /usage/jobs-tasks-commands/commands/, the settings in
// Manager's interface (AvailableJobSetting).

"use strict";

const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");

const TEXT = (value) => typeof value === "string";
const TEXTS = (value) => Array.isArray(value) && value.every(TEXT);
const NUMBER = (value) => typeof value === "number";

// Name of a command: its parameters, those that it needs and those that may be left out.
const COMMANDS = {
    "blender-render": [{ exe: TEXT, argsBefore: TEXTS, blendfile: TEXT, args: TEXTS }, { exeArgs: TEXT }],
    "frames-to-video": [
        { exe: TEXT, fps: NUMBER, inputGlob: TEXT, outputFile: TEXT, args: TEXTS },
        { exeArgs: TEXT, argsBefore: TEXTS },
    ],
    "make-directory": [{ path: TEXT }, {}],
    "move-directory": [{ src: TEXT, dest: TEXT }, {}],
    "copy-file": [{ src: TEXT, dest: TEXT }, {}],
    "exec": [{ exe: TEXT, args: TEXTS }, {}],
    "echo": [{ message: TEXT }, {}],
    "sleep": [{ duration_in_seconds: NUMBER }, {}],
};

const SETTING = {
    key: TEXT, type: (value) => ["string", "int32", "float", "bool"].includes(value),
    subtype: (value) => ["file_path", "dir_path", "file_name", "hashed_file_path"].includes(value),
    choices: TEXTS, propargs: (value) => typeof value === "object", description: TEXT, label: TEXT,
    default: () => true, eval: TEXT, evalInfo: (value) => TEXT(value.description) && "showLinkButton" in value,
    visible: (value) => ["visible", "hidden", "submission", "web"].includes(value),
    required: (value) => typeof value === "boolean", editable: (value) => typeof value === "boolean",
};
const VALUES = {
    string: TEXT, int32: Number.isInteger, float: NUMBER, bool: (value) => typeof value === "boolean",
};

function refuse(problem) {
    throw new Error("Manager refuses: " + problem);
}

// An object whose other members are refused, since JavaScript would take them for undefined.
function only(name, members) {
    return new Proxy(members, {
        get(target, key) {
            return key in target || typeof key === "symbol" ? target[key] : refuse(`${name} has no ${key}`);
        },
        set: (target, key) => refuse(`${name}.${String(key)} is not set`),
    });
}

function checked(what, value, needed, others = {}) {
    if (value === null || typeof value !== "object") {
        refuse(`${what} is no object`);
    }
    for (const [key, given] of Object.entries(value)) {
        const holds = needed[key] || others[key] || refuse(`${what} has no ${key}`);
        holds(given) || refuse(`${key} of ${what} is ${JSON.stringify(given)}`);
    }
    for (const key of Object.keys(needed)) {
        key in value || refuse(`${what} lacks ${key}`);
    }
    return value;
}

function manager(tasks) {
    const made = new Map(); // what a script holds, to what is kept of it
    const known = (of, object) => made.get(object) || refuse(`that is no ${of}`);
    const open = (task) => task.added && refuse(`${task.name} was added: Manager has a copy of it`);

    const author = only("author", {
        Task(name, type) {
            TEXT(name) && name.trim() && TEXT(type) && type.trim() || refuse("author.Task(name, type)");
            const kept = { name: name.trim(), type: type.trim(), commands: [], dependencies: [], added: false };
            const task = only("a task", {
                addCommand(command) {
                    open(kept);
                    kept.commands.push(known("command", command));
                },
                addDependency(other) {
                    open(kept);
                    kept.dependencies.push(known("task", other));
                },
            });
            made.set(task, kept);
            return task;
        },
        Command(name, parameters, steps = 0) {
            const [needed, others] = COMMANDS[name] || refuse(`workers have no command ${name}`);
            checked(name, parameters, needed, others);
            Number.isInteger(steps) || refuse(`${name} has ${steps} steps`);
            const command = only("a command", {});
            made.set(command, { name, parameters });
            return command;
        },
    });
    const addTask = (task) => {
        const kept = known("task", task);
        open(kept);
        kept.commands.length || refuse(`${kept.name} has no command`);
        kept.added = true;
        tasks.push(kept);
    };
    const slashed = (text) => text.replace(/\\/g, "/");
    const paths = only("path", {
        basename: (text) => path.posix.basename(slashed(text)),
        dirname: (text) => path.posix.dirname(slashed(text)),
        join: (...parts) => slashed(path.posix.join(...parts)),
        stem: (text) => path.posix.parse(slashed(text)).name,
    });
    return { globals: { author, path: paths, print() {}, alert() {} }, addTask };
}

function main() {
    const script = process.argv[2];
    const job = JSON.parse(fs.readFileSync(0, "utf8"));
    checked("the job", job, { name: TEXT, type: TEXT, priority: Number.isInteger, submitter_platform: TEXT }, {
        settings: (value) => typeof value === "object", metadata: (value) => typeof value === "object",
    });
    job.type === path.basename(script, ".js").replace(/_/g, "-") || refuse(`there is no job type ${job.type}`);

    const tasks = [];
    const { globals, addTask } = manager(tasks);
    const context = vm.createContext(globals);
    vm.runInContext(`"use strict";\n${fs.readFileSync(script, "utf8")}`, context, { filename: script });
    const jobType = JSON.parse(vm.runInContext("JSON.stringify(JOB_TYPE)", context));
    checked("JOB_TYPE", jobType, { label: TEXT, settings: Array.isArray }, { description: TEXT });
    for (const setting of jobType.settings) {
        checked(`the setting ${setting.key}`, setting, { key: SETTING.key, type: SETTING.type }, SETTING);
    }
    const types = Object.fromEntries(jobType.settings.map((setting) => [setting.key, VALUES[setting.type]]));
    const needed = jobType.settings.filter((setting) => setting.required).map((setting) => setting.key);
    checked("the settings", job.settings, Object.fromEntries(needed.map((key) => [key, types[key]])), types);

    context.submitted = only("the job", {
        jobID: "0", name: job.name, jobType: job.type, priority: job.priority, created: new Date(),
        settings: only("job.settings", { ...job.settings }), metadata: only("job.metadata", { ...job.metadata }),
        addTask,
    });
    vm.runInContext("compileJob(submitted)", context, { timeout: 10000 });
    for (const task of tasks) {
        task.dependencies.every((other) => tasks.includes(other)) || refuse(`${task.name} waits for ever`);
    }
    const numbered = tasks.map(({ name, type, commands, dependencies }) => (
        { name, type, commands, dependencies: dependencies.map((other) => tasks.indexOf(other)) }
    ));
    process.stdout.write(JSON.stringify({ jobType, tasks: numbered }) + "\n");
}

try {
    main();
} catch (error) {
    process.stderr.write(`${error && error.message ? error.message : error}\n`);
    process.exitCode = 1;
}
