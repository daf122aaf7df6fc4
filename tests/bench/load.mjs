// SPDX-License-Identifier: GPL-2.0-or-later

// llama.cpp loads a model as it does by default, by mapping it, on the CPU alone, and evaluates one token, which reads every weight once.
// Prints one line of JSON: seconds and page faults of the loading, and of both together.

import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { pathToFileURL } from "node:url";

const [directory, modelPath] = process.argv.slice(2);
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(join(directory, "node_modules", "node-llama-cpp", "dist", "index.js")).href);
const llama = await getLlama({
        gpu: false, build: "never", skipDownload: true, progressLogs: false, maxThreads: 1, logLevel: LlamaLogLevel.error,
});

function now() {
        const { minorPageFault, majorPageFault } = process.resourceUsage();

        return { seconds: performance.now() / 1000, minor: minorPageFault, major: majorPageFault };
}

const begin = now();
const model = await llama.loadModel({ modelPath, gpuLayers: 0, useMmap: true, ignoreMemorySafetyChecks: true });
const loaded = now();
const context = await model.createContext({ contextSize: 128, threads: 1, ignoreMemorySafetyChecks: true });
let tokens = 0;

for await (const _ of context.getSequence().evaluate([model.tokens.bos], { yieldEogToken: true }))
        if (++tokens >= 1)
                break;

const end = now();

console.log(JSON.stringify({
        seconds: loaded.seconds - begin.seconds, minor: loaded.minor - begin.minor, major: loaded.major - begin.major,
        token_seconds: end.seconds - begin.seconds, token_minor: end.minor - begin.minor, token_major: end.major - begin.major, tokens,
}));
await llama.dispose();
