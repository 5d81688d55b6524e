/* Takes runs of plain members of a tar archive straight to samples: what TarParser and Grouper make of them, in one loop. Or
   finds samples in a file by their headers, for tools that copy; or makes rows of a table of them, for tools that look.

   Plain is a USTAR header of a regular file without a prefix, alone or behind one PAX header that bears on nothing but its
   name, whose payload lies whole in the chunk, and which gives a field that is new to its sample. At anything else the run
   ends before the member's first header, and nothing of it has been noted: the Python code takes it, and knows all the rules
   and errors. So there is no error here but that of the memory.

   Built for the limited API of Python 3.11, see scanner.py. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 512
#define FIELDS 16       /* suffixes of a run that are remembered */
#define LONGEST 24      /* bytes of such a suffix */
#define REMEMBERED (1 << 17)    /* keys of a shard in a set, and what one run adds to them */
#define LOGGED (1 << 20)        /* bytes of keys that rise */
#define MOST_DIGITS 9   /* of a record's length; a number of more is left to Python */
#define WINDOW_LEAST 4096       /* bytes of a file that are read at a time: behind a payload that is passed over, */
#define WINDOW_MOST 65536       /* and of small members; what has longer headers is left to Python */

typedef struct {
    const char *at;
    Py_ssize_t size;
} Text;

typedef struct {
    Text suffix;
    PyObject *name;
} Field;

/* A part of an archive, and what members of it may be. Positions are counted from where it begins. */
typedef struct {
    const char *bytes;
    Py_ssize_t there;       /* headers have to end before this */
    Py_ssize_t fit;         /* and payloads before this */
    long long most, most_extended;
} Part;

/* What the run is given, and how far it has come. */
typedef struct {
    Part part;              /* the chunk */
    long long base;         /* offset of the chunk in the archive */
    PyTypeObject *type;     /* Sample */
    newfunc make;           /* its tp_new */
    PyObject *no_args;
    PyObject *origin;       /* the descriptor of its slot */
    descrsetfunc set_origin;
    PyObject *template, *shard, *seen, *samples;
    PyObject *key_name;     /* "__key__" */
    PyObject *sample;       /* that is open; NULL for none */
    Text key;               /* of that sample */
    Text greatest;          /* of all keys, while they rise */
    int rising;
    int inherited;          /* the open sample was begun before the run, and may be marked as bad */
    int remember, untrack;
    long long ordinal;
    Field fields[FIELDS];
    int known;
} Run;

/* A member that the run may take. */
typedef struct {
    Text name;
    Py_ssize_t payload, size, following;
} Member;

typedef enum { FAILED = -1, ODD, CUT, TAKEN } Outcome;

/* Octal digits that end in a NUL or in spaces, as nearly all writers have them; -1 for other forms. */
static long long
octal(const char *field, int width)
{
    long long value = 0;
    int i = 0;
    for (; i < width && field[i] >= '0' && field[i] <= '7'; i++)
        value = value * 8 + (field[i] - '0');
    if (i == 0)
        return -1;
    for (; i < width && field[i] != '\0'; i++)
        if (field[i] != ' ')
            return -1;
    return value;
}

static int
checksum_matches(const char *block)
{
    /* Four sums of 16 bits in one word: 128 bytes in each, which is 32640 at most. With
       bytes summed one by one a sample of two members takes 0.46 us, and 0.38 so. */
    const unsigned long long even = 0x00FF00FF00FF00FFULL;
    unsigned long long sums = 0, word;
    for (int i = 0; i < BLOCK; i += 8) {
        memcpy(&word, block + i, 8);
        sums += (word & even) + (word >> 8 & even);
    }
    unsigned total = (unsigned)((sums & 0xFFFF) + (sums >> 16 & 0xFFFF) + (sums >> 32 & 0xFFFF) + (sums >> 48));
    for (int i = 148; i < 156; i++)
        total += ' ' - (unsigned char)block[i];
    return octal(block + 148, 8) == (long long)total;
}

