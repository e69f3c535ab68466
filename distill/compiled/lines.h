/* Bytes that grow, and lines among them that are put in order. */
#ifndef DISTILL_LINES_H
#define DISTILL_LINES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Bytes that grow. */
typedef struct {
    char *data;
    size_t size;
    size_t room;
} buffer;

static inline int make_room(buffer *b, size_t more) {
    if (b->size + more <= b->room) return 0;
    size_t room = b->room ? b->room : 4096;
    while (room < b->size + more) room *= 2;
    char *data = realloc(b->data, room);
    if (data == NULL) return -1;
    b->data = data, b->room = room;
    return 0;
}

/* The caller made room. */
static inline void put(buffer *b, const char *from, size_t size) {
    if (size) memcpy(b->data + b->size, from, size);
    b->size += size;
}

static inline void PUT(buffer *b, const char *text) { put(b, text, strlen(text)); }

static inline void put_hex(buffer *b, const uint8_t *from, size_t size) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        b->data[b->size++] = digits[from[i] >> 4];
        b->data[b->size++] = digits[from[i] & 15];
    }
}

/* Eight hex digits. */
static inline void put_hex32(buffer *b, uint32_t number) {
    uint8_t bytes[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number};
    put_hex(b, bytes, sizeof bytes);
}

static inline void put_number(buffer *b, size_t number) {
    char digits[24];
    int i = 24;
    do digits[--i] = (char)('0' + number % 10);
    while (number /= 10);
    put(b, digits + i, (size_t)(24 - i));
}

/* A length in 8 bytes, little-endian, as it stands before every part that is hashed. */
static inline void put_length(buffer *b, size_t length) {
    for (int i = 0; i < 8; i++) b->data[b->size++] = (char)(length >> (8 * i) & 255);
}

#define PUT_SPAN(b, one) put(b, (one).at, (one).size)

static inline void free_buffer(buffer *b) {
    free(b->data);
    b->data = NULL, b->size = b->room = 0;
}

/* A line among others, with the first bytes of its key as a number. */
typedef struct {
    uint64_t first;
    const char *at;
    size_t size;
} line;

static inline uint64_t first_of(const char *at, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++) value = value << 8 | (i < size ? (unsigned char)at[i] : 0);
    return value;
}

static inline int compare_lines(const void *left, const void *right) {
    const line *a = left, *b = right;
    if (a->first != b->first) return a->first < b->first ? -1 : 1;
    size_t size = a->size < b->size ? a->size : b->size;
    int order = size ? memcmp(a->at, b->at, size) : 0;
    if (order) return order;
    return a->size < b->size ? -1 : a->size > b->size;
}

/* The number that the first eight hex digits of a key are, as ours are spelt, or one that is too large for it. */
static inline uint64_t key_number(uint64_t first) {
    uint64_t value = 0;
    for (int shift = 56; shift >= 0; shift -= 8) {
        uint8_t c = (uint8_t)(first >> shift), figure = (uint8_t)(c - '0'), letter = (uint8_t)(c - 'a');
        if (figure >= 10 && letter >= 6) return UINT64_MAX;
        value = value << 4 | (figure < 10 ? figure : letter + 10u);
    }
    return value;
}

/* Put lines where their keys say that they belong: these are hashes, so that about one comes to each place. False where some are none. */
static inline int spread_lines(const line *lines, size_t count, line *into, uint32_t *places, uint32_t *numbers) {
    uint32_t low = UINT32_MAX, high = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t number = key_number(lines[i].first);
        if (number > UINT32_MAX) return 0;
        numbers[i] = (uint32_t)number;
        if (numbers[i] < low) low = numbers[i];
        if (numbers[i] > high) high = numbers[i];
    }
    uint64_t width = (uint64_t)high - low + 1;
    for (size_t i = 0; i < count; i++) places[(numbers[i] = (uint32_t)((uint64_t)(numbers[i] - low) * count / width)) + 1]++;
    for (size_t i = 1; i <= count; i++) places[i] += places[i - 1];
    for (size_t i = 0; i < count; i++) into[places[numbers[i]]++] = lines[i];
    return 1;
}

/* Put each run of lines in order that came to one place; before `places[i]` the lines of place i end. */
static inline void settle_lines(line *lines, size_t count, const uint32_t *places) {
    size_t start = 0;
    for (size_t i = 0; i < count; start = places[i++]) {
        if (places[i] - start > 8) qsort(lines + start, places[i] - start, sizeof *lines, compare_lines);
        else for (size_t j = start + 1; j < places[i]; j++) {
            line one = lines[j];
            size_t k = j;
            for (; k > start && compare_lines(&lines[k - 1], &one) > 0; k--) lines[k] = lines[k - 1];
            lines[k] = one;
        }
    }
}

static inline void sort_lines(line *lines, size_t count) {
    size_t i = 1;
    while (i < count && compare_lines(&lines[i - 1], &lines[i]) <= 0) i++;
    if (i >= count) return;
    line *into = count < UINT32_MAX ? malloc(count * sizeof *into) : NULL;
    uint32_t *places = into != NULL ? calloc(2 * count + 1, sizeof *places) : NULL;
    if (places != NULL && spread_lines(lines, count, into, places, places + count + 1)) {
        settle_lines(into, count, places);
        memcpy(lines, into, count * sizeof *into);
    } else {
        qsort(lines, count, sizeof *lines, compare_lines);
    }
    free(into);
    free(places);
}

#endif
