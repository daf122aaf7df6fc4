/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Writes a model file of a chosen size: GGUF version 3, architecture "llama", random weights, a tokenizer of single
 * bytes and printable characters. llama.cpp loads it and generates nonsense, so tests and demo have a real model
 * without fetching one. The same size and seed give the same bytes on every machine. The file is written from front
 * to back in large blocks; one that could not be finished is removed.
 *
 * Layout of a GGUF file: magic and counts, key-value pairs, one info per tensor (name, dimensions, type, offset),
 * padding, then the tensors' bytes, each at a multiple of the alignment. All numbers are little-endian. */

#include <endian.h>
#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>

#include "base/base.h"

#define ALIGNMENT 32u
#define HEAD_SIZE 64u                                /* elements of one attention head */
#define FIRST_BYTE_TOKEN 3u                          /* after <unk>, <s>, </s> */
#define FIRST_CHARACTER_TOKEN (FIRST_BYTE_TOKEN + 256u)
#define N_TOKENS (FIRST_CHARACTER_TOKEN + '~' - ' ' + 1u)
#define BLOCK_WORDS (MIB / sizeof(uint64_t))
#define SEED_MAX ((UINT64_C(1) << 24) - 1)

enum { VALUE_UINT32 = 4, VALUE_INT32 = 5, VALUE_FLOAT32 = 6, VALUE_STRING = 8, VALUE_ARRAY = 9 };
enum { TOKEN_NORMAL = 1, TOKEN_UNKNOWN = 2, TOKEN_CONTROL = 3, TOKEN_BYTE = 6 };

typedef enum TensorType { TENSOR_F32 = 0, TENSOR_F16 = 1 } TensorType;

typedef struct Shape {
        uint32_t width;   /* of the embedding */
        uint32_t hidden;  /* width inside a feed-forward block */
        uint32_t layers;
} Shape;

typedef struct Tensor {
        char name[40];
        TensorType type;
        uint64_t columns;
        uint64_t rows;    /* 1: a vector */
        uint64_t offset;  /* from the start of the data, aligned */
        uint64_t size;    /* bytes, without the padding after them */
} Tensor;

typedef struct Model {
        Shape shape;
        Tensor *tensors;
        size_t n_tensors;
        uint64_t data_size;
} Model;

/* ---- the shape of the model ---- */

/* The width doubles with every fourfold size; layers make up the rest coarsely, the feed-forward width finely. */
static Shape shape_for_size(uint64_t size) {
        Shape shape = { .width = HEAD_SIZE };
        uint64_t width, layer, attention, hidden;

        while (size / (32ull * shape.width * shape.width) > 16)
                shape.width *= 2;
        width = shape.width;

        size -= MIN(size, 2 * sizeof(uint16_t) * width * N_TOKENS); /* embedding and output */
        layer = 32 * width * width; /* bytes, with a feed-forward width of four times the width */
        shape.layers = (uint32_t) MAX(size / layer, 1u);

        attention = 4 * sizeof(uint16_t) * width * width * shape.layers;
        hidden = (size - MIN(size, attention)) / (3 * sizeof(uint16_t) * width * shape.layers);
        shape.hidden = (uint32_t) MAX(hidden / ALIGNMENT * ALIGNMENT, (uint64_t) ALIGNMENT);
        return shape;
}

/* Adds "blk.@layer.@name.weight", or "@name.weight" if @layer is negative; norms are F32, everything else F16. */
static void model_add(Model *model, int layer, const char *name, uint64_t columns, uint64_t rows) {
        Tensor *tensor = &model->tensors[model->n_tensors++];

        *tensor = (Tensor) { .type = rows == 1 ? TENSOR_F32 : TENSOR_F16, .columns = columns, .rows = rows,
                             .offset = model->data_size };
        if (layer >= 0)
                (void) snprintf(tensor->name, sizeof(tensor->name), "blk.%d.%s.weight", layer, name);
        else
                (void) snprintf(tensor->name, sizeof(tensor->name), "%s.weight", name);
        tensor->size = columns * rows * (tensor->type == TENSOR_F32 ? sizeof(float) : sizeof(uint16_t));
        model->data_size += round_up(tensor->size, ALIGNMENT);
}