static int
begins_with(Text text, const char *prefix)
{
    Py_ssize_t size = (Py_ssize_t)strlen(prefix);
    return text.size >= size && memcmp(text.at, prefix, (size_t)size) == 0;
}

static int
same(Text a, Text b)
{
    return a.size == b.size && memcmp(a.at, b.at, (size_t)a.size) == 0;
}

/* Looks for `path` in the records of a PAX header. False if they are in any way odd, or bear on the payload. */
static int
read_records(Text body, Text *path)
{
    Py_ssize_t pos = 0;
    while (pos < body.size && body.at[pos] != '\0') {
        Py_ssize_t length = 0, start = pos;
        while (pos < body.size && pos - start < MOST_DIGITS && body.at[pos] >= '0' && body.at[pos] <= '9')
            length = length * 10 + (body.at[pos++] - '0');
        if (pos == start || pos >= body.size || body.at[pos] != ' ' || length > body.size - start)
            return 0;
        pos++;
        Py_ssize_t stop = start + length;
        if (stop <= pos || body.at[stop - 1] != '\n')
            return 0;
        Text keyword = {body.at + pos, 0};
        const char *equals = memchr(keyword.at, '=', (size_t)(stop - 1 - pos));
        if (equals == NULL)
            return 0;
        keyword.size = equals - keyword.at;
        if (same(keyword, (Text){"path", 4})) {
            *path = (Text){equals + 1, body.at + stop - 1 - (equals + 1)};
            if (path->size == 0)
                return 0;
        }
        else if (same(keyword, (Text){"size", 4}) || begins_with(keyword, "GNU.sparse.") || begins_with(keyword, "SCHILY.realsize")
                 || begins_with(keyword, "SUN.holesdata"))
            return 0;
        pos = stop;
    }
    return 1;
}

/* The size that a sound header of that type states; -1 if it is none, or states more than `most`. */
static long long
size_of(const char *block, char type, long long most)
{
    if (block[156] != type || !checksum_matches(block))
        return -1;
    long long size = octal(block + 124, 12);
    return size > most ? -1 : size;
}

/* Reads the headers of the member at `pos`. */
static Outcome
read_member(const Part *part, Py_ssize_t pos, Member *member)
{
    Text path = {NULL, 0};
    if (part->there - pos < BLOCK)
        return CUT;
    const char *block = part->bytes + pos;
    if (block[156] == 'x') {
        long long size = size_of(block, 'x', part->most_extended);
        if (size < 0)
            return ODD;
        if (size > part->there - pos - BLOCK)
            return CUT;
        if (!read_records((Text){block + BLOCK, (Py_ssize_t)size}, &path))
            return ODD;
        pos += BLOCK + (Py_ssize_t)((size + BLOCK - 1) / BLOCK * BLOCK);
        if (part->there - pos < BLOCK)
            return CUT;
        block = part->bytes + pos;
    }
    long long size = size_of(block, '0', part->most);
    if (size < 0 || block[345] != '\0')
        return ODD;
    pos += BLOCK;
    if (size > part->fit - pos || (size + BLOCK - 1) / BLOCK * BLOCK > part->fit - pos)
        return CUT;
    if (path.at == NULL) {
        const char *nul = memchr(block, '\0', 100);
        path = (Text){block, nul == NULL ? 100 : nul - block};
    }
    *member = (Member){path, pos, (Py_ssize_t)size, pos + (Py_ssize_t)((size + BLOCK - 1) / BLOCK * BLOCK)};
    return TAKEN;
}

/* The first dot of the last component, if it ends a key that is not empty. False for what has rules of its own: names and
   suffixes that begin like reserved ones, empty suffixes, and those whose lower case is not that of ASCII. */
static int
split(Text name, Text *key, Text *suffix)
{
    if (begins_with(name, "__"))
        return 0;
    Py_ssize_t start = name.size;
    while (start > 0 && name.at[start - 1] != '/')
        start--;
    const char *dot = memchr(name.at + start, '.', (size_t)(name.size - start));
    if (dot == NULL || dot == name.at + start)
        return 0;
    *key = (Text){name.at, dot - name.at};
    *suffix = (Text){dot + 1, name.at + name.size - (dot + 1)};
    if (suffix->size == 0 || suffix->at[0] == '_')
        return 0;
    for (Py_ssize_t i = 0; i < suffix->size; i++)
        if ((unsigned char)suffix->at[i] >= 128)
            return 0;
    return 1;
}

