// SPDX-License-Identifier: GPL-2.0-or-later

// A real engine's use of one model file: llama.cpp maps it, on the CPU alone, and generates a few tokens. Prints one
// line of JSON with what happened and whether the process really has that very path mapped; a model that cannot be
// loaded, yields no token or is not mapped is one sentence on stderr and exit code 1.

import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { performance } from "node:perf_hooks";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const usage = "usage: generate.mjs [--engine=DIR] [--tokens=N] MODEL.gguf";
const repository = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

function parseCommandLine() {
        const { values, positionals } = parseArgs({
                options: {
                        engine: { type: "string", default: join(repository, "build", "engine") },
                        tokens: { type: "string", default: "8" },
                },
                allowPositionals: true,
        });
        const tokens = Number(values.tokens);

        if (positionals.length !== 1 || !Number.isInteger(tokens) || tokens < 1 || tokens > 64)
                throw new Error("one model and a number of tokens from 1 to 64 are expected");
        return { model: positionals[0], engine: resolve(values.engine), tokens };
}

// An ES module is searched for beside the file that imports it, not in the working directory: name it in full.
async function importEngine(directory) {
        const entry = join(directory, "node_modules", "node-llama-cpp", "dist", "index.js");

        if (!existsSync(entry))
                throw new Error(`there is no engine in ${directory}, run install.sh first`);
        return await import(pathToFileURL(entry).href);
}

// The kernel writes a newline in a path as \012, and " (deleted)" behind one that was unlinked or replaced.
function isMapped(path) {
        const name = path.replaceAll("\n", "\\012");

        return readFileSync("/proc/self/maps", "utf8").split("\n")
                .some((line) => line.replace(/^(\S+ +){5}/, "") === name); // the path follows five fields
}

async function generate(path, engine, wanted) {
        const { getLlama, LlamaLogLevel } = await importEngine(engine);
        const complaints = [];
        const llama = await getLlama({
                gpu: false, build: "never", skipDownload: true, progressLogs: false,
                maxThreads: 1, // where processors are short, more of them only spin at each other's barriers
                logLevel: LlamaLogLevel.error, logger: (level, message) => complaints.push(message.trim()),
        });

        try {
                const started = performance.now();
                const model = await llama.loadModel({
                        modelPath: path, gpuLayers: 0, useMmap: true, checkTensors: true,
                        ignoreMemorySafetyChecks: true, // they count the mirror's own pages as taken
                });
                const load_ms = Math.round(performance.now() - started);
                const context = await model.createContext({
                        contextSize: 128, threads: 1, ignoreMemorySafetyChecks: true,
                });
                const prompt = [model.tokens.bos, ...model.tokenize("Hello")];
                const tokens = [];

                for await (const token of context.getSequence().evaluate(prompt, { yieldEogToken: true }))
                        if (tokens.push(token) >= wanted)
                                break;
                return { loaded: path, mapped: isMapped(path), tokens: tokens.length,
                         text: model.detokenize(tokens), load_ms };
        } catch (error) {
                // the reasons come over from a thread of the engine's
                for (let tries = 0; complaints.length === 0 && tries < 40; tries++)
                        await new Promise((resume) => setTimeout(resume, 50));
                throw new Error([error.message, ...complaints].join("; "));
        } finally {
                await llama.dispose();
        }
}

let options;

try {
        options = parseCommandLine();
} catch (error) {
        console.error(`generate: ${error.message}\n${usage}`);
        process.exit(2);
}

try {
        const result = await generate(realpathSync(options.model), options.engine, options.tokens);

        console.log(JSON.stringify(result));
        if (!result.mapped)
                throw new Error("the engine did not map the file");
        if (result.tokens < 1)
                throw new Error("the engine generated no token");
} catch (error) {
        console.error(`generate: cannot use ${options.model}: ${error.message}`);
        process.exitCode = 1;
}
