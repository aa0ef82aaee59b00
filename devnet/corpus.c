/* corpus.c: list, drop duplicates, hold out, deal. */
#include "corpus.h"

#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/sha256.h"

#define TEXT_BYTES_MIN 100000
#define HELDOUT_EVERY  10

struct entry {
    const char *path;
    uint8_t *text;
    size_t bytes;
    uint8_t hash[32];
    bool duplicate;
};

struct corpus {
    glob_t paths;
    struct entry *entries;
    size_t count;
};

static int by_hash(const void *a, const void *b)
{
    const struct entry *x = *(const struct entry *const *)a, *y = *(const struct entry *const *)b;
    int order = memcmp(x->hash, y->hash, sizeof x->hash);
    return order ? order : strcmp(x->path, y->path);
}

static owm_status read_entries(struct corpus *corpus)
{
    corpus->entries = calloc(corpus->paths.gl_pathc + 1, sizeof *corpus->entries);
    if (!corpus->entries) return OWM_E_NOMEM;
    for (size_t i = 0; i < corpus->paths.gl_pathc && corpus->count < CORPUS_FILES_MAX; i++) {
        struct entry *entry = &corpus->entries[corpus->count];
        entry->path = corpus->paths.gl_pathv[i];
        if (owm_fs_read(entry->path, 16 << 20, &entry->text, &entry->bytes, NULL)) continue;
        if (entry->bytes > CORPUS_FILE_BYTES_MAX) entry->bytes = CORPUS_FILE_BYTES_MAX;
        owm_sha256(entry->text, entry->bytes, entry->hash);
        corpus->count++;
    }
    return OWM_OK;
}

static owm_status mark_duplicates(struct corpus *corpus, unsigned *duplicates)
{
    struct entry **sorted = calloc(corpus->count + 1, sizeof *sorted);
    if (!sorted) return OWM_E_NOMEM;
    for (size_t i = 0; i < corpus->count; i++) sorted[i] = &corpus->entries[i];
    qsort(sorted, corpus->count, sizeof *sorted, by_hash);
    for (size_t i = 1; i < corpus->count; i++) {
        if (memcmp(sorted[i]->hash, sorted[i - 1]->hash, 32)) continue;
        sorted[i]->duplicate = true;
        ++*duplicates;
    }
    free(sorted);
    return OWM_OK;
}

/* Write those entries of [begin, end) of the kept ones that are held out, or those that are not. */
static owm_status write_part(const struct corpus *corpus, const char *path, size_t begin,
                             size_t end, bool heldout, uint64_t *bytes, struct owm_error *error)
{
    uint8_t *text = NULL;
    size_t used = 0, room = 0, kept = 0;
    owm_status status = OWM_OK;
    for (size_t i = 0; i < corpus->count; i++) {
        const struct entry *entry = &corpus->entries[i];
        if (entry->duplicate) continue;
        size_t number = kept++;
        if ((number % HELDOUT_EVERY == 0) != heldout || number < begin || number >= end) continue;
        size_t take = entry->bytes;
        if (heldout && take > CORPUS_HELDOUT_BYTES_MAX / 8) take = CORPUS_HELDOUT_BYTES_MAX / 8;
        if (heldout && used + take > CORPUS_HELDOUT_BYTES_MAX) break;
        if (used + take + 1 > room) {
            room = (used + take + 1) * 2;
            uint8_t *grown = realloc(text, room);
            if (!grown) {
                status = OWM_E_NOMEM;
                goto out;
            }
            text = grown;
        }
        memcpy(text + used, entry->text, take);
        used += take;
        text[used++] = '\n';
    }
    *bytes = used;
    status = owm_fs_write_atomic(path, text ? text : (uint8_t *)"", used, 0600, error);
out:
    free(text);
    return status;
}

static owm_status write_all(const struct corpus *corpus, const char *folder, unsigned shards,
                            struct corpus_summary *summary, struct owm_error *error)
{
    char path[1024];
    size_t kept = summary->files;
    uint64_t bytes;
    for (unsigned s = 0; s < shards; s++) {
        snprintf(path, sizeof path, "%s/node-%u.txt", folder, s + 1);
        owm_status status = write_part(corpus, path, kept * s / shards, kept * (s + 1) / shards,
                                       false, &bytes, error);
        if (status) return status;
        summary->bytes += bytes;
    }
    snprintf(path, sizeof path, "%s/heldout.txt", folder);
    return write_part(corpus, path, 0, kept, true, &summary->heldout_bytes, error);
}

owm_status corpus_write(const char *folder, unsigned shards, struct corpus_summary *summary,
                        struct owm_error *error)
{
    struct corpus corpus = {0};
    *summary = (struct corpus_summary){0};
    glob("/usr/share/common-licenses/*", 0, NULL, &corpus.paths);
    glob("/usr/share/doc/*/copyright", GLOB_APPEND, NULL, &corpus.paths);

    owm_status status = read_entries(&corpus);
    if (status == OWM_OK) status = mark_duplicates(&corpus, &summary->duplicates);
    if (status) goto out;
    summary->files = (unsigned)corpus.count - summary->duplicates;
    status = owm_fs_mkdirs(folder, 0700, error);
    if (status) goto out;
    status = write_all(&corpus, folder, shards, summary, error);
    if (status == OWM_OK && summary->bytes < TEXT_BYTES_MIN)
        status = owm_fail(error, OWM_E_NOTFOUND,
                          "only %llu bytes of text in /usr/share/doc and "
                          "/usr/share/common-licenses; a node needs something to learn from",
                          (unsigned long long)summary->bytes);
out:
    for (size_t i = 0; i < corpus.count; i++) free(corpus.entries[i].text);
    free(corpus.entries);
    globfree(&corpus.paths);
    return status;
}