/* The suffix in lower case: a new reference. */
static PyObject *
field_of(Run *run, Text suffix)
{
    char lower[LONGEST];
    for (int i = 0; i < run->known; i++)
        if (same(run->fields[i].suffix, suffix))
            return Py_NewRef(run->fields[i].name);
    if (suffix.size > LONGEST) {
        PyObject *whole = PyUnicode_FromStringAndSize(suffix.at, suffix.size);
        PyObject *name = whole == NULL ? NULL : PyObject_CallMethod(whole, "lower", NULL);
        Py_XDECREF(whole);
        return name;
    }
    for (Py_ssize_t i = 0; i < suffix.size; i++)
        lower[i] = suffix.at[i] >= 'A' && suffix.at[i] <= 'Z' ? (char)(suffix.at[i] + 32) : suffix.at[i];
    PyObject *name = PyUnicode_FromStringAndSize(lower, suffix.size);
    if (name != NULL && run->known < FIELDS)
        run->fields[run->known++] = (Field){suffix, Py_NewRef(name)};
    return name;
}

/* Whether a key is greater than all before it, whose bytes are kept. */
static int
rises(Run *run, Text key)
{
    Text last = run->greatest;
    int order = memcmp(key.at, last.at, (size_t)(key.size < last.size ? key.size : last.size));
    Py_ssize_t size = PyByteArray_Size(run->seen);
    if (order < 0 || (order == 0 && key.size <= last.size) || size >= LOGGED || memchr(key.at, '\0', (size_t)key.size) != NULL)
        return 0;
    if (PyByteArray_Resize(run->seen, size + key.size + 1) < 0)
        return -1;
    char *at = PyByteArray_AsString(run->seen) + size;
    memcpy(at, key.at, (size_t)key.size);
    at[key.size] = '\0';
    run->greatest = key;
    return 1;
}

/* Whether a key is new; it is remembered then, while there is room. Negative on failure. */
static int
is_new(Run *run, PyObject *key, Text bytes)
{
    if (run->rising)
        return rises(run, bytes);
    if (!run->remember) {
        int found = PySet_Contains(run->seen, key);
        return found < 0 ? -1 : !found;
    }
    Py_ssize_t before = PySet_Size(run->seen);
    return PySet_Add(run->seen, key) < 0 ? -1 : PySet_Size(run->seen) > before;
}

/* A sample with its key and origin, and no fields yet. */
static PyObject *
make_sample(Run *run, PyObject *key, Py_ssize_t pos)
{
    PyObject *sample = run->make(run->type, run->no_args, NULL);
    PyObject *ordinal = PyLong_FromLongLong(run->ordinal), *offset = PyLong_FromLongLong(run->base + pos);
    PyObject *origin = PyTuple_New(3);
    int failed = sample == NULL || ordinal == NULL || offset == NULL || origin == NULL;
    if (failed) {
        Py_XDECREF(ordinal);
        Py_XDECREF(offset);
    }
    else {
        PyTuple_SetItem(origin, 0, Py_NewRef(run->shard));
        PyTuple_SetItem(origin, 1, ordinal);
        PyTuple_SetItem(origin, 2, offset);
        failed = run->set_origin(run->origin, sample, origin) < 0 || PyDict_Update(sample, run->template) < 0
                 || PyDict_SetItem(sample, run->key_name, key) < 0;
    }
    if (!failed && run->untrack) {
        /* Neither can be part of a cycle: the collector has nothing to look for. A dict that is given a container is tracked
           again by itself. */
        PyObject_GC_UnTrack(origin);
        PyObject_GC_UnTrack(sample);
    }
    Py_XDECREF(origin);
    if (failed)
        Py_CLEAR(sample);
    return sample;
}

