# Rows of exports as bytes: read only where they are written as the exports write them and their talk is a good one.
from libc.string cimport memchr, memcmp

from distill.compiled.scan cimport after_string, after_text, is_blank, span

cdef enum:
    HASH = 64

cdef enum Role:
    NOBODY, SYSTEM, USER, ASSISTANT

cdef struct Talk:
    Role last
    bint broken
    span answer


cdef struct Trained:
    span id
    span run_id
    span place


cdef inline const char *messages(const char *p, const char *end, Talk *talk) noexcept nogil:
    """Read a list of messages, which goes on from where the talk is: roles alternate, the user's is the first after the system's."""
    cdef const char *role
    cdef Role speaks
    cdef span content
    p = after_text(p, end, "[")
    while p != NULL:
        p = after_text(p, end, '{"role":"')
        role = p
        if after_text(role, end, "user") != NULL:
            speaks, p = USER, after_text(role, end, "user")
        elif after_text(role, end, "assistant") != NULL:
            speaks, p = ASSISTANT, after_text(role, end, "assistant")
        else:
            speaks, p = SYSTEM, after_text(role, end, "system")
        p = after_string(p, end, '","content":', &content)
        p = after_text(p, end, "}")
        if p == NULL:
            return NULL
        if speaks == SYSTEM:
            talk.broken = talk.broken or talk.last != NOBODY
        elif talk.last == NOBODY or talk.last == SYSTEM:
            talk.broken = talk.broken or speaks != USER
        else:
            talk.broken = talk.broken or speaks == talk.last
        talk.last, talk.answer = speaks, content
        if after_text(p, end, "]") != NULL:
            return p + 1
        p = after_text(p, end, ",")
    return NULL


cdef inline bint read_trained(const char *p, const char *end, bint whole, Trained *row) noexcept nogil:
    """Read a row of whole conversations, or of turns; false where it is not written so or no good talk."""
    cdef Talk talk
    cdef span text
    talk.last, talk.broken = NOBODY, False
    if whole:
        p = messages(after_text(p, end, '{"messages":'), end, &talk)
        p = after_string(p, end, ',"instruction":', &text)
        p = after_string(p, end, ',"response":', &text)
    else:
        p = messages(after_text(p, end, '{"prompt":'), end, &talk)
        if p == NULL or talk.last != USER:
            return False
        p = after_text(p, end, ',"completion":')
        if after_text(p, end, '[{"role":"assistant"') == NULL:
            return False
        p = messages(p, end, &talk)
    p = after_string(p, end, ',"id":', &row.id)
    p = after_string(p, end, ',"source_run_id":', &row.run_id)
    p = after_string(p, end, ',"quality_score":', &text)
    p = after_string(p, end, ',"provenance":', &row.place)
    if after_text(p, end, "}") != end:
        return False
    return not talk.broken and talk.last == ASSISTANT and not is_blank(talk.answer)


cdef inline const char *strings(const char *p, const char *end, span *first, size_t *count) noexcept nogil:
    """Read a list of strings."""
    cdef span one
    count[0] = 0
    p = after_text(p, end, "[")
    if after_text(p, end, "]") != NULL:
        return p + 1
    while p != NULL:
        p = after_string(p, end, "", &one)
        if count[0] == 0:
            first[0] = one
        count[0] += 1
        if after_text(p, end, "]") != NULL:
            return p + 1
        p = after_text(p, end, ",")
    return NULL


cdef inline const char *share(const char *p, const char *end) noexcept nogil:
    """Read a number from 0 to 1, as it is spelt without an exponent."""
    cdef const char *start = p
    if p == NULL or end - p < 3 or p[1] != c"." or (p[0] != c"0" and p[0] != c"1"):
        return NULL
    p += 2
    while p < end and c"0" <= p[0] <= c"9":
        if start[0] == c"1" and p[0] != c"0":
            return NULL
        p += 1
    return p if 2 < p - start <= 20 else NULL


cdef struct Document:
    span id
    span run_id
    span embedded
    span place


cdef inline bint read_document(const char *p, const char *end, Document *row) noexcept nogil:
    """Read a document of one run; false where it is not written so."""
    cdef span text
    cdef size_t count
    p = after_string(p, end, '{"id":', &row.id)
    p = after_text(p, end, ',"kind":"run"')
    p = after_string(p, end, ',"title":', &text)
    p = after_string(p, end, ',"content":', &text)
    p = strings(after_text(p, end, ',"tags":'), end, &text, &count)
    p = strings(after_text(p, end, ',"source_run_ids":'), end, &row.run_id, &count)
    if p == NULL or count == 0:
        return False
    p = share(after_text(p, end, ',"failed_run_ids":[],"success_score":'), end)
    p = after_string(p, end, ',"embedding_text":', &row.embedded)
    p = after_string(p, end, ',"provenance":', &row.place)
    return after_text(p, end, "}") == end


cdef struct GroupDocument:
    span id
    span group
    span embedded


