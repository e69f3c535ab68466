"""What every record that is read into a dict is asked: whether an object of it may hold a key twice (`distill.jsonl`)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp

from distill.compiled.scan cimport DISTILL_SOURCE, skip_string, span

SOURCE = DISTILL_SOURCE

cdef enum:
    KEYS = 256
    DEPTH = 64


def has_clear_keys(bytes raw not None):
    """Tell of a record that is known to be JSON that no object of it holds a key twice; False where that cannot be told so.

    Keys are compared as they are spelt, so one with an escape is not told of; nor are more keys or levels than have a place here.
    """
    cdef const char *p = PyBytes_AS_STRING(raw)
    cdef const char *end = p + PyBytes_GET_SIZE(raw)
    cdef const char *after
    cdef span keys[KEYS]
    cdef int starts[DEPTH]
    cdef span key
    cdef int depth = 0, count = 0, i
    while p < end:
        if p[0] == c'"':
            after = skip_string(p, end)
            if after == NULL:
                return False
            key.at, key.size = p, after - p
            p = after
            while p < end and (p[0] == c" " or p[0] == c"\t" or p[0] == c"\n" or p[0] == c"\r"):
                p += 1
            if p == end or p[0] != c":":
                continue
            if depth == 0 or count == KEYS or memchr(key.at, c"\\", key.size) != NULL:
                return False
            for i in range(starts[depth - 1], count):
                if keys[i].size == key.size and memcmp(keys[i].at, key.at, key.size) == 0:
                    return False
            keys[count] = key
            count += 1
        elif p[0] == c"{" or p[0] == c"[":
            if depth == DEPTH:
                return False
            starts[depth] = count
            depth += 1
        elif p[0] == c"}" or p[0] == c"]":
            if depth == 0:
                return False
            depth -= 1
            count = starts[depth]
        p += 1
    return True