/* Gives the open sample out, unless it is marked as bad. */
static int
close_sample(Run *run)
{
    int bad = 0, failed = 0;
    if (run->sample == NULL)
        return 0;
    if (run->inherited) {
        PyObject *mark = PyDict_GetItemString(run->sample, "__bad__");
        bad = mark == NULL ? 0 : PyObject_IsTrue(mark);
    }
    if (bad < 0 || (!bad && PyList_Append(run->samples, run->sample) < 0))
        failed = -1;
    run->inherited = 0;
    Py_CLEAR(run->sample);
    return failed;
}

/* Begins the sample of a key, if that is new. */
static Outcome
open_sample(Run *run, Text key, Py_ssize_t pos)
{
    PyObject *name = PyUnicode_DecodeUTF8(key.at, key.size, "surrogateescape");
    int new = name == NULL ? -1 : is_new(run, name, key);
    PyObject *sample = new > 0 ? make_sample(run, name, pos) : NULL;
    Py_XDECREF(name);
    if (new == 0)
        return ODD;
    if (sample == NULL || close_sample(run) < 0) {
        Py_XDECREF(sample);
        return FAILED;
    }
    run->sample = sample;
    run->key = key;
    run->ordinal++;
    return TAKEN;
}

/* Takes the member at `pos` into its sample. */
static Outcome
take_member(Run *run, Py_ssize_t pos, const Member *member)
{
    Text key, suffix;
    if (!split(member->name, &key, &suffix))
        return ODD;
    PyObject *field = field_of(run, suffix);
    if (field == NULL)
        return FAILED;
    Outcome outcome = TAKEN;
    if (run->sample == NULL || !same(run->key, key))
        outcome = open_sample(run, key, pos);
    else {
        int there = PyDict_Contains(run->sample, field);
        if (there != 0)
            outcome = there < 0 ? FAILED : ODD;
    }
    if (outcome == TAKEN) {
        PyObject *data = PyBytes_FromStringAndSize(run->part.bytes + member->payload, member->size);
        if (data == NULL || PyDict_SetItem(run->sample, field, data) < 0)
            outcome = FAILED;
        Py_XDECREF(data);
    }
    Py_DECREF(field);
    return outcome;
}

/* Takes members from `pos` on. Returns how the run ended, and leaves there where. */
static Outcome
take_members(Run *run, Py_ssize_t *pos)
{
    for (;;) {
        Member member;
        Outcome outcome = read_member(&run->part, *pos, &member);
        if (outcome == TAKEN)
            outcome = take_member(run, *pos, &member);
        if (outcome != TAKEN)
            return outcome;
        *pos = member.following;
    }
}

/* Which keys have been there: bytes with a NUL behind each, or a set. The bytes of the last one are those of `owner`. */
static int
prepare_seen(Run *run, PyObject **owner)
{
    run->rising = PyByteArray_Check(run->seen);
    run->remember = !run->rising && PySet_Size(run->seen) < REMEMBERED;
    run->greatest = (Text){"", 0};
    Py_ssize_t size = run->rising ? PyByteArray_Size(run->seen) : 0, begin = size - 1;
    if (size == 0)
        return 0;
    const char *keys = PyByteArray_AsString(run->seen);
    while (begin > 0 && keys[begin - 1] != '\0')
        begin--;
    *owner = PyBytes_FromStringAndSize(keys + begin, size - 1 - begin);
    if (*owner == NULL)
        return -1;
    run->greatest = (Text){PyBytes_AsString(*owner), size - 1 - begin};
    return 0;
}

