/* JSON as bytes: where the values of a row lie, without making an object of any.
 *
 * Nothing here reads past `end`, whatever the bytes are. What cannot be taken gives NULL or -1; the caller leaves that row to Python.
 */
#ifndef DISTILL_SCAN_H
#define DISTILL_SCAN_H

#include "lines.h"

typedef struct {
    const char *at;
    size_t size;
} span;

typedef struct {
    const char *text;
    size_t size;
} literal;

#define LITERAL(text) {text, sizeof(text) - 1}

static inline int is_text(span one, const char *text) {
    size_t size = strlen(text);
    return one.size == size && memcmp(one.at, text, size) == 0;
}

static inline int is_null(span one) { return one.size == 4 && memcmp(one.at, "null", 4) == 0; }

/* After the string that starts at p with its quote. */
static inline const char *skip_string(const char *p, const char *end) {
    if (p >= end || *p != '"') return NULL;
    const char *from = ++p;
    for (;;) {
        const char *quote = p < end ? memchr(p, '"', (size_t)(end - p)) : NULL;
        if (quote == NULL) return NULL;
        const char *before = quote;
        while (before > from && before[-1] == '\\') before--;
        p = quote + 1;
        if (((quote - before) & 1) == 0) return p;
    }
}

/* After a value of our own canonical JSON; what is no string, object or array ends at the next comma or bracket. */
static inline const char *skip_value(const char *p, const char *end) {
    size_t depth = 0;
    while (p < end) {
        char c = *p;
        if (c == '"') {
            p = skip_string(p, end);
            if (p == NULL) return NULL;
        } else if (c == '{' || c == '[') {
            depth++, p++;
            continue;
        } else if (c == '}' || c == ']') {
            if (depth == 0) return NULL;
            depth--, p++;
        } else if (c == ',' || c == ':') {
            if (depth == 0) return NULL;
            p++;
            continue;
        } else {
            while (p < end && *p != ',' && *p != '}' && *p != ']') p++;
        }
        if (depth == 0) return p;
    }
    return NULL;
}

/* The values of an object of our own canonical JSON that has just these keys in this order; each key as `{"name":` or `,"name":`. */
static inline const char *read_fields(const char *p, const char *end, const literal *keys, int count, span *out) {
    for (int i = 0; i < count; i++) {
        if ((size_t)(end - p) < keys[i].size || memcmp(p, keys[i].text, keys[i].size) != 0) return NULL;
        p += keys[i].size;
        out[i].at = p;
        p = skip_value(p, end);
        if (p == NULL) return NULL;
        out[i].size = (size_t)(p - out[i].at);
    }
    return p < end && *p == '}' ? p + 1 : NULL;
}

enum {
    E_VERSION, E_ID, E_RUN_ID, E_TASK_ID, E_SOURCE, E_CREATED_AT, E_MODEL, E_PROVIDER, E_ROLE, E_INSTRUCTION, E_CONTEXT, E_MESSAGES, E_RESPONSE,
    E_CORRECTED, E_SIGNALS, E_ATTEMPTS, E_ERRORS, E_LESSONS, E_REFERENCE, E_TAGS, E_COST, E_LATENCY, E_TOKENS, E_GROUP, E_SUBJECT, E_PROVENANCE,
    E_COUNT
};

static const literal EVIDENCE_KEYS[E_COUNT] = {
    LITERAL("{\"schema_version\":"), LITERAL(",\"id\":"), LITERAL(",\"run_id\":"), LITERAL(",\"task_id\":"), LITERAL(",\"source\":"),
    LITERAL(",\"created_at\":"), LITERAL(",\"model\":"), LITERAL(",\"provider\":"), LITERAL(",\"role\":"), LITERAL(",\"instruction\":"),
    LITERAL(",\"context\":"), LITERAL(",\"messages\":"), LITERAL(",\"response\":"), LITERAL(",\"corrected_response\":"),
    LITERAL(",\"signals\":"), LITERAL(",\"attempts\":"), LITERAL(",\"errors\":"), LITERAL(",\"lessons\":"), LITERAL(",\"reference\":"),
    LITERAL(",\"tags\":"), LITERAL(",\"cost_usd\":"), LITERAL(",\"latency_ms\":"), LITERAL(",\"tokens\":"), LITERAL(",\"group\":"),
    LITERAL(",\"subject\":"), LITERAL(",\"provenance\":"),
};

