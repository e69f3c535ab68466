"""Playbooks as documents for retrieval, from the bytes of their rows; others are left to `distill.stages.export_rag`."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr

from distill.compiled.exports cimport KEY, MARGIN, put_bytes
from distill.compiled.members cimport ACCEPTED, CATEGORIES, PARTIALLY, REVIEW
from distill.compiled.parts cimport Lines
from distill.compiled.scan cimport (
    DISTILL_SOURCE, PUT, PUT_SPAN, after_string, after_text, buffer, free_buffer, is_blank, is_text, make_room, put, put_number, span,
)

SOURCE = DISTILL_SOURCE

cdef enum:
    PITFALLS = 4
    MOST = 1 << 30  # runs of a category

cdef extern from *:
    """
    static const char *const COUNTED[] = {"{\\"accepted\\":", ",\\"partially_accepted\\":", ",\\"rejected\\":", ",\\"needs_human_review\\":"};
    static const char *const PITFALL[] = {"\\"lesson\\"", "\\"human_reason\\"", "\\"error\\"", "\\"call\\""};
    """
    const char *const COUNTED[4]
    const char *const PITFALL[4]

cdef struct Said:  # a step or a pitfall
    span text
    size_t support
    size_t of
    span kind

cdef struct Playbook:
    span id
    span group
    span title
    span when
    span models
    span passed
    span failed
    span place
    bint whole  # not only pitfalls
    size_t counts[CATEGORIES]


cdef class SpellPlaybooks:
    """Spells documents; one lives as long as a unit."""

    cdef object share_of
    cdef buffer steps, pitfalls

    def __init__(self, share_of):
        """Take what gives the share of so many runs of so many, as JSON."""
        self.share_of = share_of

    def __dealloc__(self):
        free_buffer(&self.steps)
        free_buffer(&self.pitfalls)

    def take(self, bytes data not None, Lines rows not None):
        """Add the document of every playbook; return how many there are, and the rows that are left."""
        cdef const char *p = PyBytes_AS_STRING(data)
        cdef const char *end = p + PyBytes_GET_SIZE(data)
        cdef const char *stop
        cdef Playbook one
        cdef Py_ssize_t count = 0
        left = []
        while p < end:
            stop = <const char *>memchr(p, c"\n", end - p)
            if stop == NULL:
                break  # no line
            if self._read(p, stop, &one):
                self._put(&rows.body, &one, stop - p)
                rows.end()
                count += 1
            else:
                left.append(p[: stop - p])
            p = stop + 1
        return count, left

    cdef bint _read(self, const char *p, const char *end, Playbook *one) except -1:
        """Read a playbook; false where it is not written so, or is no good document."""
        cdef const char *kind
        cdef span text
        cdef int i
        cdef size_t all = 0
        p = after_string(p, end, '{"schema_version":1,"id":', &one.id)
        p = after_string(p, end, ',"group":', &one.group)
        kind = after_text(p, end, ',"kind":"playbook"')
        one.whole = kind != NULL
        p = kind if one.whole else after_text(p, end, ',"kind":"pitfalls"')
        p = after_string(p, end, ',"title":', &one.title)
        p = after_string(p, end, ',"when":', &one.when)
        p = self._said(p, end, ',"steps":[', &self.steps, True)
        p = self._said(p, end, ',"pitfalls":[', &self.pitfalls, False)
        p = after_text(p, end, ',"counts":')
        for i in range(CATEGORIES):
            p = _number(p, end, COUNTED[i], &one.counts[i])
            all += one.counts[i] if p != NULL else 0
        p = _list(p, end, '},"models":', &one.models)
        kind = after_text(p, end, ',"single_support":true')
        p = kind if kind != NULL else after_text(p, end, ',"single_support":false')
        p = _list(p, end, ',"source_run_ids":', &one.passed)
        p = _list(p, end, ',"failed_run_ids":', &one.failed)
        p = _list(p, end, ',"evidence_ids":', &text)
        p = after_string(p, end, ',"provenance":', &one.place)
        if after_text(p, end, "}") != end or one.id.size != KEY + 2:
            return False
        return one.counts[<int>REVIEW] < all and (one.passed.size > 2 or one.failed.size > 2) and not is_blank(one.when)

    cdef const char *_said(self, const char *p, const char *end, const char *before, buffer *out, bint steps) except? NULL:
        """Read the steps, or the pitfalls."""
        cdef Said one
        cdef span ids
        out.size = 0
        p = after_text(p, end, before)
        if after_text(p, end, "]") != NULL:
            return p + 1
        while p != NULL:
            p = after_string(p, end, '{"text":', &one.text)
            if steps:
                p = _number(p, end, ',"support":', &one.support)
                p = _number(p, end, ',"of":', &one.of)
            else:
                p = _kind(p, end, &one.kind)
            p = _list(p, end, ',"evidence_ids":', &ids)
            p = after_text(p, end, "}")
            if p == NULL:
                return NULL
            if not steps:
                one.support = _count(ids)
            if make_room(out, sizeof(Said)):
                raise MemoryError
            put(out, <const char *>&one, sizeof(Said))
            if after_text(p, end, "]") != NULL:
                return p + 1
            p = after_text(p, end, ",")
        return NULL

    cdef int _put(self, buffer *body, Playbook *one, size_t size) except -1:
        """Put the document of a playbook whose row has so many bytes."""
        cdef size_t passed = one.counts[<int>ACCEPTED] + one.counts[<int>PARTIALLY], all = 0, i
        for i in range(CATEGORIES):
            all += one.counts[i]
        share = self.share_of(passed if one.whole else 0, all)
        size += self.steps.size + self.pitfalls.size  # more than is said beside each
        if make_room(body, 3 * size + PyBytes_GET_SIZE(share) + MARGIN):
            raise MemoryError
        put(body, one.id.at + 1, KEY)
        PUT(body, '{"id":')
        PUT_SPAN(body, one.id)
        if one.whole:
            PUT(body, ',"kind":"playbook","title":')
        else:
            PUT(body, ',"kind":"pitfalls","title":')
        PUT_SPAN(body, one.title)
        self._put_content(body, one, passed, all)
        _put_tags(body, one)
        PUT(body, ',"source_run_ids":')
        PUT_SPAN(body, one.passed)
        PUT(body, ',"failed_run_ids":')
        PUT_SPAN(body, one.failed)
        PUT(body, ',"success_score":')
        put_bytes(body, share)
        self._put_embedded(body, one)
        PUT(body, ',"provenance":')
        PUT_SPAN(body, one.place)
        PUT(body, '}')
        return 0

    cdef int _put_content(self, buffer *body, Playbook *one, size_t passed, size_t all) noexcept:
        """Put what a reader is shown, as `render_playbook` says it."""
        PUT(body, ',"content":"# ')
        _put_inner(body, one.title)
        PUT(body, "\\n\\n")
        put_number(body, passed)
        PUT(body, " of ")
        put_number(body, all)
        PUT(body, " runs passed.\\n\\n## When\\n")
        _put_inner(body, one.when)
        _put_said(body, &self.steps, "\\n\\n## Steps", True)
        _put_said(body, &self.pitfalls, "\\n\\n## Pitfalls", False)
        PUT(body, '"')
        return 0

    cdef int _put_embedded(self, buffer *body, Playbook *one) noexcept:
        """Put what is embedded: when it applies, and its steps where they say anything."""
        cdef Said *said = <Said *>self.steps.data
        cdef size_t count = self.steps.size // sizeof(Said), i, start
        PUT(body, ',"embedding_text":"')
        _put_inner(body, one.when)
        PUT(body, "\\n\\n")
        start = body.size
        for i in range(count):
            if i:
                PUT(body, "\\n")
            _put_inner(body, said[i].text)
        if body.size == start:
            body.size -= 4
        PUT(body, '"')
        return 0


cdef inline void _put_inner(buffer *body, span text) noexcept nogil:
    put(body, text.at + 1, text.size - 2)


cdef void _put_said(buffer *body, const buffer *told, const char *head, bint steps) noexcept nogil:
    """Put steps or pitfalls under their head, each with how many runs say so."""
    cdef const Said *said = <const Said *>told.data
    cdef size_t i
    for i in range(told.size // sizeof(Said)):
        if i == 0:
            PUT(body, head)
        PUT(body, "\\n- ")
        _put_inner(body, said[i].text)
        PUT(body, " (")
        if steps:
            put_number(body, said[i].support)
            PUT(body, " of ")
            put_number(body, said[i].of)
            PUT(body, " passing runs)")
        else:
            _put_inner(body, said[i].kind)
            PUT(body, ", ")
            put_number(body, said[i].support)
            PUT(body, " runs)")


cdef void _put_tags(buffer *body, Playbook *one) noexcept:
    """Put the tags: the group, then the models, which are sorted."""
    cdef const char *p = one.models.at + 1
    cdef const char *end = one.models.at + one.models.size - 1
    cdef span model
    PUT(body, ',"tags":["group=')
    put(body, one.group.at + 1, one.group.size - 1)
    while p < end:
        p = after_string(p, end, "", &model)
        PUT(body, ',"model=')
        put(body, model.at + 1, model.size - 1)
        p += 1
    PUT(body, "]")


cdef const char *_kind(const char *p, const char *end, span *out) noexcept nogil:
    """Read what kind a pitfall is of."""
    cdef int i
    p = after_string(p, end, ',"kind":', out)
    for i in range(PITFALLS):
        if p != NULL and is_text(out[0], PITFALL[i]):
            return p
    return NULL


cdef const char *_number(const char *p, const char *end, const char *before, size_t *out) noexcept nogil:
    """Read a number of runs after a text that must stand at p."""
    cdef const char *start
    p = after_text(p, end, before)
    start = p
    out[0] = 0
    while p != NULL and p < end and c"0" <= p[0] <= c"9" and out[0] < MOST:
        out[0] = 10 * out[0] + (p[0] - c"0")
        p += 1
    return NULL if p == start or p == NULL or (start[0] == c"0" and p - start > 1) else p


cdef const char *_list(const char *p, const char *end, const char *before, span *out) noexcept nogil:
    """Read a list of strings after a text that must stand at p."""
    cdef span one
    p = after_text(p, end, before)
    if p == NULL:
        return NULL
    out.at = p
    p = after_text(p, end, "[")
    if after_text(p, end, "]") == NULL:
        while p != NULL:
            p = after_string(p, end, "", &one)
            if after_text(p, end, "]") != NULL:
                break
            p = after_text(p, end, ",")
    if p == NULL:
        return NULL
    out.size = p + 1 - out.at
    return p + 1


cdef size_t _count(span strings) noexcept nogil:
    """Return how many strings a list has."""
    cdef const char *p = strings.at + 1
    cdef const char *end = strings.at + strings.size - 1
    cdef span one
    cdef size_t count = 0
    while p < end:
        p = after_string(p, end, "", &one) + 1
        count += 1
    return count