/* What of `Sample` is called directly, and whose sample is open. The key's bytes are those of `owner`. */
static int
prepare(Run *run, PyObject *type, PyObject *sample, PyObject **owner)
{
    run->type = (PyTypeObject *)type;
    run->make = (newfunc)PyType_GetSlot(run->type, Py_tp_new);
    run->no_args = PyTuple_New(0);
    run->key_name = PyUnicode_FromString("__key__");
    run->origin = PyObject_GetAttrString(type, "_origin");
    if (run->make == NULL || run->no_args == NULL || run->key_name == NULL || run->origin == NULL)
        return -1;
    run->set_origin = (descrsetfunc)PyType_GetSlot(Py_TYPE(run->origin), Py_tp_descr_set);
    run->untrack = Py_Version < 0x030E0000; /* from 3.14 on a dict is not tracked again by what it is given */
    if (sample == Py_None)
        return 0;
    run->sample = Py_NewRef(sample);
    run->inherited = 1;
    PyObject *key = PyObject_GetItem(sample, run->key_name);
    *owner = key == NULL ? NULL : PyUnicode_AsEncodedString(key, "utf-8", "surrogateescape");
    Py_XDECREF(key);
    char *at;
    if (*owner == NULL || PyBytes_AsStringAndSize(*owner, &at, &run->key.size) < 0)
        return -1;
    run->key.at = at;
    return 0;
}

PyDoc_STRVAR(take_run_doc,
"take_run(chunk, pos, fit, base, most, most_extended, type, template, shard, ordinal, sample, seen, samples)\n"
"--\n\n"
"Takes members of chunk[pos:fit]. Returns where it ended, whether that was at something odd, ordinal, and open sample.");

static PyObject *
take_run(PyObject *module, PyObject *args)
{
    Run run = {0};
    Py_buffer chunk;
    Py_ssize_t pos, begin;
    PyObject *type, *sample, *owner = NULL, *last = NULL, *result = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*nnLLLOOOLOOO", &chunk, &pos, &run.part.fit, &run.base, &run.part.most, &run.part.most_extended, &type,
                          &run.template, &run.shard, &run.ordinal, &sample, &run.seen, &run.samples))
        return NULL;
    run.part.bytes = chunk.buf;
    if (run.part.fit > chunk.len)
        run.part.fit = chunk.len;
    run.part.there = run.part.fit;
    begin = pos;
    if (prepare(&run, type, sample, &owner) == 0 && prepare_seen(&run, &last) == 0) {
        Outcome outcome = take_members(&run, &pos);
        if (outcome != FAILED)
            result = Py_BuildValue("nOLO", pos, outcome == ODD && pos > begin ? Py_True : Py_False, run.ordinal,
                                   run.sample == NULL ? Py_None : run.sample);
    }
    for (int i = 0; i < run.known; i++)
        Py_DECREF(run.fields[i].name);
    Py_XDECREF(run.no_args);
    Py_XDECREF(run.key_name);
    Py_XDECREF(run.origin);
    Py_XDECREF(run.sample);
    Py_XDECREF(owner);
    Py_XDECREF(last);
    PyBuffer_Release(&chunk);
    return result;
}

/* A file whose headers are looked at, through a window that is read where it is needed. */
typedef struct {
    int file;
    long long size;         /* of the file */
    long long begin;        /* offset of the window in it */
    Py_ssize_t next;        /* how much is read next */
    char *buffer;
    Part part;
} Window;

/* Reads on from that offset, and leaves the window empty where that fails. Negative only if a signal's handler raised. */
static int
move_window(Window *window, long long offset)
{
    long long left = window->size - offset;
    int near = offset < window->begin + window->part.there + WINDOW_LEAST;
    window->next = near && window->next * 2 <= WINDOW_MOST ? window->next * 2 : near ? window->next : WINDOW_LEAST;
    window->begin = offset;
    window->part.fit = (Py_ssize_t)left;
    window->part.there = 0;
    Py_ssize_t most = left < window->next ? (Py_ssize_t)left : window->next;
    for (;;) {
        ssize_t got;
        Py_BEGIN_ALLOW_THREADS
        got = pread(window->file, window->buffer, (size_t)most, (off_t)offset);
        Py_END_ALLOW_THREADS
        if (got < 0 && errno == EINTR) {
            if (PyErr_CheckSignals() < 0)
                return -1;
            continue;
        }
        window->part.there = got < 0 ? 0 : (Py_ssize_t)got;
        return 0;
    }
}