enum { P_FILE, P_LINE, P_MEMBER, P_INDEX, P_KEY, P_OFFSET, P_SIG_HASH, P_RECORDED_AT, P_COUNT };

static const literal PLACE_KEYS[P_COUNT] = {
    LITERAL("{\"source_file\":"), LITERAL(",\"line\":"), LITERAL(",\"member\":"), LITERAL(",\"index\":"), LITERAL(",\"key\":"),
    LITERAL(",\"offset\":"), LITERAL(",\"sig_hash\":"), LITERAL(",\"recorded_at\":"),
};

enum { S_VERSION, S_ID, S_RUN_ID, S_TASK_ID, S_COUNT };

static const literal SCORED_KEYS[S_COUNT] = {
    LITERAL("{\"schema_version\":"), LITERAL(",\"evidence_id\":"), LITERAL(",\"run_id\":"), LITERAL(",\"task_id\":"),
};

static inline const char *check_string(const char *p, const char *end);

static inline int is_string(span one) { return check_string(one.at, one.at + one.size) == one.at + one.size; }

/* The fields of a provenance; false where it is not written as this build writes it. */
static inline int read_place(span one, span *place) {
    return read_fields(one.at, one.at + one.size, PLACE_KEYS, P_COUNT, place) == one.at + one.size && is_string(place[P_FILE])
        && is_string(place[P_SIG_HASH]);
}

/* The fields of a line of evidence; false where it is not written as this build writes it. Texts that are read are strings or null. */
static inline int read_evidence(const char *p, const char *end, span *fields, span *place) {
    static const int texts[] = {E_RUN_ID, E_TASK_ID, E_MODEL, E_INSTRUCTION, E_CONTEXT, E_RESPONSE};
    const char *after = read_fields(p, end, EVIDENCE_KEYS, E_COUNT, fields);
    if (after != end || fields[E_ID].size != 34 || !is_string(fields[E_ID]) || !is_string(fields[E_SOURCE])) return 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!is_null(fields[texts[i]]) && !is_string(fields[texts[i]])) return 0;
    return read_place(fields[E_PROVENANCE], place);
}

/* The id of a scored row, 32 digits, and where its verdict starts; false where it is not written as this build writes it. */
static inline int read_scored(const char *p, const char *end, const char **id, const char **verdict) {
    static const char next[] = ",\"category\":";
    span fields[S_COUNT];
    for (int i = 0; i < S_COUNT; i++) {
        if ((size_t)(end - p) < SCORED_KEYS[i].size || memcmp(p, SCORED_KEYS[i].text, SCORED_KEYS[i].size) != 0) return 0;
        p += SCORED_KEYS[i].size;
        fields[i].at = p;
        p = skip_value(p, end);
        if (p == NULL) return 0;
        fields[i].size = (size_t)(p - fields[i].at);
    }
    if (fields[S_ID].size != 34 || !is_string(fields[S_ID]) || (size_t)(end - p) < sizeof next - 1 || memcmp(p, next, sizeof next - 1) != 0) return 0;
    *id = fields[S_ID].at + 1;
    *verdict = p;
    return 1;
}

static inline int hex_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Four hex digits, or -1. */
static inline int32_t read_hex4(const char *p, const char *end) {
    if (end - p < 4) return -1;
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_of(p[i]);
        if (digit < 0) return -1;
        value = value << 4 | digit;
    }
    return value;
}

static inline char *write_utf8(char *out, uint32_t code) {
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xC0 | code >> 6), *out++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *out++ = (char)(0xE0 | code >> 12), *out++ = (char)(0x80 | (code >> 6 & 63)), *out++ = (char)(0x80 | (code & 63));
    } else {
        *out++ = (char)(0xF0 | code >> 18), *out++ = (char)(0x80 | (code >> 12 & 63)), *out++ = (char)(0x80 | (code >> 6 & 63));
        *out++ = (char)(0x80 | (code & 63));
    }
    return out;
}