static void model_add_layer(Model *model, int layer) {
        uint64_t width = model->shape.width, hidden = model->shape.hidden;

        model_add(model, layer, "attn_norm", width, 1);
        model_add(model, layer, "attn_q", width, width);
        model_add(model, layer, "attn_k", width, width);
        model_add(model, layer, "attn_v", width, width);
        model_add(model, layer, "attn_output", width, width);
        model_add(model, layer, "ffn_norm", width, 1);
        model_add(model, layer, "ffn_gate", width, hidden);
        model_add(model, layer, "ffn_up", width, hidden);
        model_add(model, layer, "ffn_down", hidden, width);
}

static int model_init(Model *model, uint64_t size) {
        Shape shape = shape_for_size(size);

        *model = (Model) { .shape = shape, .tensors = calloc(3 + 9 * (size_t) shape.layers, sizeof(Tensor)) };
        if (!model->tensors)
                return -ENOMEM;

        model_add(model, -1, "token_embd", shape.width, N_TOKENS);
        for (int i = 0; i < (int) shape.layers; i++)
                model_add_layer(model, i);
        model_add(model, -1, "output_norm", shape.width, 1);
        model_add(model, -1, "output", shape.width, N_TOKENS);
        return 0;
}

static void model_done(Model *model) {
        free(model->tensors);
}

/* ---- the header, into a stream in memory whose errors are checked once, at the end ---- */

static void put_u32(FILE *out, uint32_t value) {
        value = htole32(value);
        (void) fwrite(&value, sizeof(value), 1, out);
}

static void put_u64(FILE *out, uint64_t value) {
        value = htole64(value);
        (void) fwrite(&value, sizeof(value), 1, out);
}

static void put_float(FILE *out, float value) {
        uint32_t bits;

        memcpy(&bits, &value, sizeof(bits));
        put_u32(out, bits);
}

static void put_string(FILE *out, const char *text) {
        put_u64(out, strlen(text));
        (void) fputs(text, out);
}

static void put_key(FILE *out, const char *key, uint32_t type) {
        put_string(out, key);
        put_u32(out, type);
}

static void put_array(FILE *out, const char *key, uint32_t type) {
        put_key(out, key, VALUE_ARRAY);
        put_u32(out, type);
        put_u64(out, N_TOKENS);
}

static uint32_t token_type(uint32_t token) {
        if (token == 0)
                return TOKEN_UNKNOWN;
        if (token < FIRST_BYTE_TOKEN)
                return TOKEN_CONTROL;
        return token < FIRST_CHARACTER_TOKEN ? TOKEN_BYTE : TOKEN_NORMAL;
}

static void put_token(FILE *out, uint32_t token) {
        static const char *const special[FIRST_BYTE_TOKEN] = { "<unk>", "<s>", "</s>" };
        char text[8] = "\xe2\x96\x81"; /* U+2581, which stands for the space */

        if (token < FIRST_BYTE_TOKEN)
                return put_string(out, special[token]);
        if (token < FIRST_CHARACTER_TOKEN)
                (void) snprintf(text, sizeof(text), "<0x%02X>", (token - FIRST_BYTE_TOKEN) & 0xff);
        else if (token > FIRST_CHARACTER_TOKEN)
                (void) snprintf(text, sizeof(text), "%c", (int) (token - FIRST_CHARACTER_TOKEN + ' '));
        put_string(out, text);
}

static void put_tokenizer(FILE *out) {
        put_array(out, "tokenizer.ggml.tokens", VALUE_STRING);
        for (uint32_t i = 0; i < N_TOKENS; i++)
                put_token(out, i);
        put_array(out, "tokenizer.ggml.scores", VALUE_FLOAT32);
        for (uint32_t i = 0; i < N_TOKENS; i++)
                put_float(out, i < FIRST_CHARACTER_TOKEN ? 0.0f : (float) FIRST_CHARACTER_TOKEN - (float) i);
        put_array(out, "tokenizer.ggml.token_type", VALUE_INT32);
        for (uint32_t i = 0; i < N_TOKENS; i++)
                put_u32(out, token_type(i));
}

