"""Playbooks of the groups whose runs are all one answer to one question; other groups are left to `distill.stages.extract_playbooks`."""

from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp

from distill.compiled.exports cimport KEY, MARGIN, put_bytes
from distill.compiled.members cimport CATEGORIES, CATEGORY, REJECTED, Member, Scope, compare, has_escape, is_equal, read_member, room_of
from distill.compiled.parts cimport Lines, Sorted, has_key
from distill.compiled.scan cimport (
    DISTILL_SOURCE, P_FILE, P_LINE, P_OFFSET, P_SIG_HASH, PUT, PUT_SPAN, after_string, after_text, buffer, free_buffer, is_null, line, make_room,
    put, put_number, span, write_normal,
)

SOURCE = DISTILL_SOURCE

cdef enum:
    MOST = 512  # members of a group, and things that went wrong in it
    WRONG = 128  # more than the names and brackets of a thing that went wrong, and an id

cdef struct Wrong:  # what a member tells of what went wrong
    bint lesson
    span text
    size_t normal  # where its text with white space made one starts, and its length
    size_t size
    int member

cdef struct Example:
    int member  # whose answer is the shortest; -1 where nobody answered
    int support


cdef class Gather:
    """Makes the playbooks of a bucket of groups; one lives as long as the bucket."""

    cdef object name_of, title_of
    cdef Member members[MOST]
    cdef Wrong wrongs[MOST]
    cdef int order[MOST]
    cdef int count, wrong
    cdef Scope scope
    cdef buffer asked, best, other
    cdef Py_ssize_t told, silent

    def __init__(self, name_of, title_of):
        """Take what gives the id and the name of a group, from its scope and value as JSON, and the title of a user text as JSON."""
        self.name_of, self.title_of = name_of, title_of

    def __dealloc__(self):
        free_buffer(&self.asked)
        free_buffer(&self.best)
        free_buffer(&self.other)

    def take(self, list blocks, Lines rows not None):
        """Add the playbooks; return how many runs have one, how many have none, and the groups that are left."""
        cdef Sorted found = Sorted(blocks)
        cdef size_t i = 0, j, k
        self.told = self.silent = 0
        left = []
        while i < found.count:
            j = i + 1
            while j < found.count and has_key(found.lines[i], found.lines[j]):
                j += 1
            if not self._group(found.lines + i, j - i, rows):
                left.append([PyBytes_FromStringAndSize(found.lines[k].at, found.lines[k].size) for k in range(i, j)])
            i = j
        return self.told, self.silent, left

    cdef bint _group(self, line *lines, size_t count, Lines rows) except -1:
        """Make the playbook of one group; false where it is not plain."""
        cdef Example example
        cdef size_t i
        cdef bint passed = False, failed = False
        if count > MOST:
            return False
        self.count, self.wrong, self.other.size = <int>count, 0, 0
        for i in range(count):
            if not read_member(lines[i], &self.scope, &self.members[i]) or not self._hear(<int>i):
                return False
            passed = passed or self.members[i].passed
            failed = failed or self.members[i].category == REJECTED
        if not passed and not failed and not self.wrong:
            self.silent += count
            return True
        if not self._is_asked_alike(failed) or not self._find_example(&example):
            return False
        self._sort_wrongs()
        self._put(rows, passed, &example)
        self.told += count
        return True

    cdef bint _hear(self, int number) except -1:
        """Hear what a member tells of what went wrong; false where it is too much, or has to be spelt by Python."""
        return self._hear_list(self.members[number].errors, False, number) and self._hear_list(self.members[number].lessons, True, number)

    cdef bint _hear_list(self, span told, bint lesson, int number) except -1:
        cdef const char *p = told.at
        cdef const char *end = told.at + told.size
        cdef Wrong *one
        cdef Py_ssize_t size
        if told.size == 0:
            return True
        p = after_text(p, end, "[")
        while p != NULL:
            if self.wrong == MOST:
                return False
            one = &self.wrongs[self.wrong]
            p = after_string(p, end, "", &one.text)
            if p == NULL:
                return False
            if make_room(&self.other, one.text.size):
                raise MemoryError
            size = write_normal(one.text, self.other.data + self.other.size)
            if size < 0:
                return False
            if size > 0:
                one.lesson, one.member, one.normal, one.size = lesson, number, self.other.size, size
                self.other.size += size
                self.wrong += 1
            if after_text(p, end, "]") == end:
                return True
            p = after_text(p, end, ",")
        return False

    cdef bint _is_asked_alike(self, bint failed) except -1:
        """Write the user text of those that answered, else of those that failed, else of all; false where they are not asked alike."""
        cdef bint answered = False
        cdef int i, first = -1
        cdef Member *one
        for i in range(self.count):
            answered = answered or self.members[i].answered
        for i in range(self.count):
            one = &self.members[i]
            if not (one.answered if answered else one.category == REJECTED or not failed):
                continue
            if first < 0:
                first = i
            elif not is_equal(one.asked, self.members[first].asked) or not is_equal(one.context, self.members[first].context):
                return False
        one, self.asked.size = &self.members[first], 0
        if make_room(&self.asked, one.asked.size + one.context.size + MARGIN):
            raise MemoryError
        if one.context.size == 0:
            PUT_SPAN(&self.asked, one.asked)
        else:
            put(&self.asked, one.asked.at, one.asked.size - 1)
            PUT(&self.asked, "\\n\\n")
            put(&self.asked, one.context.at + 1, one.context.size - 1)
        return True

    cdef bint _find_example(self, Example *example) except -1:
        """Find the shortest answer and how many give it; false where Python must tell."""
        cdef Py_ssize_t shortest = 0, size, best
        cdef size_t place = self.other.size
        cdef Member *one
        cdef int i, order
        example.member, example.support = -1, 0
        for i in range(self.count):
            one = &self.members[i]
            if not one.answered:
                continue
            size = _characters(one.answer)
            if size < 0:
                return False
            if example.member >= 0 and size == shortest and not is_equal(one.answer, self.members[example.member].answer):
                if has_escape(one.answer) or has_escape(self.members[example.member].answer):
                    return False
                order = compare(one.answer, self.members[example.member].answer)
            else:
                order = -1 if example.member < 0 or size < shortest else 1
            if order < 0:
                example.member, shortest = i, size
        if example.member < 0:
            return True
        best = self._write_best(self.members[example.member].answer)
        for i in range(self.count):
            one = &self.members[i]
            if not one.answered:
                continue
            if make_room(&self.other, one.answer.size):
                raise MemoryError
            size = write_normal(one.answer, self.other.data + place)
            if size < 0 or best < 0:
                return False
            example.support += size == best and memcmp(self.other.data + place, self.best.data, best) == 0
        return True

    cdef Py_ssize_t _write_best(self, span answer) except? -2:
        if make_room(&self.best, answer.size):
            raise MemoryError
        return write_normal(answer, self.best.data)

    cdef int _sort_wrongs(self) noexcept:
        """Sort what went wrong by kind and text; what is equal stays in the order of the members."""
        cdef int i, j
        for i in range(self.wrong):
            j = i
            while j > 0 and self._order_of(self.order[j - 1], i) > 0:
                self.order[j] = self.order[j - 1]
                j -= 1
            self.order[j] = i
        return 0

    cdef int _order_of(self, int left, int right) noexcept:
        cdef Wrong *one = &self.wrongs[left]
        cdef Wrong *two = &self.wrongs[right]
        if one.lesson != two.lesson:
            return 1 if one.lesson else -1
        cdef int found = memcmp(self.other.data + one.normal, self.other.data + two.normal, min(one.size, two.size))
        return found if found else (one.size > two.size) - (one.size < two.size)

    cdef int _put(self, Lines rows, bint passed, Example *example) except -1:
        """Put the row of the group."""
        cdef bytes asked = PyBytes_FromStringAndSize(self.asked.data, self.asked.size)
        cdef bytes identity, name, title = self.title_of(asked)
        cdef buffer *body = &rows.body
        cdef size_t size = self.asked.size + PyBytes_GET_SIZE(title) + WRONG * self.wrong + MARGIN
        cdef int i, answered = 0
        identity, name = self.name_of(PyBytes_FromStringAndSize(self.scope.name.at, self.scope.name.size),
                                      PyBytes_FromStringAndSize(self.scope.group.at, self.scope.group.size))  # fmt: skip
        for i in range(self.count):
            size += room_of(&self.members[i])
            answered += self.members[i].answered
        if make_room(body, size + PyBytes_GET_SIZE(name)):
            raise MemoryError
        put_bytes(body, identity)
        PUT(body, '{"schema_version":1,"id":"')
        put_bytes(body, identity)
        PUT(body, '","group":')
        put_bytes(body, name)
        if passed:
            PUT(body, ',"kind":"playbook","title":')
        else:
            PUT(body, ',"kind":"pitfalls","title":')
        put_bytes(body, title)
        PUT(body, ',"when":')
        put_bytes(body, asked)
        PUT(body, ',"steps":[')
        if example.member >= 0:
            self._put_example(body, example, answered)
        PUT(body, '],"pitfalls":[')
        self._put_wrongs(body)
        PUT(body, '],"counts":{')
        self._put_counts(body)
        PUT(body, '},"models":[')
        self._put_names(body, True, True)
        if answered == 1:
            PUT(body, '],"single_support":true,"source_run_ids":[')
        else:
            PUT(body, '],"single_support":false,"source_run_ids":[')
        self._put_names(body, False, True)
        PUT(body, '],"failed_run_ids":[')
        self._put_names(body, False, False)
        PUT(body, '],"evidence_ids":[')
        self._put_places(body)
        PUT(body, '"}')
        return rows.end()

    cdef int _put_example(self, buffer *body, Example *example, int answered) except -1:
        PUT(body, '{"text":')
        PUT_SPAN(body, self.members[example.member].answer)
        PUT(body, ',"support":')
        put_number(body, example.support)
        PUT(body, ',"of":')
        put_number(body, answered)
        PUT(body, ',"evidence_ids":[')
        PUT_SPAN(body, self.members[example.member].id)
        PUT(body, ']}')
        return 0

    cdef int _put_wrongs(self, buffer *body) except -1:
        """Put what went wrong, each once with every member that tells it."""
        cdef int i, last = -1
        cdef Wrong *one
        for i in range(self.wrong):
            one = &self.wrongs[self.order[i]]
            if i and self._order_of(self.order[i - 1], self.order[i]) == 0:
                if one.member == last:
                    continue
                PUT(body, ",")
            else:
                if i:
                    PUT(body, "]},")
                PUT(body, '{"text":')
                PUT_SPAN(body, one.text)
                if one.lesson:
                    PUT(body, ',"kind":"lesson","evidence_ids":[')
                else:
                    PUT(body, ',"kind":"error","evidence_ids":[')
            PUT_SPAN(body, self.members[one.member].id)
            last = one.member
        if self.wrong:
            PUT(body, "]}")
        return 0

    cdef int _put_counts(self, buffer *body) except -1:
        cdef int i, j, count
        for i in range(CATEGORIES):
            count = 0
            for j in range(self.count):
                count += self.members[j].category == i
            if i:
                PUT(body, ",")
            PUT(body, CATEGORY[i])
            PUT(body, ":")
            put_number(body, count)
        return 0

    cdef int _put_names(self, buffer *body, bint models, bint passed) except -1:
        """Put the models of the members that passed, or the run ids of those that passed or failed, sorted, each once."""
        cdef span *names[MOST]
        cdef span *name
        cdef int i, j, count = 0
        for i in range(self.count):
            if not (self.members[i].passed if passed else self.members[i].category == REJECTED):
                continue
            name = &self.members[i].model if models else &self.members[i].run_id
            if is_null(name[0]) or name.size == 2:
                continue
            j = count
            while j > 0 and compare(names[j - 1][0], name[0]) > 0:
                names[j] = names[j - 1]
                j -= 1
            names[j] = name
            count += 1
        for i in range(count):
            if i and is_equal(names[i - 1][0], names[i][0]):
                continue
            if i:
                PUT(body, ",")
            PUT_SPAN(body, names[i][0])
        return 0

    cdef int _put_places(self, buffer *body) except -1:
        """Put the ids of all members, and where they are told."""
        cdef int i
        cdef span *place
        for i in range(self.count):
            if i:
                PUT(body, ",")
            PUT_SPAN(body, self.members[i].id)
        PUT(body, '],"provenance":"')
        for i in range(self.count):
            place = self.members[i].place
            if i:
                PUT(body, "; ")
            put(body, place[P_FILE].at + 1, place[P_FILE].size - 2)
            PUT(body, ":")
            PUT_SPAN(body, place[P_LINE])
            PUT(body, "@")
            PUT_SPAN(body, place[P_OFFSET])
            PUT(body, " blake3:")
            put(body, place[P_SIG_HASH].at + 1, place[P_SIG_HASH].size - 2)
        return 0


cdef Py_ssize_t _characters(span text) noexcept nogil:
    """Return how many characters a JSON string has, or -1 where one is spelt in a way of which Python must tell."""
    cdef const char *p = text.at + 1
    cdef const char *end = text.at + text.size - 1
    cdef Py_ssize_t count = 0
    while p < end:
        if p[0] == c"\\":
            if end - p < 2 or p[1] == c"u":
                return -1
            p += 1
        count += (<unsigned char>p[0] & 0xC0) != 0x80
        p += 1
    return count