/* The character that an escape stands for, p at its backslash; *after is set behind it. -1 where there is none, or half a surrogate pair. */
static inline int32_t read_escape(const char *p, const char *end, const char **after) {
    if (end - p < 2) return -1;
    *after = p + 2;
    switch (p[1]) {
        case '"': return '"';
        case '\\': return '\\';
        case '/': return '/';
        case 'b': return '\b';
        case 'f': return '\f';
        case 'n': return '\n';
        case 'r': return '\r';
        case 't': return '\t';
        case 'u': break;
        default: return -1;
    }
    int32_t code = read_hex4(p + 2, end);
    *after = p + 6;
    if (code < 0xD800 || code > 0xDFFF) return code;
    if (code > 0xDBFF || end - p < 12 || p[6] != '\\' || p[7] != 'u') return -1;
    int32_t low = read_hex4(p + 8, end);
    if (low < 0xDC00 || low > 0xDFFF) return -1;
    *after = p + 12;
    return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
}

/* The length of well-formed UTF-8 of one character from p on, 0 where it is none. */
static inline size_t utf8_at(const unsigned char *p, const unsigned char *end) {
    size_t left = (size_t)(end - p);
    unsigned char c = *p;
    if (c < 0x80) return 1;
    if (c >= 0xC2 && c <= 0xDF) return left > 1 && (p[1] & 0xC0) == 0x80 ? 2 : 0;
    if (c >= 0xE0 && c <= 0xEF) {
        if (left < 3 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80) return 0;
        if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F)) return 0;
        return 3;
    }
    if (c >= 0xF0 && c <= 0xF4) {
        if (left < 4 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80 || (p[3] & 0xC0) != 0x80) return 0;
        if ((c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] > 0x8F)) return 0;
        return 4;
    }
    return 0;
}

/* The length of a white space character as Python's str.split knows it, 0 for any other. */
static inline size_t space_at(const char *at, const char *end) {
    const unsigned char *p = (const unsigned char *)at;
    size_t left = (size_t)(end - at);
    unsigned char c = *p;
    if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x1F);
    if (c == 0xC2) return left > 1 && (p[1] == 0x85 || p[1] == 0xA0) ? 2 : 0;
    if (left < 3) return 0;
    if (c == 0xE1) return p[1] == 0x9A && p[2] == 0x80 ? 3 : 0;
    if (c == 0xE2 && p[1] == 0x80) return (p[2] >= 0x80 && p[2] <= 0x8A) || p[2] == 0xA8 || p[2] == 0xA9 || p[2] == 0xAF ? 3 : 0;
    if (c == 0xE2) return p[1] == 0x81 && p[2] == 0x9F ? 3 : 0;
    return c == 0xE3 && p[1] == 0x80 && p[2] == 0x80 ? 3 : 0;
}

/* Bytes that stand for themselves in a text that is made normal: no space, quote, backslash or control, ASCII. */
static const uint8_t WORD[256] = {
    [0x21] = 1, [0x23 ... 0x5B] = 1, [0x5D ... 0x7F] = 1,
};

#define BYTES(byte) (0x0101010101010101ULL * (byte))

/* Eight bytes at once: the high bit of each that is zero. */
static inline uint64_t zeros_in(uint64_t word) { return ~(((word & BYTES(0x7F)) + BYTES(0x7F)) | word) & BYTES(0x80); }

/* Whether eight bytes hold a quote, a backslash, a control or one that is not ASCII. */
static inline int is_special(uint64_t word) {
    return ((word & BYTES(0x80)) | zeros_in(word ^ BYTES('"')) | zeros_in(word ^ BYTES('\\')) | zeros_in(word & BYTES(0xE0))) != 0;
}

