/* slash_db.c: see slash_db.h. */
#include "slash_db.h"

#include "base/clock.h"
#include "base/pg/migrate.h"
#include "controlplane/db/schema.h"
#include "controlplane/slashing/rows.h"
#include "test.h"

struct owm_pg *slash_db_open(struct pg_fixture *server, const char *name, char *url)
{
    struct owm_pg *pg = NULL;
    struct owm_error error = {""};
    assert_true(pg_fixture_database(server, name, url));
    assert_ok(owm_pg_open(url, &pg, &error));
    if (owm_migrate(pg, owm_migrations, owm_migrations_count, NULL, &error) != OWM_OK)
        fail_msg("%s", error.text);
    return pg;
}

void sql(struct owm_pg *pg, const char *statement)
{
    struct owm_error error = {""};
    if (owm_pg_exec(pg, statement, &error) != OWM_OK) fail_msg("%s: %s", statement, error.text);
}

const char *text_of(struct owm_pg *pg, const char *query)
{
    static char text[512];
    struct owm_error error = {""};
    struct owm_pg_rows *rows = NULL;
    if (owm_pg_query(pg, query, NULL, &rows, &error) != OWM_OK)
        fail_msg("%s: %s", query, error.text);
    snprintf(text, sizeof(text), "%s", owm_pg_rows_count(rows) ? owm_pg_get_text(rows, 0, 0) : "");
    owm_pg_rows_free(rows);
    return text;
}

int64_t number(struct owm_pg *pg, const char *query)
{
    return strtoll(text_of(pg, query), NULL, 10);
}

void node_id_of(int n, uint8_t id[16])
{
    memset(id, 0, 16);
    id[15] = (uint8_t)n;
    id[0] = 0xa0;
}

static void task_id_of(int n, int s, uint8_t id[16])
{
    memset(id, 0, 16);
    id[0] = 0x70;
    id[14] = (uint8_t)s;
    id[15] = (uint8_t)n;
}

static void run(struct owm_pg *pg, const char *statement, const struct owm_pg_args *args)
{
    struct owm_error error = {""};
    if (owm_pg_query(pg, statement, args, NULL, &error) != OWM_OK) fail_msg("%s", error.text);
}

void add_node(struct owm_pg *pg, int n, const char *tier, bool ln)
{
    struct owm_pg_args args;
    uint8_t id[16], key[32] = {0}, ln_key[33] = {2};
    char hex[65];
    node_id_of(n, id);
    key[31] = ln_key[32] = (uint8_t)n;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, id);
    owm_pg_hex(&args, hex, key, 32);
    owm_pg_text(&args, tier);
    owm_pg_bytes(&args, ln ? ln_key : NULL, 33);
    run(pg,
        "INSERT INTO nodes (node_id, public_key, ln_node_uri, tier, status, ln_key)"
        " VALUES ($1, $2, '', $3, 'active', $4)",
        &args);
}

void add_signal(struct owm_pg *pg, int n, int s)
{
    struct owm_pg_args args;
    uint8_t id[16], task[16];
    node_id_of(n, id);
    task_id_of(n, s, task);
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, id);
    owm_pg_uuid(&args, task);
    owm_pg_bytes(&args, task, 16);
    run(pg,
        "INSERT INTO misbehavior_signals (node_id, signal_type, evidence_hash, task_id,"
        " detected_at) VALUES ($1, 'fake_task_proof', encode(sha256($3), 'hex'), $2,"
        " date_trunc('milliseconds', now()))",
        &args);
}

void add_payment(struct owm_pg *pg, int n, int s, const char *state)
{
    struct owm_pg_args args;
    uint8_t id[16], task[16];
    node_id_of(n, id);
    task_id_of(n, s, task);
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, id);
    owm_pg_uuid(&args, task);
    owm_pg_bytes(&args, task, 16);
    owm_pg_text(&args, state);
    run(pg,
        "INSERT INTO payments (payment_id, source_id, purpose, node_id, amount_msat, payment_hash,"
        " created_at, state) VALUES (gen_random_uuid(), $2, 'inference', $1, 1000, sha256($3),"
        " now(), $4)",
        &args);
}

const char *payment_of(struct owm_pg *pg, int n, int s)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    static char text[32];
    uint8_t task[16];
    task_id_of(n, s, task);
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, task);
    assert_ok(
        owm_pg_query(pg, "SELECT state FROM payments WHERE source_id = $1", &args, &rows, NULL));
    snprintf(text, sizeof(text), "%s", owm_pg_get_text(rows, 0, 0));
    owm_pg_rows_free(rows);
    return text;
}

bool case_of(struct owm_pg *pg, int n, uint8_t case_id[16])
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    uint8_t id[16];
    node_id_of(n, id);
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, id);
    assert_ok(owm_pg_query(pg,
                           "SELECT case_id FROM slash_cases WHERE node_id = $1"
                           " ORDER BY opened_at DESC LIMIT 1",
                           &args, &rows, NULL));
    bool found = owm_pg_rows_count(rows) > 0;
    if (found) owm_pg_get_uuid(rows, 0, 0, case_id);
    owm_pg_rows_free(rows);
    return found;
}

const char *state_of(struct owm_pg *pg, int n)
{
    uint8_t case_id[16];
    static struct owm_case c;
    if (!case_of(pg, n, case_id)) return "";
    assert_ok(owm_case_load(pg, case_id, false, &c, NULL));
    return owm_case_state_name(c.state);
}

enum owm_act_code vote(struct owm_pg *pg, int n, const owm_identity *who, enum owm_act act)
{
    static struct owm_case c;
    struct owm_case_policy policy = test_policy();
    uint8_t case_id[16];
    enum owm_act_code code = OWM_ACT_CODE_TAKEN;
    const char *state = NULL;
    assert_true(case_of(pg, n, case_id));
    assert_ok(owm_case_load(pg, case_id, false, &c, NULL));
    const struct owm_case_act *made = sign_act(&c, who, act, owm_clock_wall_ms());
    assert_ok(owm_case_say(pg, &policy, case_id, made, owm_clock_wall_ms(), &code, &state, NULL));
    return code;
}
