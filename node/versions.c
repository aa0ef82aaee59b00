/* versions.c: the marks, in one small JSON file:
 *
 *   {"coordinator": "<key, hex>",
 *    "training": {"round": 7, "sha256": "…", "since_ms": …, "before": {"round": 6, "sha256": "…"}},
 *    "serving": {…}}
 */
#include "node/versions.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/json.h"

#define FILE_BYTES_MAX 4096

/** marks: of one use. */
struct marks {
    bool used, used_before;
    struct version_mark newest, before;
    int64_t since_ms; /* Of the newest, Unix. */
};

struct node_versions {
    pthread_mutex_t lock;
    char *path;
    char key_hex[65];
    struct marks marks[MODEL_USES]; /* Under lock, as in the file. */
};

/* --------------------------------------------------------------------------------- file */

static owm_status read_mark(const json_t *object, const char *where, struct version_mark *mark,
                            struct owm_error *error)
{
    const struct owm_json_range rounds = {0, UINT32_MAX};
    const char *hex = NULL;
    int64_t round = 0;
    owm_status status = owm_json_int(object, where, "round", rounds, &round, error);
    if (status == OWM_OK) status = owm_json_string(object, where, "sha256", &hex, error);
    if (status == OWM_OK && owm_hex_decode(hex, mark->sha256, 32) != OWM_OK)
        status = owm_fail(error, OWM_E_PROTO, "%s.sha256 is no hash", where);
    mark->round = (uint32_t)round;
    return status;
}

static owm_status read_marks(const json_t *root, const char *use, struct marks *marks,
                             struct owm_error *error)
{
    const struct owm_json_range times = {0, INT64_MAX};
    const json_t *object = NULL, *before = NULL;
    owm_status status = owm_json_object_or(root, "", use, &object, error);
    if (status != OWM_OK || object == NULL) return status;
    status = read_mark(object, use, &marks->newest, error);
    if (status == OWM_OK)
        status = owm_json_int(object, use, "since_ms", times, &marks->since_ms, error);
    if (status == OWM_OK) status = owm_json_object_or(object, use, "before", &before, error);
    if (status == OWM_OK && before != NULL)
        status = read_mark(before, "before", &marks->before, error);
    marks->used = true;
    marks->used_before = before != NULL;
    return status;
}

static owm_status parse(node_versions *v, const char *text, size_t bytes, struct owm_error *error)
{
    json_t *root = NULL;
    const char *key = NULL;
    owm_status status = owm_json_parse(text, bytes, FILE_BYTES_MAX, &root, error);
    if (status != OWM_OK) return status;
    status = owm_json_string(root, "", "coordinator", &key, error);
    if (status == OWM_OK && strcmp(key, v->key_hex) != 0)
        status = owm_fail(error, OWM_E_PROTO, "it belongs to another coordinator");
    for (int use = 0; use < MODEL_USES && status == OWM_OK; use++)
        status = read_marks(root, model_use_name((enum model_use)use), &v->marks[use], error);
    json_decref(root);
    return status;
}

static owm_status load(node_versions *v, struct owm_error *error)
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    struct owm_error why = {""};
    owm_status status = owm_fs_read(v->path, FILE_BYTES_MAX, &data, &bytes, error);
    if (status == OWM_E_NOTFOUND) return OWM_OK;
    if (status != OWM_OK) return status;
    status = parse(v, (const char *)data, bytes, &why);
    free(data);
    if (status == OWM_OK || status == OWM_E_NOMEM) return status;
    return owm_fail(error, OWM_E_PROTO,
                    "%.200s is damaged (%.100s). It says which model versions were used, so that "
                    "nobody can go back behind them. Restore it, or delete it to begin anew",
                    v->path, why.text);
}

static json_t *mark_json(const struct version_mark *mark)
{
    char hex[65];
    owm_hex_encode(mark->sha256, 32, hex);
    return json_pack("{s:I,s:s}", "round", (json_int_t)mark->round, "sha256", hex);
}

static owm_status save(const node_versions *v, const struct marks marks[MODEL_USES],
                       struct owm_error *error)
{
    json_t *root = json_pack("{s:s}", "coordinator", v->key_hex);
    for (int use = 0; use < MODEL_USES; use++) {
        if (!marks[use].used) continue;
        json_t *object = mark_json(&marks[use].newest);
        json_object_set_new(object, "since_ms", json_integer(marks[use].since_ms));
        if (marks[use].used_before)
            json_object_set_new(object, "before", mark_json(&marks[use].before));
        json_object_set_new(root, model_use_name((enum model_use)use), object);
    }
    char *text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    if (text == NULL) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    owm_status status = owm_fs_write_atomic(v->path, text, strlen(text), 0600, error);
    free(text);
    return status;
}

