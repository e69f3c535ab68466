"""Pairs of the tasks whose runs are all answers to one question, spelt the same; other tasks are left to `distill.stages.export_preference`."""

from collections import Counter

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from distill.compiled.exports cimport NEXT, QUOTE, VALUES
from distill.compiled.parts cimport Lines, Sorted, has_key
from distill.compiled.scan cimport (
    DISTILL_SOURCE, PUT, PUT_SPAN, after_text, after_value, b3_hash_many, b3_message, buffer, free_buffer, line, make_room, put, put_hex, span,
)
from distill.compiled.templates cimport QUOTE_SIZE

SOURCE = DISTILL_SOURCE

cdef enum:
    KEY = 32
    DIGEST = 16
    NAMED = 8 + KEY + 8 + KEY  # a pair as it is hashed: both ids, each after its length
    MARGIN = 1024
    MOST = 512  # sides of a task that are compared each with each

cdef enum Fate:
    NO_COUNTERPART, DUPLICATE, OVER_CAP, PAIRED

_REASONS = ("no_counterpart", "duplicate_text", "over_cap", None)

cdef struct Side:
    const char *id
    bint chosen
    bint retried
    span key
    span run_id
    span model
    span reason
    span place
    span asked
    span answer
    Fate fate
    int text  # the first side of the same text

cdef struct Candidate:
    int chosen
    int rejected
    bint taken

cdef struct Pair:
    Side chosen
    Side rejected


