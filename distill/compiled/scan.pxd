# What scan.h and blake3.h give, told to Cython.
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

cdef extern from *:
    const char *DISTILL_SOURCE

cdef extern from "scan.h" nogil:
    ctypedef struct span:
        const char *at
        size_t size

    ctypedef struct buffer:
        char *data
        size_t size
        size_t room

    ctypedef struct line:
        uint64_t first
        const char *at
        size_t size

    cdef enum:
        E_VERSION, E_ID, E_RUN_ID, E_TASK_ID, E_SOURCE, E_CREATED_AT, E_MODEL, E_PROVIDER, E_ROLE, E_INSTRUCTION, E_CONTEXT, E_MESSAGES
        E_RESPONSE, E_CORRECTED, E_SIGNALS, E_ATTEMPTS, E_ERRORS, E_LESSONS, E_REFERENCE, E_TAGS, E_COST, E_LATENCY, E_TOKENS, E_GROUP
        E_SUBJECT, E_PROVENANCE, E_COUNT
        P_FILE, P_LINE, P_MEMBER, P_INDEX, P_KEY, P_OFFSET, P_SIG_HASH, P_RECORDED_AT, P_COUNT

    bint is_text(span one, const char *text)
    bint is_null(span one)
    const char *skip_string(const char *p, const char *end)
    const char *skip_value(const char *p, const char *end)
    bint read_place(span one, span *place)
    bint read_evidence(const char *p, const char *end, span *fields, span *place)
    bint read_scored(const char *p, const char *end, const char **id, const char **verdict)
    int32_t read_hex4(const char *p, const char *end)
    int32_t read_escape(const char *p, const char *end, const char **after)
    char *write_utf8(char *out, unsigned int code)
    size_t utf8_at(const unsigned char *p, const unsigned char *end)
    Py_ssize_t write_normal(span text, char *out)
    bint put_normal(buffer *b, const char *text, size_t size)
    bint is_blank(span text)
    const char *check_string(const char *p, const char *end)
    const char *after_text(const char *p, const char *end, const char *text)
    const char *after_value(const char *p, const char *end, const char *text, span *out)
    const char *after_string(const char *p, const char *end, const char *text, span *out)
    int make_room(buffer *b, size_t more)
    void put(buffer *b, const char *start, size_t size)
    void PUT(buffer *b, const char *text)
    void PUT_SPAN(buffer *b, span one)
    void put_hex(buffer *b, const uint8_t *start, size_t size)
    void put_hex32(buffer *b, uint32_t number)
    void put_number(buffer *b, size_t number)
    void put_length(buffer *b, size_t length)
    void free_buffer(buffer *b)
    uint64_t first_of(const char *at, size_t size)
    int compare_lines(const void *left, const void *right)
    void sort_lines(line *lines, size_t count)

cdef extern from "blake3.h" nogil:
    ctypedef struct b3_message:
        const uint8_t *data
        size_t length

    void b3_hash_many(const b3_message *messages, size_t count, uint8_t *out, size_t size)
