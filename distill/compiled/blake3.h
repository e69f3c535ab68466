/* blake3 of many messages at once: eight chunks abreast, one a lane.
 *
 * The package `blake3` is fast on one long message; rows, keys and texts are short ones, of one to three chunks, and many. Law: the same
 * hashes as the package, whatever the lengths (tests/test_compiled.py).
 */
#ifndef DISTILL_BLAKE3_H
#define DISTILL_BLAKE3_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define B3_LANES 8
#define B3_CHUNK 1024
#define B3_DEEP 54 /* chunks of 2^64 bytes make a tree of that depth */

enum { B3_CHUNK_START = 1, B3_CHUNK_END = 2, B3_PARENT = 4, B3_ROOT = 8 };

typedef uint32_t b3_vec __attribute__((vector_size(4 * B3_LANES)));

typedef struct {
    const uint8_t *data;
    size_t length;
} b3_message;

static const uint32_t B3_IV[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};

static const uint8_t B3_ORDER[7][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
    {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1}, {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
    {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4}, {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
    {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13},
};

#define B3_TURN(x, n) (((x) >> (n)) | ((x) << (32 - (n))))
#define B3_MIX(a, b, c, d, x, y)                                                                                                       \
    a = a + b + (x), d = B3_TURN(d ^ a, 16), c = c + d, b = B3_TURN(b ^ c, 12), a = a + b + (y), d = B3_TURN(d ^ a, 8), c = c + d,      \
    b = B3_TURN(b ^ c, 7)
#define B3_ROUND(v, m, o)                                                                                                              \
    B3_MIX(v[0], v[4], v[8], v[12], m[o[0]], m[o[1]]);                                                                                 \
    B3_MIX(v[1], v[5], v[9], v[13], m[o[2]], m[o[3]]);                                                                                 \
    B3_MIX(v[2], v[6], v[10], v[14], m[o[4]], m[o[5]]);                                                                                \
    B3_MIX(v[3], v[7], v[11], v[15], m[o[6]], m[o[7]]);                                                                                \
    B3_MIX(v[0], v[5], v[10], v[15], m[o[8]], m[o[9]]);                                                                                \
    B3_MIX(v[1], v[6], v[11], v[12], m[o[10]], m[o[11]]);                                                                              \
    B3_MIX(v[2], v[7], v[8], v[13], m[o[12]], m[o[13]]);                                                                               \
    B3_MIX(v[3], v[4], v[9], v[14], m[o[14]], m[o[15]])

static inline uint32_t b3_load(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void b3_store(uint8_t *p, uint32_t word) {
    p[0] = (uint8_t)word, p[1] = (uint8_t)(word >> 8), p[2] = (uint8_t)(word >> 16), p[3] = (uint8_t)(word >> 24);
}

/* The parent of two chaining values, into the first. */
static void b3_join(uint32_t left[8], const uint32_t right[8], uint32_t flags) {
    uint32_t m[16], v[16];
    memcpy(m, left, 32), memcpy(m + 8, right, 32);
    memcpy(v, B3_IV, 32), memcpy(v + 8, B3_IV, 16);
    v[12] = v[13] = 0, v[14] = 64, v[15] = B3_PARENT | flags;
    for (int round = 0; round < 7; round++) {
        const uint8_t *o = B3_ORDER[round];
        B3_ROUND(v, m, o);
    }
    for (int i = 0; i < 8; i++) left[i] = v[i] ^ v[i + 8];
}

/* A chunk on its way: one a lane. */
typedef struct {
    const uint8_t *at;
    size_t left;
    size_t message;
    uint64_t number;
    uint32_t flags;
    int alone;
    int busy;
} b3_lane;

/* The chaining values of one message that wait for their right neighbours. */
typedef struct {
    uint32_t waiting[B3_DEEP][8];
    int depth;
} b3_tree;

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)
#define B3_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define B3_CLONES
#endif

/* One block of every lane: cv[i] is word i of the chaining values, m[w] word w of the blocks, both over all lanes. */
B3_CLONES static void b3_blocks(b3_vec cv[8], const b3_vec m[16], const b3_vec *low, const b3_vec *high, const b3_vec *size, const b3_vec *flags) {
    b3_vec v[16];
    const b3_vec none = {0};
    for (int i = 0; i < 8; i++) v[i] = cv[i];
    for (int i = 0; i < 4; i++) v[8 + i] = none + B3_IV[i];
    v[12] = *low, v[13] = *high, v[14] = *size, v[15] = *flags;
    B3_ROUND(v, m, B3_ORDER[0]);
    B3_ROUND(v, m, B3_ORDER[1]);
    B3_ROUND(v, m, B3_ORDER[2]);
    B3_ROUND(v, m, B3_ORDER[3]);
    B3_ROUND(v, m, B3_ORDER[4]);
    B3_ROUND(v, m, B3_ORDER[5]);
    B3_ROUND(v, m, B3_ORDER[6]);
    for (int i = 0; i < 8; i++) cv[i] = v[i] ^ v[i + 8];
}

/* Take the chunk that a lane finished into the tree of its message; a message's chunks are finished in their order. */
static void b3_take(b3_tree *tree, const uint32_t cv[8], uint64_t number) {
    memcpy(tree->waiting[tree->depth++], cv, 32);
    for (uint64_t count = number + 1; (count & 1) == 0; count >>= 1) {
        b3_join(tree->waiting[tree->depth - 2], tree->waiting[tree->depth - 1], 0);
        tree->depth--;
    }
}

/* Hash `count` messages; `size` bytes (at most 32) of each hash go to `out`, one after the other. A message lies in one lane from its first
 * chunk to its last, so that its tree needs no more than that lane. */
static inline void b3_hash_many(const b3_message *messages, size_t count, uint8_t *out, size_t size) {
    b3_lane lanes[B3_LANES];
    b3_tree trees[B3_LANES];
    b3_vec cv[8], m[16];
    uint8_t tail[B3_LANES][64];
    static const uint8_t zeros[64] = {0};
    size_t next = 0, busy = 0;
    memset(lanes, 0, sizeof lanes), memset(cv, 0, sizeof cv);
    for (;;) {
        b3_vec low = {0}, high = {0}, length = {0}, flags = {0};
        const uint8_t *blocks[B3_LANES];
        for (int l = 0; l < B3_LANES; l++) {
            b3_lane *one = &lanes[l];
            if (!one->busy && next < count) {
                one->at = messages[next].data, one->left = messages[next].length, one->message = next++;
                one->number = 0, one->flags = B3_CHUNK_START, one->busy = 1, trees[l].depth = 0, busy++;
                one->alone = one->left <= B3_CHUNK;
                for (int i = 0; i < 8; i++) cv[i][l] = B3_IV[i];
            }
            blocks[l] = zeros;
            if (!one->busy) continue;
            const b3_message *whole = &messages[one->message];
            size_t done = (size_t)(one->at - whole->data) - one->number * B3_CHUNK;
            size_t chunk = done + one->left < B3_CHUNK ? done + one->left : B3_CHUNK;
            size_t here = chunk - done < 64 ? chunk - done : 64;
            uint32_t flag = one->flags;
            if (done + here == chunk) flag |= B3_CHUNK_END | (one->alone ? B3_ROOT : 0);
            blocks[l] = one->at;
            if (here < 64) {
                memset(tail[l], 0, 64);
                if (here) memcpy(tail[l], one->at, here);
                blocks[l] = tail[l];
            }
            low[l] = (uint32_t)one->number, high[l] = (uint32_t)(one->number >> 32), length[l] = (uint32_t)here, flags[l] = flag;
        }
        if (!busy) return;
        for (int w = 0; w < 16; w++)
            for (int l = 0; l < B3_LANES; l++) m[w][l] = b3_load(blocks[l] + 4 * w);
        b3_blocks(cv, m, &low, &high, &length, &flags);
        for (int l = 0; l < B3_LANES; l++) {
            b3_lane *one = &lanes[l];
            if (!one->busy) continue;
            one->at += length[l], one->left -= length[l], one->flags = 0;
            if (!(flags[l] & B3_CHUNK_END)) continue;
            uint32_t own[8];
            for (int i = 0; i < 8; i++) own[i] = cv[i][l];
            if (!one->alone && one->left) {
                b3_take(&trees[l], own, one->number);
                one->number++, one->flags = B3_CHUNK_START;
                for (int i = 0; i < 8; i++) cv[i][l] = B3_IV[i];
                continue;
            }
            if (!one->alone) {
                b3_tree *tree = &trees[l];
                memcpy(tree->waiting[tree->depth++], own, 32);
                while (tree->depth > 1) {
                    b3_join(tree->waiting[tree->depth - 2], tree->waiting[tree->depth - 1], tree->depth == 2 ? B3_ROOT : 0);
                    tree->depth--;
                }
                memcpy(own, tree->waiting[0], 32);
            }
            uint8_t whole[32];
            for (int i = 0; i < 8; i++) b3_store(whole + 4 * i, own[i]);
            memcpy(out + one->message * size, whole, size);
            one->busy = 0, busy--;
        }
    }
}

#endif