static void put_pairs(FILE *out, const Shape *shape) {
        const struct { const char *key, *value; } strings[] = {
                { "general.architecture", "llama" },
                { "general.name", "random" },
                { "tokenizer.ggml.model", "llama" },
        };
        const struct { const char *key; uint32_t value; } numbers[] = {
                { "general.alignment", ALIGNMENT },
                { "general.file_type", 1 }, /* mostly F16 */
                { "llama.vocab_size", N_TOKENS },
                { "llama.context_length", 512 },
                { "llama.embedding_length", shape->width },
                { "llama.block_count", shape->layers },
                { "llama.feed_forward_length", shape->hidden },
                { "llama.attention.head_count", shape->width / HEAD_SIZE },
                { "llama.attention.head_count_kv", shape->width / HEAD_SIZE },
                { "llama.rope.dimension_count", HEAD_SIZE },
                { "tokenizer.ggml.unknown_token_id", 0 },
                { "tokenizer.ggml.bos_token_id", 1 },
                { "tokenizer.ggml.eos_token_id", 2 },
        };

        put_u64(out, ELEMENTSOF(strings) + ELEMENTSOF(numbers) + 4); /* epsilon and the three arrays */
        for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
                put_key(out, strings[i].key, VALUE_STRING);
                put_string(out, strings[i].value);
        }
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                put_key(out, numbers[i].key, VALUE_UINT32);
                put_u32(out, numbers[i].value);
        }
        put_key(out, "llama.attention.layer_norm_rms_epsilon", VALUE_FLOAT32);
        put_float(out, 1e-5f);
        put_tokenizer(out);
}


static void put_tensor_info(FILE *out, const Tensor *tensor) {
        put_string(out, tensor->name);
        put_u32(out, tensor->rows == 1 ? 1 : 2);
        put_u64(out, tensor->columns);
        if (tensor->rows != 1)
                put_u64(out, tensor->rows);
        put_u32(out, tensor->type);
        put_u64(out, tensor->offset);
}

static int header_build(const Model *model, char **ret, size_t *ret_size) {
        _cleanup_(freep) char *header = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&header, &size);
        bool failed;

        if (!out)
                return -ENOMEM;
        (void) fwrite("GGUF", 4, 1, out);
        put_u32(out, 3); /* version */
        put_u64(out, model->n_tensors);
        put_pairs(out, &model->shape);
        for (size_t i = 0; i < model->n_tensors; i++)
                put_tensor_info(out, &model->tensors[i]);
        for (long i = ftell(out); i % (long) ALIGNMENT != 0; i++)
                (void) fputc(0, out);

        failed = ferror(out);
        if (fclose(out) != 0 || failed) /* only memory can be short here */
                return -ENOMEM;
        *ret = TAKE_PTR(header);
        *ret_size = size;
        return 0;
}

/* ---- the bytes ---- */

static int write_all(int fd, const void *data, size_t size) {
        for (const char *p = data; size > 0;) {
                ssize_t n = write(fd, p, size);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0) {
                        p += n;
                        size -= (size_t) n;
                }
        }
        return 0;
}

/* splitmix64 over a counter: no word depends on the one before, so the compiler can use vectors. One word is four
 * half floats: sign and fraction are random, the exponent is fixed, so they lie between 1/64 and 1/32 and none is
 * infinite or no number. */
static void fill_random(uint64_t *words, size_t n, uint64_t counter) {
        for (size_t i = 0; i < n; i++) {
                uint64_t z = (counter + i) * UINT64_C(0x9e3779b97f4a7c15);

                z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
                z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
                z ^= z >> 31;
                words[i] = htole64((z & UINT64_C(0x83ff83ff83ff83ff)) | UINT64_C(0x2400240024002400));
        }
}

