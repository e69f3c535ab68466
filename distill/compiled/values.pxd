# Values of raw rows, each read only in its plainest form; NULL where it is of another, so that Python reads the row. And how they are put.
from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memchr, memcmp

from distill.compiled.scan cimport (
    PUT, PUT_SPAN, after_text, buffer, check_string, is_null, is_text, put, put_hex, put_length, read_escape, span, write_normal, write_utf8,
)

cdef enum:
    STRANGERS = 32  # fields of one object that are not known
    DIGITS = 15  # of a number that any reader gives back as it was
    LONGEST = 18  # digits of a count


cdef inline const char *skip_spaces(const char *p, const char *end) noexcept nogil:
    if p == NULL:
        return NULL
    while p < end and p[0] == c" ":
        p += 1
    return p


cdef inline const char *read_key(const char *p, const char *end, span *name) noexcept nogil:
    """Read a key, its colon and the spaces about it; NULL where it has an escape."""
    cdef const char *stop
    if p >= end or p[0] != c'"':
        return NULL
    name.at = p + 1
    stop = check_string(p, end)
    if stop == NULL:
        return NULL
    name.size = stop - p - 2
    if memchr(name.at, c"\\", name.size) != NULL:
        return NULL
    p = skip_spaces(stop, end)
    if p >= end or p[0] != c":":
        return NULL
    return skip_spaces(p + 1, end)


cdef inline const char *read_text(const char *p, const char *end, span *out, buffer *arena) noexcept nogil:
    """Read a string; where our encoder would spell it otherwise, `out` lies in `arena`, which has room."""
    cdef const char *start = p
    cdef const char *stop = check_string(p, end)
    cdef const char *escape
    cdef bint strange = False
    if stop == NULL:
        return NULL
    out.at, out.size = start, stop - start
    escape = <const char *>memchr(p, c"\\", out.size)
    while escape != NULL and escape < stop:
        if escape[1] == c"/" or (escape[1] == c"u" and not is_own_escape(escape)):
            strange = True
            break
        escape += 2
        escape = <const char *>memchr(escape, c"\\", stop - escape)
    if strange:
        out.at = arena.data + arena.size
        respell(start + 1, stop - 1, arena)
        out.size = arena.data + arena.size - out.at
    return stop


cdef inline bint is_own_escape(const char *p) noexcept nogil:
    r"""Tell whether our encoder writes `\u00..` so: of a control that has no letter of its own, in small digits."""
    cdef int32_t low
    if p[2] != c"0" or p[3] != c"0" or (p[4] != c"0" and p[4] != c"1"):
        return False
    if not (c"0" <= p[5] <= c"9" or c"a" <= p[5] <= c"f"):
        return False
    if p[4] == c"1":
        return True
    low = p[5]
    return low != c"8" and low != c"9" and low != c"a" and low != c"c" and low != c"d"


cdef inline void respell(const char *p, const char *end, buffer *out) noexcept nogil:
    """Spell the inside of a checked string as our encoder does, with quotes."""
    cdef int32_t code
    cdef uint8_t control
    cdef const char *after
    PUT(out, '"')
    while p < end:
        if p[0] != c"\\":
            out.data[out.size] = p[0]
            out.size += 1
            p += 1
            continue
        after = p + 1
        code = read_escape(p, end, &after)
        p = after
        if code == c'"':
            PUT(out, '\\"')
        elif code == c"\\":
            PUT(out, "\\\\")
        elif code >= 32:
            out.size = write_utf8(out.data + out.size, code) - out.data
        elif code == 8:
            PUT(out, "\\b")
        elif code == 9:
            PUT(out, "\\t")
        elif code == 10:
            PUT(out, "\\n")
        elif code == 12:
            PUT(out, "\\f")
        elif code == 13:
            PUT(out, "\\r")
        else:
            PUT(out, "\\u00")
            control = <uint8_t>code
            put_hex(out, &control, 1)
    PUT(out, '"')


cdef inline bint is_digit(char c) noexcept nogil:
    return c"0" <= c <= c"9"


cdef inline const char *read_count(const char *p, const char *end, span *out) noexcept nogil:
    """Read a whole number, not negative, of at most 18 digits."""
    out.at = p
    while p < end and is_digit(p[0]):
        p += 1
    out.size = p - out.at
    if out.size == 0 or out.size > LONGEST or (out.size > 1 and out.at[0] == c"0"):
        return NULL
    return p if ends(p, end) else NULL


cdef inline bint ends(const char *p, const char *end) noexcept nogil:
    """Tell whether a number ends at p."""
    return p < end and (p[0] == c"," or p[0] == c"}" or p[0] == c" ")


cdef inline const char *read_number(const char *p, const char *end, span *out) noexcept nogil:
    """Read a number without exponent, of at most 18 digits before the point."""
    cdef const char *start = p
    if p < end and p[0] == c"-":
        p += 1
    cdef const char *digits = p
    while p < end and is_digit(p[0]):
        p += 1
    if p == digits or p - digits > LONGEST or (p - digits > 1 and digits[0] == c"0"):
        return NULL
    if p < end and p[0] == c".":
        digits = p + 1
        p += 1
        while p < end and is_digit(p[0]):
            p += 1
        if p == digits:
            return NULL
    out.at, out.size = start, p - start
    return p if ends(p, end) else NULL


