# The runs of a group as playbooks are made of them, read from the lines that `documents.SpreadMembers` writes.
from libc.string cimport memchr, memcmp

from distill.compiled.exports cimport KEY
from distill.compiled.scan cimport (
    P_COUNT, P_FILE, P_INDEX, P_KEY, P_LINE, P_MEMBER, P_OFFSET, P_SIG_HASH, after_string, after_text, after_value, is_blank, is_null, is_text,
    line, read_place, span,
)

cdef enum:
    CATEGORIES = 4
    MEMBER = 128  # more than the names and brackets of a member

cdef extern from *:
    """
    static const char *const CATEGORY[] = {"\\"accepted\\"", "\\"partially_accepted\\"", "\\"rejected\\"", "\\"needs_human_review\\""};
    """
    const char *const CATEGORY[4]

cdef enum Category:
    ACCEPTED, PARTIALLY, REJECTED, REVIEW

cdef struct Member:
    Category category
    bint passed
    bint answered
    span id
    span run_id
    span model
    span asked
    span context
    span answer
    span errors
    span lessons
    span place[P_COUNT]

cdef struct Scope:
    span name
    span group


cdef inline bint is_equal(span one, span other) noexcept nogil:
    return one.size == other.size and memcmp(one.at, other.at, one.size) == 0


cdef inline bint has_escape(span text) noexcept nogil:
    return memchr(text.at, c"\\", text.size) != NULL


cdef inline int compare(span one, span other) noexcept nogil:
    """Compare two JSON strings without escapes by their characters: the bytes before the last quote."""
    cdef int found = memcmp(one.at, other.at, min(one.size, other.size) - 1)
    return found if found else (one.size > other.size) - (one.size < other.size)


cdef inline const char *_maybe(const char *p, const char *end, const char *before, span *out) noexcept nogil:
    """Read the value after a text that may stand at p; of none, the size is 0."""
    out.at, out.size = p, 0
    return p if after_text(p, end, before) == NULL else after_value(p, end, before, out)


cdef inline bint _is_simple(Member *one) noexcept nogil:
    """Tell whether a member stands in a line, and its names are spelt without escapes, so that their bytes have the order of their characters."""
    cdef span *place = one.place
    if is_null(place[P_LINE]) or not is_null(place[P_MEMBER]) or not is_null(place[P_INDEX]) or not is_null(place[P_KEY]):
        return False
    if one.context.size and one.context.at[0] != c'"':
        return False
    return not has_escape(one.run_id) and not has_escape(one.model)


cdef inline bint read_member(line one, Scope *scope, Member *member) noexcept nogil:
    """Read a member as `distill.compiled.documents.SpreadMembers` writes it; false where it is more than an answer to a question."""
    cdef const char *p = one.at + 2 * KEY
    cdef const char *end = one.at + one.size
    cdef span category, reasons, text
    cdef int i
    if one.size < 2 * KEY:
        return False
    p = after_string(p, end, "[", &scope.name)
    p = after_string(p, end, ",", &scope.group)
    p = after_string(p, end, ",", &category)
    p = after_value(p, end, ",", &reasons)
    p = after_value(p, end, ",", &text)  # the score
    p = after_value(p, end, ",", &text)  # attempts
    p = after_text(p, end, ",null,false]\t")
    p = after_string(p, end, '{"id":', &member.id)
    p = after_value(p, end, ',"source":', &text)
    p = after_value(p, end, ',"run_id":', &member.run_id)
    p = after_value(p, end, ',"model":', &member.model)
    p = after_string(p, end, ',"instruction":', &member.asked)
    p = _maybe(p, end, ',"context":', &member.context)
    p = _maybe(p, end, ',"response":', &member.answer)
    p = _maybe(p, end, ',"errors":', &member.errors)
    p = _maybe(p, end, ',"lessons":', &member.lessons)
    p = after_value(p, end, ',"provenance":', &text)
    if after_text(p, end, "}") != end or not read_place(text, member.place) or after_text(reasons.at, end, '["with_changes"') != NULL:
        return False
    if member.context.size == 2 or is_null(member.context):
        member.context.size = 0
    for i in range(CATEGORIES):
        if is_text(category, CATEGORY[i]):
            member.category = <Category>i
            member.passed = i == ACCEPTED or i == PARTIALLY
            member.answered = member.passed and member.answer.size > 0 and not is_null(member.answer) and not is_blank(member.answer)
            return member.id.size == KEY + 2 and not is_blank(member.asked) and _is_simple(member)
    return False


cdef inline size_t room_of(Member *one) noexcept nogil:
    """Return the most bytes that a member adds to its group's row."""
    cdef span *place = one.place
    cdef size_t where = place[P_FILE].size + place[P_LINE].size + place[P_OFFSET].size + place[P_SIG_HASH].size
    return one.answer.size + 2 * one.run_id.size + one.model.size + one.errors.size + one.lessons.size + where + MEMBER
