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

static inline void sort_lines(line *lines, size_t count) {
    size_t i = 1;
    while (i < count && compare_lines(&lines[i - 1], &lines[i]) <= 0) i++;
    if (i < count) qsort(lines, count, sizeof *lines, compare_lines);
}

#endif