/* Every tensor's size is a multiple of the alignment here, because widths are: there is no padding to write. */
static int tensor_write(const Tensor *tensor, uint64_t *block, uint64_t *counter, int fd) {
        assert(tensor->size % ALIGNMENT == 0);

        for (uint64_t left = tensor->size / sizeof(uint64_t); left > 0;) {
                size_t n = MIN(left, BLOCK_WORDS);
                int r;

                if (tensor->type == TENSOR_F16)
                        fill_random(block, n, *counter);
                else
                        for (size_t i = 0; i < n; i++)
                                block[i] = htole64(UINT64_C(0x3f8000003f800000)); /* 1.0 twice */
                r = write_all(fd, block, n * sizeof(uint64_t));
                if (r < 0)
                        return r;
                *counter += n;
                left -= n;
        }
        return 0;
}

static int model_write(const Model *model, uint64_t seed, int fd) {
        _cleanup_(freep) uint64_t *block = malloc(BLOCK_WORDS * sizeof(uint64_t));
        _cleanup_(freep) char *header = NULL;
        uint64_t counter = (seed + 1) << 40; /* far enough apart that no two seeds share words */
        size_t header_size = 0;
        int r;

        if (!block)
                return -ENOMEM;
        r = header_build(model, &header, &header_size);
        if (r < 0)
                return r;
        r = write_all(fd, header, header_size);
        for (size_t i = 0; r == 0 && i < model->n_tensors; i++)
                r = tensor_write(&model->tensors[i], block, &counter, fd);
        return r;
}

/* Removes what it could not finish, unless that is a device or a pipe. */
static int file_write(const Model *model, uint64_t seed, const char *path) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), r;
        struct stat st;

        if (fd < 0)
                return -errno;
        r = model_write(model, seed, fd);
        if (r < 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
                (void) unlink(path); /* the first error is the one to report */
        if (close(fd) < 0 && r == 0)
                r = -errno;
        return r;
}

/* ---- the command line ---- */

static const char help[] = "make-gguf [--size=BYTES] [--seed=N] [--output=FILE]\n"
                           "Writes a GGUF model of random weights that llama.cpp loads.\n\n"
                           "  --size=BYTES   size of the file; K, M, G for powers of 1024 (default 300M)\n"
                           "  --seed=N       another number makes other weights (default 0)\n"
                           "  --output=FILE  where to write (default model.gguf)\n";

static bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret) {
        static const char suffixes[] = "KMG";
        const char *suffix;
        unsigned shift = 0;
        uint64_t value;
        char *end;

        errno = 0;
        value = strtoull(text, &end, 10);
        if (*text < '0' || *text > '9' || errno != 0) /* strtoull() would take a sign or spaces */
                return false;
        if (*end) {
                suffix = strchr(suffixes, *end);
                if (!suffix || end[1])
                        return false;
                shift = 10 * (unsigned) (suffix - suffixes + 1);
        }
        if (value > max >> shift || value << shift < min)
                return false;
        *ret = value << shift;
        return true;
}

static int complain(const char *about, const char *what) {
        (void) fprintf(stderr, "make-gguf: %s: %s\n", about, what);
        return 2;
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "size", required_argument, NULL, 's' }, { "seed", required_argument, NULL, 'r' },
                { "output", required_argument, NULL, 'o' }, { "help", no_argument, NULL, 'h' }, {},
        };
        _cleanup_(model_done) Model model = {};
        uint64_t size = 300 * MIB, seed = 0;
        const char *path = "model.gguf";
        int c, r;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                if (c == 'h')
                        return fputs(help, stdout) < 0;
                else if (c == 'o')
                        path = optarg;
                else if (c == 's' && !parse_number(optarg, MIB, 1024 * GIB, &size))
                        return complain(optarg, "not a size between 1M and 1024G");
                else if (c == 'r' && !parse_number(optarg, 0, SEED_MAX, &seed))
                        return complain(optarg, "not a number between 0 and 16777215");
                else if (c == '?')
                        return 2; /* getopt printed the reason */
        if (optind < argc)
                return complain(argv[optind], "unexpected argument");

        r = model_init(&model, size);
        if (r == 0)
                r = file_write(&model, seed, path);
        if (r < 0)
                (void) fprintf(stderr, "make-gguf: %s: %s\n", path, strerror(-r));
        return r < 0;
}