/* ------------------------------------------------------------------------------- verdict */

static bool same(const struct version_mark *a, const struct version_mark *b)
{
    return a->round == b->round && memcmp(a->sha256, b->sha256, 32) == 0;
}

static bool forks(const struct version_mark *a, const struct version_mark *b)
{
    return a->round == b->round && memcmp(a->sha256, b->sha256, 32) != 0;
}

/** judge: lock is held. */
static void judge(const node_versions *v, const struct versions_use *asked, struct refusal *refusal)
{
    const struct version_mark *mark = &asked->mark;
    *refusal = (struct refusal){.code = REFUSAL_NONE};
    for (int use = 0; use < MODEL_USES; use++) {
        const struct marks *m = &v->marks[use];
        if ((m->used && forks(&m->newest, mark)) || (m->used_before && forks(&m->before, mark))) {
            refusal_set(refusal, REFUSAL_FORK,
                        "this node has used another version of round %" PRIu32
                        " for %s; a network has "
                        "one. If it was truly restored, stop owm-node and delete %.150s",
                        mark->round, model_use_name((enum model_use)use), v->path);
            return;
        }
    }
    const struct marks *m = &v->marks[asked->use];
    if (!m->used || mark->round >= m->newest.round) return;
    int64_t age_ms = asked->now_ms - m->since_ms;
    if (m->used_before && same(&m->before, mark) && age_ms >= 0 && age_ms < VERSIONS_GRACE_MS)
        return;
    refusal_set(
        refusal, REFUSAL_DOWNGRADE,
        "the version of round %" PRIu32 " is older than that of round %" PRIu32
        ", which this node has used for %s. If the network was truly restored from a backup, "
        "stop owm-node and delete %.150s",
        mark->round, m->newest.round, model_use_name(asked->use), v->path);
}

void node_versions_judge(node_versions *v, enum model_use use, const struct version_mark *mark,
                         int64_t now_ms, struct refusal *refusal)
{
    const struct versions_use asked = {.use = use, .mark = *mark, .now_ms = now_ms};
    pthread_mutex_lock(&v->lock);
    judge(v, &asked, refusal);
    pthread_mutex_unlock(&v->lock);
}

owm_status node_versions_use(node_versions *v, const struct versions_use *asked,
                             struct refusal *refusal, struct owm_error *error)
{
    owm_status status = OWM_OK;
    pthread_mutex_lock(&v->lock);
    judge(v, asked, refusal);
    const struct marks *old = &v->marks[asked->use];
    bool newer = !old->used || asked->mark.round > old->newest.round;
    if (refusal->code == REFUSAL_NONE && newer) {
        struct marks marks[MODEL_USES];
        memcpy(marks, v->marks, sizeof marks);
        marks[asked->use] = (struct marks){.used = true,
                                           .used_before = old->used,
                                           .newest = asked->mark,
                                           .before = old->newest,
                                           .since_ms = asked->now_ms};
        status = save(v, marks, error);
        if (status == OWM_OK) memcpy(v->marks, marks, sizeof marks);
    }
    pthread_mutex_unlock(&v->lock);
    return status;
}

bool node_versions_newest(node_versions *v, enum model_use use, struct version_mark *mark,
                          int64_t *since_ms)
{
    pthread_mutex_lock(&v->lock);
    const struct marks *m = &v->marks[use];
    *mark = m->newest;
    *since_ms = m->since_ms;
    bool used = m->used;
    pthread_mutex_unlock(&v->lock);
    return used;
}

owm_status node_versions_open(const char *folder, const uint8_t key[static 32],
                              node_versions **versions, struct owm_error *error)
{
    node_versions *v = calloc(1, sizeof *v);
    if (v == NULL) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    pthread_mutex_init(&v->lock, NULL);
    owm_hex_encode(key, 32, v->key_hex);
    owm_status status = OWM_E_NOMEM;
    if (asprintf(&v->path, "%s/model-versions-%.16s.json", folder, v->key_hex) < 0)
        v->path = NULL;
    else {
        owm_fs_sweep(v->path);
        status = load(v, error);
    }
    if (status == OWM_OK)
        *versions = v;
    else
        node_versions_close(v);
    return status;
}

void node_versions_close(node_versions *v)
{
    if (v == NULL) return;
    pthread_mutex_destroy(&v->lock);
    free(v->path);
    free(v);
}