/* The samples of a file that were found, and the one that is open. */
typedef struct {
    PyObject *keys, *offsets;
    PyObject *key;          /* of the open sample; NULL for none */
    long long offset;
    char *bytes;            /* of its key */
    Py_ssize_t size, room;
} Spans;

static int
append_offset(Spans *spans, long long offset)
{
    PyObject *number = PyLong_FromLongLong(offset);
    int failed = number == NULL || PyList_Append(spans->offsets, number) < 0;
    Py_XDECREF(number);
    return failed ? -1 : 0;
}

/* Takes the open sample, which is complete, and begins that of another key. */
static int
next_span(Spans *spans, Text key, long long offset)
{
    if (spans->key != NULL && (PyList_Append(spans->keys, spans->key) < 0 || append_offset(spans, spans->offset) < 0))
        return -1;
    Py_XDECREF(spans->key);
    spans->offset = offset;
    spans->key = PyUnicode_DecodeUTF8(key.at, key.size, "surrogateescape");
    if (spans->key == NULL)
        return -1;
    if (key.size > spans->room) {
        char *bytes = PyMem_Realloc(spans->bytes, (size_t)key.size);
        if (bytes == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        spans->bytes = bytes;
        spans->room = key.size;
    }
    memcpy(spans->bytes, key.at, (size_t)key.size);
    spans->size = key.size;
    return 0;
}

/* Takes samples from `offset` on, until they are `enough` [bytes] or something odd comes. */
static int
take_spans(Window *window, Spans *spans, long long offset, long long enough)
{
    const long long stop = offset + enough;
    for (;;) {
        Member member;
        Text key, suffix;
        Outcome outcome = CUT;
        if (offset >= window->begin && offset <= window->begin + window->part.there)
            outcome = read_member(&window->part, (Py_ssize_t)(offset - window->begin), &member);
        if (outcome == CUT && offset < window->size && (window->begin != offset || window->part.there < WINDOW_LEAST)) {
            if (move_window(window, offset) < 0)
                return -1;
            outcome = read_member(&window->part, 0, &member);
        }
        if (outcome != TAKEN || !split(member.name, &key, &suffix))
            return 0;
        if (spans->key == NULL || !same(key, (Text){spans->bytes, spans->size})) {
            if (next_span(spans, key, offset) < 0)
                return -1;
            if (offset >= stop)
                return 0;
        }
        offset = window->begin + member.following;
    }
}

PyDoc_STRVAR(find_spans_doc,
"find_spans(file, offset, size, enough, most, most_extended)\n"
"--\n\n"
"Samples of a file from that offset on. Returns their keys, and where each begins and the last one ends.");

static PyObject *
find_spans(PyObject *module, PyObject *args)
{
    Window window = {0};
    Spans spans = {0};
    long long offset, enough;
    PyObject *result = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "iLLLLL", &window.file, &offset, &window.size, &enough, &window.part.most,
                          &window.part.most_extended))
        return NULL;
    window.buffer = PyMem_Malloc(WINDOW_MOST);
    window.part.bytes = window.buffer;
    window.begin = -WINDOW_MOST;
    spans.keys = PyList_New(0);
    spans.offsets = PyList_New(0);
    spans.offset = offset;
    if (window.buffer == NULL)
        PyErr_NoMemory();
    else if (spans.keys != NULL && spans.offsets != NULL && take_spans(&window, &spans, offset, enough) == 0
             && append_offset(&spans, spans.offset) == 0)
        result = PyTuple_Pack(2, spans.keys, spans.offsets);
    PyMem_Free(window.buffer);
    PyMem_Free(spans.bytes);
    Py_XDECREF(spans.key);
    Py_XDECREF(spans.keys);
    Py_XDECREF(spans.offsets);
    return result;
}

/* Bytes that come one after another. */
typedef struct {
    char *at;
    size_t size, room;
} Column;