cdef inline const char *read_float(const char *p, const char *end, span *out, buffer *arena) noexcept nogil:
    """Read a number as our encoder spells it: few enough digits, none at the end that says nothing, no exponent."""
    cdef const char *stop = read_number(p, end, out)
    cdef const char *point
    if stop == NULL or p[0] == c"-" or out.size > DIGITS:
        return NULL
    point = <const char *>memchr(p, c".", out.size)
    if point == NULL:
        out.at = arena.data + arena.size
        put(arena, p, out.size)
        PUT(arena, ".0")
        out.size += 2
        return stop
    if stop[-1] == c"0" and stop - point > 2:
        return NULL
    if p[0] == c"0" and stop - point > 4 and point[1] == c"0" and point[2] == c"0" and point[3] == c"0":
        return NULL  # it may be written with an exponent
    return stop


cdef inline const char *skip_scalar(const char *p, const char *end) noexcept nogil:
    """After the value of a field that is not known, where it holds no others."""
    cdef span number
    cdef const char *after
    if p < end and p[0] == c'"':
        return check_string(p, end)
    after = after_text(p, end, "null")
    after = after_text(p, end, "true") if after == NULL else after
    after = after_text(p, end, "false") if after == NULL else after
    return read_number(p, end, &number) if after == NULL else after


cdef inline const char *read_counts(const char *p, const char *end, const char *one, const char *other, span *counts, span *out) noexcept nogil:
    """Read an object of two counts, each of which may be null or absent, and of plain values under other names."""
    cdef span strangers[STRANGERS]
    cdef span name
    cdef int i, strange = 0
    cdef bint met[2]
    met[0] = met[1] = False
    out.at = p
    if p >= end or p[0] != c"{":
        return NULL
    p = skip_spaces(p + 1, end)
    while p < end and p[0] != c"}":
        p = read_key(p, end, &name)
        if p == NULL:
            return NULL
        i = 0 if is_text(name, one) else 1 if is_text(name, other) else 2
        if i < 2:
            if met[i]:
                return NULL
            met[i] = True
            if after_text(p, end, "null") != NULL:
                p += 4
            else:
                p = read_count(p, end, &counts[i])
        else:
            for i in range(strange):
                if strangers[i].size == name.size and memcmp(strangers[i].at, name.at, name.size) == 0:
                    return NULL
            if strange == STRANGERS:
                return NULL
            strangers[strange] = name
            strange += 1
            p = skip_scalar(p, end)
        p = skip_spaces(p, end)
        if p == NULL or p >= end:
            return NULL
        if p[0] == c",":
            p = skip_spaces(p + 1, end)
            if p >= end or p[0] == c"}":
                return NULL
        elif p[0] != c"}":
            return NULL
    if p >= end:
        return NULL
    out.size = p + 1 - out.at
    return p + 1


cdef inline bint is_utc(span moment) noexcept nogil:
    """Tell whether a time is written as ours are, in whole seconds, and surely exists."""
    cdef const char *p = moment.at + 1
    cdef int i
    if moment.size != 22 or p[4] != c"-" or p[7] != c"-" or p[10] != c"T" or p[13] != c":" or p[16] != c":" or p[19] != c"Z":
        return False
    for i in range(19):
        if i != 4 and i != 7 and i != 10 and i != 13 and i != 16 and not is_digit(p[i]):
            return False
    if memcmp(p, "0000", 4) == 0:
        return False
    return 0 < pair(p + 5) < 13 and 0 < pair(p + 8) < 29 and pair(p + 11) < 24 and pair(p + 14) < 60 and pair(p + 17) < 60


cdef inline int pair(const char *p) noexcept nogil:
    return 10 * (p[0] - c"0") + (p[1] - c"0")


cdef inline void put_field(buffer *out, const char *name, span value, bint empty) noexcept nogil:
    """Put a field; where it may not be `empty`, an empty text is none."""
    PUT(out, name)
    if not empty and value.size == 2:
        PUT(out, "null")
    else:
        PUT_SPAN(out, value)


cdef inline bint put_text(buffer *out, span instruction, span context, span response) noexcept nogil:
    """Put the parts that equal texts share: question and answer with white space made one; false where there is not both."""
    cdef size_t length, start
    cdef Py_ssize_t asked = 0, more = 0, answer
    if is_null(instruction) or is_null(response):
        return False
    put_length(out, 4)
    PUT(out, "user")
    length, start = out.size, out.size + 8
    asked = write_normal(instruction, out.data + start)
    if asked < 0:
        return False
    if not is_null(context) and instruction.size > 2:
        more = write_normal(context, out.data + start + asked + (asked > 0))
        if more < 0:
            return False
        if more and asked:
            out.data[start + asked] = c" "
            asked += 1
    asked += more
    if asked == 0:
        return False
    put_length(out, asked)
    out.size = start + asked
    put_length(out, 9)
    PUT(out, "assistant")
    start = out.size + 8
    answer = write_normal(response, out.data + start)
    if answer <= 0:
        return False
    put_length(out, answer)
    out.size = start + answer
    return True