cdef inline bint have_one_in_common(span names, span others) noexcept nogil:
    """Tell whether two lists of strings, which have no escapes, have a string in common."""
    cdef const char *p = names.at + 1
    cdef const char *end = names.at + names.size
    cdef const char *q
    cdef const char *q_end = others.at + others.size
    cdef const char *stop
    cdef const char *q_stop
    while p < end and p[0] == c'"':
        stop = <const char *>memchr(p + 1, c'"', end - p - 1)
        q = others.at + 1
        while q < q_end and q[0] == c'"':
            q_stop = <const char *>memchr(q + 1, c'"', q_end - q - 1)
            if q_stop - q == stop - p and memcmp(p, q, stop - p) == 0:
                return True
            q = q_stop + 2
        p = stop + 2
    return False


cdef inline const char *names(const char *p, const char *end, const char *before, span *out) noexcept nogil:
    """Read a list of strings without escapes after a text that must stand at p."""
    cdef span first
    cdef size_t count
    p = after_text(p, end, before)
    if p == NULL:
        return NULL
    out.at = p
    p = strings(p, end, &first, &count)
    if p == NULL or memchr(out.at, c"\\", p - out.at) != NULL:
        return NULL
    out.size = p - out.at
    return p


cdef inline bint read_group(const char *p, const char *end, GroupDocument *row) noexcept nogil:
    """Read a document of a group, whose first tag names it; false where it is not written so, or has a run that passed and failed."""
    cdef span text, passed, failed
    cdef const char *kind
    cdef size_t count
    p = after_string(p, end, '{"id":', &row.id)
    kind = after_text(p, end, ',"kind":"playbook"')
    p = kind if kind != NULL else after_text(p, end, ',"kind":"pitfalls"')
    p = after_string(p, end, ',"title":', &text)
    p = after_string(p, end, ',"content":', &text)
    p = strings(after_text(p, end, ',"tags":'), end, &row.group, &count)
    if p == NULL or count == 0 or after_text(row.group.at, end, '"group=') == NULL:
        return False
    p = names(p, end, ',"source_run_ids":', &passed)
    p = names(p, end, ',"failed_run_ids":', &failed)
    p = share(after_text(p, end, ',"success_score":'), end)
    p = after_string(p, end, ',"embedding_text":', &row.embedded)
    p = after_string(p, end, ',"provenance":', &text)
    return after_text(p, end, "}") == end and not have_one_in_common(passed, failed)


cdef struct Paired:
    span id
    span chosen_run_id
    span rejected_run_id
    span chosen
    span rejected
    span place


cdef inline bint read_pair(const char *p, const char *end, Paired *row) noexcept nogil:
    """Read a pair; false where it is not written so or a talk of it is no good."""
    cdef Talk asked, ours, theirs
    cdef span text
    asked.last, asked.broken = NOBODY, False
    p = messages(after_text(p, end, '{"prompt":'), end, &asked)
    if p == NULL or asked.broken or asked.last != USER:
        return False
    ours = theirs = asked
    p = messages(after_text(p, end, ',"chosen":'), end, &ours)
    p = messages(after_text(p, end, ',"rejected":'), end, &theirs)
    p = after_string(p, end, ',"id":', &row.id)
    p = after_string(p, end, ',"chosen_run_id":', &row.chosen_run_id)
    p = after_string(p, end, ',"rejected_run_id":', &row.rejected_run_id)
    p = after_string(p, end, ',"chosen_model":', &text)
    p = after_string(p, end, ',"rejected_model":', &text)
    p = after_string(p, end, ',"reason":', &text)
    p = after_string(p, end, ',"provenance":', &row.place)
    if after_text(p, end, "}") != end or ours.broken or theirs.broken or ours.last != ASSISTANT or theirs.last != ASSISTANT:
        return False
    row.chosen, row.rejected = ours.answer, theirs.answer
    return not is_blank(ours.answer) and not is_blank(theirs.answer)


cdef inline bint split_place(span both, span *one, span *other) noexcept nogil:
    """Split a provenance into its two places, JSON strings without their outer quotes; false where it has not just two."""
    cdef const char *p = both.at + 1
    cdef const char *end = both.at + both.size - 1
    cdef const char *semicolon
    cdef int found = 0
    while p < end:
        semicolon = <const char *>memchr(p, c";", end - p)
        if semicolon == NULL:
            break
        if semicolon + 1 < end and semicolon[1] == c" ":
            one.at, one.size = both.at + 1, semicolon - both.at - 1
            other.at, other.size = semicolon + 2, end - semicolon - 2
            found += 1
        p = semicolon + 1
    return found == 1 and ends_in_hash(one[0])


cdef inline bint ends_in_hash(span place) noexcept nogil:
    cdef size_t i
    cdef char c
    if place.size < HASH:
        return False
    for i in range(place.size - HASH, place.size):
        c = place.at[i]
        if not (c"0" <= c <= c"9" or c"a" <= c <= c"f"):
            return False
    return True