static int
append(Column *column, const void *bytes, size_t size)
{
    if (size > column->room - column->size) {
        size_t room = 2 * column->room + size + 1024;
        char *at = PyMem_Realloc(column->at, room);
        if (at == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        column->at = at;
        column->room = room;
    }
    memcpy(column->at + column->size, bytes, size);
    column->size += size;
    return 0;
}

static PyObject *
bytes_of(const Column *column)
{
    return PyBytes_FromStringAndSize(column->at, (Py_ssize_t)column->size);
}

/* The rows of a table of samples, and what it is made of. */
typedef struct {
    Part part;              /* the chunk */
    Text pax;               /* what PAX headers have from their typeflag on; others are odd */
    PyObject *numbers, *schemas;    /* fields -> number, and the list of these */
    Column keys, hashes, offsets, schema;
    Text key;               /* of the open sample */
    Py_ssize_t begin;       /* of that */
    char fields[FIELDS * LONGEST], last[FIELDS * LONGEST];  /* its suffixes, each with a NUL behind it; those of the row before */
    size_t size, last_size;
    long long last_number;
} Table;

/* Whether letters, digits and some signs are all that a part of a name consists of. */
static int
all_of(const char *at, const char *end, int capitals, const char *signs)
{
    if (at == end)
        return 0;
    for (; at < end; at++)
        if (!((*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9') || (capitals && *at >= 'A' && *at <= 'Z')
              || (*at != '\0' && strchr(signs, *at) != NULL)))
            return 0;
    return 1;
}

/* As `split`, for names that nothing is to be said about: those of `is_plain` in tools/verify/names.py, no others. */
static int
split_sound(Text name, Text *key, Text *suffix)
{
    const char *end = name.at + name.size, *part = name.at;
    if (name.size < 3 || name.size > 100 || !split(name, key, suffix) || suffix->size >= LONGEST)
        return 0;
    const char *dot = suffix->at - 1;
    for (const char *slash; (slash = memchr(part, '/', (size_t)(dot - part))) != NULL; part = slash + 1)
        if (!all_of(part, slash, 1, "_-+=@,"))
            return 0;
    if (!all_of(part, dot, 1, "_-+=@,"))
        return 0;
    for (part = suffix->at; (dot = memchr(part, '.', (size_t)(end - part))) != NULL; part = dot + 1)
        if (!all_of(part, dot, 0, "_-"))
            return 0;
    return all_of(part, end, 0, "_-");
}

/* Adds a suffix to the open sample. False if that has it already, or there is no room. */
static int
add_suffix(Table *table, Text suffix)
{
    for (size_t at = 0; at < table->size; at += strlen(table->fields + at) + 1)
        if (same(suffix, (Text){table->fields + at, (Py_ssize_t)strlen(table->fields + at)}))
            return 0;
    if (table->size + (size_t)suffix.size + 1 > sizeof table->fields)
        return 0;
    memcpy(table->fields + table->size, suffix.at, (size_t)suffix.size);
    table->size += (size_t)suffix.size;
    table->fields[table->size++] = '\0';
    return 1;
}

/* The number of the open sample's fields; -1 on failure. */
static long long
number_of_fields(Table *table)
{
    long long number = -1;
    PyObject *fields = PyList_New(0), *schema = NULL, *found;
    for (size_t at = 0; fields != NULL && at < table->size; at += strlen(table->fields + at) + 1) {
        PyObject *field = PyUnicode_FromString(table->fields + at);
        if (field == NULL || PyList_Append(fields, field) < 0)
            Py_CLEAR(fields);
        Py_XDECREF(field);
    }
    if (fields != NULL && (schema = PyList_AsTuple(fields)) != NULL) {
        found = PyDict_GetItemWithError(table->numbers, schema);
        if (found != NULL)
            number = PyLong_AsLongLong(found);
        else if (!PyErr_Occurred() && (found = PyLong_FromSsize_t(PyList_Size(table->schemas))) != NULL) {
            if (PyDict_SetItem(table->numbers, schema, found) == 0 && PyList_Append(table->schemas, schema) == 0)
                number = PyLong_AsLongLong(found);
            Py_DECREF(found);
        }
    }
    Py_XDECREF(schema);
    Py_XDECREF(fields);
    return number;
}

/* Makes a row of the open sample. */
static int
add_row(Table *table, long long base)
{
    if (table->size != table->last_size || memcmp(table->fields, table->last, table->size) != 0) {
        if ((table->last_number = number_of_fields(table)) < 0)
            return -1;
        memcpy(table->last, table->fields, table->size);
        table->last_size = table->size;
    }
    PyObject *key = PyUnicode_FromStringAndSize(table->key.at, table->key.size);
    long long hash = key == NULL ? -1 : PyObject_Hash(key), offset = base + table->begin;
    Py_XDECREF(key);
    if (key == NULL || append(&table->keys, table->key.at, (size_t)table->key.size) < 0 || append(&table->keys, "", 1) < 0)
        return -1;
    if (append(&table->hashes, &hash, sizeof hash) < 0 || append(&table->offsets, &offset, sizeof offset) < 0)
        return -1;
    return append(&table->schema, &table->last_number, sizeof table->last_number);
}

/* Takes samples from `pos` on, whole ones only: where it stopped is left there. */
static Outcome
take_rows(Table *table, Py_ssize_t *pos, long long base, Text pending)
{
    const Py_ssize_t start = *pos;
    Py_ssize_t at = start;
    for (;;) {
        Member member;
        Text key, suffix;
        const char *block = table->part.bytes + at;
        if (table->part.there - at >= BLOCK && block[156] == 'x' && !same((Text){block + 156, BLOCK - 156}, table->pax))
            return ODD;
        Outcome outcome = read_member(&table->part, at, &member);
        if (outcome != TAKEN)
            return outcome;
        if (member.size == 0 || member.name.at != table->part.bytes + member.payload - BLOCK || !split_sound(member.name, &key, &suffix))
            return ODD;
        if (at == start ? same(key, pending) : !same(key, table->key)) {
            if (at == start)
                return ODD;
            if (add_row(table, base) < 0)
                return FAILED;
            table->size = 0;
            *pos = at;
        }
        if (table->size == 0) {
            table->key = key;
            table->begin = at;
        }
        if (!add_suffix(table, suffix))
            return ODD;
        at = member.following;
    }
}

PyDoc_STRVAR(take_table_doc,
"take_table(chunk, pos, fit, base, most, most_extended, pax, pending, numbers, schemas)\n"
"--\n\n"
"Takes samples of chunk[pos:fit]. Returns where it ended, whether that was at something odd, and columns of what it took.");

static PyObject *
take_table(PyObject *module, PyObject *args)
{
    Table table = {0};
    Py_buffer chunk;
    Py_ssize_t pos;
    long long base;
    Text pending;
    PyObject *result = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*nnLLLy#z#O!O!", &chunk, &pos, &table.part.fit, &base, &table.part.most, &table.part.most_extended,
                          &table.pax.at, &table.pax.size, &pending.at, &pending.size, &PyDict_Type, &table.numbers, &PyList_Type,
                          &table.schemas))
        return NULL;
    table.part.bytes = chunk.buf;
    if (table.part.fit > chunk.len)
        table.part.fit = chunk.len;
    table.part.there = table.part.fit;
    Outcome outcome = take_rows(&table, &pos, base, pending);
    if (outcome != FAILED)
        result = Py_BuildValue("nONNNN", pos, outcome == ODD ? Py_True : Py_False, bytes_of(&table.keys), bytes_of(&table.hashes),
                               bytes_of(&table.offsets), bytes_of(&table.schema));
    PyMem_Free(table.keys.at);
    PyMem_Free(table.hashes.at);
    PyMem_Free(table.offsets.at);
    PyMem_Free(table.schema.at);
    PyBuffer_Release(&chunk);
    return result;
}

static PyMethodDef methods[] = {
    {"take_table", take_table, METH_VARARGS, take_table_doc},
    {"find_spans", find_spans, METH_VARARGS, find_spans_doc},
    {"take_run", take_run, METH_VARARGS, take_run_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_scan",
    .m_doc = "The accelerator: runs of plain members straight to samples.",
    .m_size = 0,
    .m_methods = methods,
};

PyMODINIT_FUNC
PyInit__scan(void)
{
    return PyModuleDef_Init(&definition);
}