cdef class Gather:
    """Pairs the sides of a bucket of tasks; one lives as long as the bucket."""

    cdef int most
    cdef bint one_model
    cdef int many
    cdef buffer sides, candidates, pairs
    cdef Py_ssize_t met[4]

    def __init__(self, most, one_model, many):
        """Take `max_pairs_per_task`, whether both models must be one, and from how many combinations on a task is left."""
        self.most, self.one_model, self.many = min(most, 1 << 30), one_model, min(many, 1 << 30)

    def __dealloc__(self):
        free_buffer(&self.sides)
        free_buffer(&self.candidates)
        free_buffer(&self.pairs)

    def take(self, list blocks, Lines rows not None, Lines witnesses not None):
        """Add the rows of the pairs and which two runs each is of; return how many runs met which reason, and the tasks that are left."""
        cdef Sorted found = Sorted(blocks)
        cdef size_t i = 0, j, k
        self.pairs.size = 0
        for i in range(4):
            self.met[i] = 0
        i = 0
        left = []
        while i < found.count:
            j = i + 1
            while j < found.count and has_key(found.lines[i], found.lines[j]):
                j += 1
            if not self._task(found.lines + i, j - i):
                left.append([PyBytes_FromStringAndSize(found.lines[k].at, found.lines[k].size) for k in range(i, j)])
            i = j
        self._render(rows, witnesses)
        return Counter({_REASONS[fate]: self.met[fate] for fate in range(4) if self.met[fate]}), left

    cdef bint _task(self, line *lines, size_t count) except -1:
        """Pair the sides of one task; false where they are not plain."""
        cdef Side *sides
        cdef size_t i
        cdef int ours = 0
        if count > MOST:
            return False
        self.sides.size = 0
        if make_room(&self.sides, count * sizeof(Side)):
            raise MemoryError
        sides = <Side *>self.sides.data
        for i in range(count):
            if not _read_side(lines[i], &sides[i]) or not _is_asked_alike(&sides[i], &sides[0]):
                return False
            ours += sides[i].chosen
        if ours * (<int>count - ours) > self.many:
            return False
        _find_texts(sides, <int>count)
        self._find_candidates(sides, <int>count)
        self._choose(sides)
        for i in range(count):
            if ours == 0 or ours == <int>count:
                sides[i].fate = NO_COUNTERPART
            self.met[<int>sides[i].fate] += 1
        return True

    cdef int _find_candidates(self, Side *sides, int count) except -1:
        """Find the pairs that may be taken, in the order of model, attempt and ids."""
        cdef int rank, i, j
        cdef Candidate one
        self.candidates.size = 0
        for rank in range(4):
            for i in range(count):
                if not sides[i].chosen or sides[i].fate == DUPLICATE or sides[i].retried != (rank & 1):
                    continue
                for j in range(count):
                    if sides[j].chosen or sides[j].fate == DUPLICATE or _is_same(sides[i].run_id, sides[j].run_id) or sides[i].text == sides[j].text:
                        continue
                    if _is_same(sides[i].model, sides[j].model) == (rank >> 1) or (self.one_model and rank >> 1):
                        continue
                    one.chosen, one.rejected, one.taken = i, j, False
                    if make_room(&self.candidates, sizeof(Candidate)):
                        raise MemoryError
                    put(&self.candidates, <const char *>&one, sizeof(Candidate))
                    sides[i].fate = sides[j].fate = OVER_CAP
        return 0

    cdef int _choose(self, Side *sides) except -1:
        """Take pairs one at a time, each the first by model and attempt, then by the uses of its texts, then by ids."""
        cdef Candidate *all = <Candidate *>self.candidates.data
        cdef int count = self.candidates.size // sizeof(Candidate), first = 0, best, fewest, used, i, taken = 0
        cdef int uses[MOST]
        cdef Pair pair
        for i in range(MOST):
            uses[i] = 0
        while taken < self.most:
            while first < count and all[first].taken:
                first += 1
            if first == count:
                return 0
            best, fewest = first, -1
            for i in range(first, count):
                if all[i].taken:
                    continue
                used = uses[sides[all[i].chosen].text] + uses[sides[all[i].rejected].text]
                if 0 <= fewest <= used:
                    continue
                if _rank(sides, all[i]) != _rank(sides, all[first]):
                    break
                best, fewest = i, used
                if used == 0:
                    break
            all[best].taken = True
            uses[sides[all[best].chosen].text] += 1
            uses[sides[all[best].rejected].text] += 1
            sides[all[best].chosen].fate = sides[all[best].rejected].fate = PAIRED
            pair.chosen, pair.rejected = sides[all[best].chosen], sides[all[best].rejected]
            if make_room(&self.pairs, sizeof(Pair)):
                raise MemoryError
            put(&self.pairs, <const char *>&pair, sizeof(Pair))
            taken += 1
        return 0

    cdef int _render(self, Lines rows, Lines witnesses) except -1:
        """Write the pairs that were taken."""
        cdef size_t count = self.pairs.size // sizeof(Pair), i
        cdef Pair *pairs = <Pair *>self.pairs.data
        cdef uint8_t length[8]
        cdef b3_message *messages = <b3_message *>malloc(count * sizeof(b3_message) + 1)
        cdef uint8_t *named = <uint8_t *>malloc(count * NAMED + 1)
        cdef uint8_t *ids = <uint8_t *>malloc(count * DIGEST + 1)
        try:
            if messages == NULL or named == NULL or ids == NULL:
                raise MemoryError
            length = [KEY, 0, 0, 0, 0, 0, 0, 0]
            for i in range(count):
                messages[i].data, messages[i].length = named + i * NAMED, NAMED
                memcpy(named + i * NAMED, length, 8)
                memcpy(named + i * NAMED + 8, pairs[i].chosen.id, KEY)
                memcpy(named + i * NAMED + 8 + KEY, length, 8)
                memcpy(named + i * NAMED + 16 + KEY, pairs[i].rejected.id, KEY)
            b3_hash_many(messages, count, ids, DIGEST)
            for i in range(count):
                _put_pair(rows, witnesses, &pairs[i], ids + i * DIGEST)
        finally:
            free(messages)
            free(named)
            free(ids)
        return 0


cdef inline bint _is_same(span one, span other) noexcept nogil:
    return one.size == other.size and memcmp(one.at, other.at, one.size) == 0


cdef inline int _rank(Side *sides, Candidate one) noexcept nogil:
    return 2 * (not _is_same(sides[one.chosen].model, sides[one.rejected].model)) + sides[one.chosen].retried


