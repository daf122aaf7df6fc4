/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The plain layout: what holds in any tree. llama.cpp, LM Studio, LocalAI, koboldcpp, vLLM and everything that is
 * copied by hand. What its pointers name is in layout/plain-pointer.c. See layout/kind.h. */

#include "layout/kind.h"

#include "layout/unfinished.h"

#include <fnmatch.h>

/* The list of shards of a model in several files: safetensors, or PyTorch's older ".bin". */
static bool is_index(const char *name) {
        static const char *const patterns[] = {
                "*.safetensors.index.json", "*.safetensors.index.*.json", "*.bin.index.json", "*.bin.index.*.json",
        };

        for (size_t i = 0; i < ELEMENTSOF(patterns); i++)
                if (fnmatch(patterns[i], name, 0) == 0)
                        return true;
        return false;
}

/* llama.cpp opens the first file of a split model and finds the others by their names. For GGUF only, which counts
 * from one: formats that count from zero (parquet) have no last file of the name expected here, and saving would
 * wait for it without end. */
static bool is_first_shard(const char *name) {
        return fnmatch("*-00001-of-[0-9][0-9][0-9][0-9][0-9].gguf", name, 0) == 0 &&
               fnmatch("*-of-0000[01].gguf", name, 0) != 0;
}

/* "hf download --local-dir" trusts its note of the version of a file, so the file has to be on disk first. */
static bool is_record_of_download(const char *path) {
        const char *s = strstr(path, LAYOUT_KIND_DOWNLOADS);

        return s && (s == path || s[-1] == '/') && fnmatch("?*.metadata", s + strlen(LAYOUT_KIND_DOWNLOADS), 0) == 0;
}

static LayoutRole role(const char *path) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *extension = strrchr(name, '.');
        bool pointer = false;

        if (unfinished_has_name(path, UNFINISHED_ALL))
                return LAYOUT_UNFINISHED;
        if (string_equal(extension, ".json"))
                pointer = is_index(name);
        else if (string_equal(extension, ".gguf"))
                pointer = is_first_shard(name);
        else if (string_equal(extension, ".yaml") || string_equal(extension, ".yml"))
                pointer = !slash; /* LocalAI */
        else if (string_equal(extension, ".metadata"))
                pointer = is_record_of_download(path);
        return pointer ? LAYOUT_POINTER : LAYOUT_CONTENT;
}

/* A store of Ollama or of Hugging Face may be somewhere in the tree. */
static bool claim(const char *path, Claim *ret) {
        const char *slash = strrchr(path, '/');

        if (!slash || slash - path < 5 || strncmp(slash - 5, "blobs", 5) != 0 || (slash - path > 5 && slash[-6] != '/'))
                return false;
        return layout_kind_is_ollama_blob(slash + 1, ret) || layout_kind_is_hub_blob(slash + 1, ret);
}

static bool may_link(_unused_ const char *path) {
        return true;
}

static bool is_shared(_unused_ const char *path) {
        return false;
}

static bool is_counted(const char *path, bool directory) {
        return !directory && role(path) != LAYOUT_UNFINISHED;
}

const LayoutType layout_kind_plain = { .name = "plain", .role = role, .claim = claim, .may_link = may_link,
                                       .is_shared = is_shared, .is_counted = is_counted };