static inline uint64_t load_word(const char *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* A JSON string, quotes included, as text with white space made one and its ends cut; `out` has room for it. Its length, or -1. */
static inline ptrdiff_t write_normal(span text, char *out) {
    if (text.size < 2 || *text.at != '"') return -1;
    const char *p = text.at + 1, *end = text.at + text.size - 1;
    char *start = out;
    int space = 0;
    while (p < end) {
        while (end - p >= 9 && !space && *p != ' ') { /* single spaces stay as they are; the ninth byte tells of the eighth */
            uint64_t word = load_word(p), blank = zeros_in(word ^ BYTES(' '));
            if (is_special(word) || (blank & blank >> 8) || p[7] == ' ') break;
            memcpy(out, p, 8);
            p += 8, out += 8;
        }
        if (WORD[(unsigned char)*p]) {
            if (space && out > start) *out++ = ' ';
            space = 0;
            do *out++ = *p++;
            while (p < end && WORD[(unsigned char)*p]);
            continue;
        }
        char one[4];
        const char *from = p, *after;
        size_t size = 1;
        if (*p == '\\') {
            int32_t code = read_escape(p, end, &after);
            if (code < 0) return -1;
            size = (size_t)(write_utf8(one, (uint32_t)code) - one);
            from = one, p = after;
        } else if ((unsigned char)*p >= 0x80) {
            size = utf8_at((const unsigned char *)p, (const unsigned char *)end);
            if (size == 0) return -1;
            p += size;
        } else {
            p++;
        }
        if (space_at(from, from + size)) {
            space = 1;
            continue;
        }
        if (space && out > start) *out++ = ' ';
        space = 0;
        memcpy(out, from, size);
        out += size;
    }
    return out - start;
}

/* Put a text as a JSON string; false where it holds what Python must spell. The caller made room for twice its size and two quotes. */
static inline int put_normal(buffer *b, const char *text, size_t size) {
    put(b, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20) return 0;
        if (text[i] == '"' || text[i] == '\\') b->data[b->size++] = '\\';
        b->data[b->size++] = text[i];
    }
    put(b, "\"", 1);
    return 1;
}

/* Whether a JSON string of our own holds nothing but white space. */
static inline int is_blank(span text) {
    if (text.size < 2) return 1;
    const char *p = text.at + 1, *end = text.at + text.size - 1, *after;
    while (p < end) {
        char one[4];
        size_t size = 1;
        if (*p == '\\') {
            int32_t code = read_escape(p, end, &after);
            if (code < 0) return 0;
            size = (size_t)(write_utf8(one, (uint32_t)code) - one);
            if (!space_at(one, one + size)) return 0;
            p = after;
            continue;
        }
        size = space_at(p, end);
        if (size == 0) return 0;
        p += size;
    }
    return 1;
}

/* After a string that any reader of JSON takes: escapes whole, surrogates in pairs, UTF-8 well formed; NULL where it is not. */
static inline const char *check_string(const char *p, const char *end) {
    if (p >= end || *p != '"') return NULL;
    p++;
    while (p < end) {
        while (end - p >= 8 && !is_special(load_word(p))) p += 8;
        if (p >= end) return NULL;
        unsigned char c = (unsigned char)*p;
        if (WORD[c] || c == ' ') {
            p++;
        } else if (c == '"') {
            return p + 1;
        } else if (c == '\\') {
            if (read_escape(p, end, &p) < 0) return NULL;
        } else {
            size_t size = c < 0x20 ? 0 : utf8_at((const unsigned char *)p, (const unsigned char *)end);
            if (size == 0) return NULL;
            p += size;
        }
    }
    return NULL;
}

/* After a piece of text that must stand at p; NULL where it does not, or p is NULL. */
static inline const char *after_text(const char *p, const char *end, const char *text) {
    size_t size = strlen(text);
    return p != NULL && (size_t)(end - p) >= size && memcmp(p, text, size) == 0 ? p + size : NULL;
}

/* After a text that must stand at p and the value behind it, which is put into `out`. */
static inline const char *after_value(const char *p, const char *end, const char *text, span *out) {
    p = after_text(p, end, text);
    if (p == NULL) return NULL;
    out->at = p;
    p = skip_value(p, end);
    if (p != NULL) out->size = (size_t)(p - out->at);
    return p;
}

/* After a text that must stand at p and the string behind it, which is put into `out`. */
static inline const char *after_string(const char *p, const char *end, const char *text, span *out) {
    p = after_text(p, end, text);
    if (p == NULL) return NULL;
    out->at = p;
    p = check_string(p, end);
    if (p != NULL) out->size = (size_t)(p - out->at);
    return p;
}

#endif