cdef const char *_text(const char *p, const char *end, const char *before, span *out) noexcept nogil:
    """Read a text, or a quote of one, after a text that must stand at p."""
    cdef const char *after = after_text(p, end, before)
    if after == NULL or after == end or after[0] != QUOTE[0]:
        return after_value(p, end, before, out)
    if end - after < QUOTE_SIZE:
        return NULL
    out.at, out.size = after, QUOTE_SIZE
    return after + QUOTE_SIZE


cdef inline bint _is_asked_alike(Side *one, Side *other) noexcept nogil:
    """Tell whether two sides answer one question; a quoted one is known by its key."""
    if one.asked.at[0] == QUOTE[0] and other.asked.at[0] == QUOTE[0]:
        return memcmp(one.asked.at, other.asked.at, 1 + KEY) == 0
    return _is_same(one.asked, other.asked)


cdef bint _read_side(line one, Side *side) noexcept nogil:
    """Read a side that is one answer to one question; false where it is more."""
    cdef const char *p = one.at + 2 * KEY
    cdef const char *end = one.at + one.size
    cdef span identity, chosen, retried
    if one.size < 2 * KEY:
        return False
    p = after_value(p, end, "[", &identity)
    p = after_value(p, end, ",", &chosen)
    p = after_value(p, end, ",", &side.key)
    p = after_value(p, end, ",", &side.run_id)
    p = after_value(p, end, ",", &side.model)
    p = after_value(p, end, ",", &retried)
    p = after_value(p, end, ",", &side.reason)
    p = after_value(p, end, ",", &side.place)
    p = _text(p, end, ',[["user",', &side.asked)
    p = _text(p, end, ',false],["assistant",', &side.answer)
    if after_text(p, end, ",false]]]") != end or identity.size != KEY + 2:
        return False
    side.id = identity.at + 1
    side.chosen, side.retried, side.fate = chosen.at[0] == c"t", retried.at[0] == c"t", NO_COUNTERPART
    return True


cdef void _find_texts(Side *sides, int count) noexcept nogil:
    """Find the sides of equal text; of those on one side, the first by id stands."""
    cdef int i, j
    for i in range(count):
        sides[i].text = i
        for j in range(i):
            if _is_same(sides[i].key, sides[j].key):
                sides[i].text = sides[j].text
                if sides[i].chosen == sides[j].chosen:
                    sides[i].fate = DUPLICATE
                    break


cdef int _put_pair(Lines rows, Lines witnesses, Pair *pair, const uint8_t *digest) except -1:
    """Put the values of a pair's row, see `distill.units.export_preference`, and its two runs."""
    cdef Side *ours = &pair.chosen
    cdef Side *theirs = &pair.rejected
    cdef buffer *body = &rows.body
    if make_room(body, MARGIN + ours.asked.size + ours.answer.size + theirs.answer.size + ours.run_id.size + theirs.run_id.size
                 + ours.model.size + theirs.model.size + theirs.reason.size + ours.place.size + theirs.place.size):  # fmt: skip
        raise MemoryError
    put_hex(body, digest, DIGEST)
    PUT(body, VALUES)
    PUT_SPAN(body, ours.asked)
    PUT(body, NEXT)
    PUT_SPAN(body, ours.answer)
    PUT(body, NEXT)
    PUT_SPAN(body, theirs.answer)
    PUT(body, NEXT)
    PUT_SPAN(body, ours.run_id)
    PUT(body, NEXT)
    PUT_SPAN(body, theirs.run_id)
    PUT(body, NEXT)
    PUT_SPAN(body, ours.model)
    PUT(body, NEXT)
    PUT_SPAN(body, theirs.model)
    PUT(body, NEXT)
    PUT_SPAN(body, theirs.reason)
    PUT(body, NEXT)
    put(body, ours.place.at, ours.place.size - 1)
    PUT(body, "; ")
    put(body, theirs.place.at + 1, theirs.place.size - 1)
    rows.end()
    body = &witnesses.body
    if make_room(body, 3 * KEY):
        raise MemoryError
    put_hex(body, digest, DIGEST)
    put(body, ours.id, KEY)
    put(body, theirs.id, KEY)
    return witnesses.end()
