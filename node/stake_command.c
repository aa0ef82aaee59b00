/* stake_command.c: gathers the facts, and does what stands behind `owm-node stake`. */
#include "node/stake_command.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "node/beside.h"
#include "node/lightning.h"
#include "node/stake.h"
#include "node/stake_watch.h"

#define KEY_SHOWN "stake_statement_shown"

/* ------------------------------------------------------------------------------- facts */

enum owm_tier stake_tier(const struct owm_node_config *config, const char *named)
{
    const struct owm_detect_places places = {.bandwidth_mbps = config->bandwidth_mbps};
    struct owm_machine machine;
    struct owm_tier_result tier;
    if (named) return owm_tier_parse(named);
    owm_detect(&places, &machine);
    owm_tier_decide(&machine, config->tier_override, &tier);
    return tier.tier;
}

static void ask_coordinator(struct node_contact *contact, struct stake_facts *f)
{
    PB(HelloResponse) *hello = NULL;
    struct owm_error error = {""};
    owm_status status = node_contact_hello(contact, &hello, &error);
    if (status == OWM_OK && hello->stake_statement[0])
        status =
            owm_statement_names(hello->stake_statement, hello->network, contact->coordinator_key,
                                owm_identity_public_key(contact->identity), &error);
    f->answered = status == OWM_OK;
    if (status != OWM_OK) {
        memcpy(f->coordinator_error, error.text, sizeof error.text);
        link_free(hello);
        return;
    }
    snprintf(f->network, sizeof f->network, "%s", hello->network);
    snprintf(f->policy, sizeof f->policy, "%s", hello->stake_policy);
    snprintf(f->statement, sizeof f->statement, "%s", hello->stake_statement);
    node_stake_hello(&f->stake, hello, f->tier);
    f->minimum_sats = f->stake.required_sats;
    f->bound = hello->stake_bound;
    link_free(hello);
}

static void ask_lightning(struct stake_facts *f)
{
    uint8_t named[OWM_LIGHTNING_KEY_BYTES];
    const char *host;
    struct owm_error error = {""};
    owm_lightning *lightning = NULL;
    struct owm_lightning_info info;
    f->uri_ok = owm_lightning_uri_parse(f->config->node_uri, named, &host) == OWM_OK;
    if (!f->uri_ok) return;
    owm_status status = node_lightning_open(f->config, f->network, &lightning, &error);
    if (status == OWM_E_NOTFOUND) return; /* By hand. */
    if (status == OWM_OK) status = owm_lightning_get_info(lightning, &info, &error);
    if (status == OWM_OK && memcmp(info.key, named, sizeof named) != 0)
        status = owm_fail(&error, OWM_E_CONFIG,
                          "lightning.node_uri names another node than lightning.backend reaches");
    f->can_sign = status == OWM_OK;
    if (status == OWM_OK && f->stake.treasury_uri[0])
        status = node_stake_look(lightning, &f->stake, &error);
    if (status != OWM_OK) memcpy(f->lightning_error, error.text, sizeof error.text);
    owm_lightning_close(lightning);
}

static void take_text(const json_t *object, const char *key, char *out, size_t bytes)
{
    const char *text = json_string_value(json_object_get(object, key));
    snprintf(out, bytes, "%s", text ? text : "");
}

static int64_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void ask_daemon(struct stake_facts *f)
{
    json_t *health = NULL;
    bool healthy = false;
    struct owm_error error;
    f->running = node_beside_health(f->config, &health, &healthy, &error) == OWM_OK;
    if (!f->running) return;
    const json_t *stake = json_object_get(health, "stake");
    const char *reason = json_string_value(json_array_get(json_object_get(health, "reasons"), 0));
    take_text(health, "link", f->link, sizeof f->link);
    /* The status of an earlier registration says nothing while there is none. */
    if (strcmp(f->link, "registered") == 0)
        take_text(health, "node_status", f->status, sizeof f->status);
    snprintf(f->reason, sizeof f->reason, "%s", reason ? reason : "");
    take_text(stake, "note", f->stake.note, sizeof f->stake.note);
    f->stake.sats = number(stake, "sats");
    f->stake.required_sats = number(stake, "required_sats");
    f->stake.bonus_permille = (unsigned)number(stake, "bonus_permille");
    f->stake.degraded_until_ms = number(stake, "degraded_until_ms");
    json_decref(health);
}

/* What was signed by hand before, while it is valid. */
static void look_for_signature(struct stake_facts *f)
{
    owm_task_log *log = NULL;
    struct owm_error error;
    struct node_stake_proof proof;
    f->signed_by_hand = node_beside_log(f->config, &log, &error) == OWM_OK
                        && node_stake_kept(log, owm_clock_wall_ms() / 1000, &proof) == OWM_OK;
    owm_task_log_close(log);
}

void stake_facts_gather(const struct owm_node_config *config, struct node_contact *contact,
                        struct stake_facts *f)
{
    memset(f, 0, sizeof *f);
    f->config = config;
    f->tier = owm_tier_code(stake_tier(config, NULL));
    ask_coordinator(contact, f);
    ask_lightning(f);
    ask_daemon(f);
    look_for_signature(f);
}

/* ---------------------------------------------------------------------------- commands */

static owm_status show(const struct owm_node_config *config, struct node_contact *contact,
                       const struct stake_options *options)
{
    struct stake_facts facts;
    struct stake_guide guide;
    stake_facts_gather(config, contact, &facts);
    stake_guide_decide(&facts, &guide);
    stake_guide_print(&facts, &guide, options->json, stdout);
    return OWM_OK;
}

/** current: the coordinator's statement of now, about this node. */
static owm_status current(struct node_contact *contact, char statement[static OWM_STATEMENT_BYTES],
                          struct owm_error *error)
{
    PB(HelloResponse) *hello = NULL;
    owm_status status = node_contact_hello(contact, &hello, error);
    if (status != OWM_OK) return status;
    if (strcmp(hello->stake_policy, "lightning") != 0)
        status = owm_fail(error, OWM_E_STATE, "this network asks for no stake: nothing to sign");
    else
        status =
            owm_statement_names(hello->stake_statement, hello->network, contact->coordinator_key,
                                owm_identity_public_key(contact->identity), error);
    if (status == OWM_OK) snprintf(statement, OWM_STATEMENT_BYTES, "%s", hello->stake_statement);
    link_free(hello);
    return status;
}

static owm_status print_statement(const struct owm_node_config *config,
                                  struct node_contact *contact, struct owm_error *error)
{
    char statement[OWM_STATEMENT_BYTES];
    owm_task_log *log = NULL;
    owm_status status = current(contact, statement, error);
    if (status == OWM_OK) status = node_beside_join(config, &log, error);
    if (status == OWM_OK) status = owm_task_log_set(log, KEY_SHOWN, statement);
    owm_task_log_close(log);
    if (status == OWM_OK) printf("%s\n", statement);
    return status;
}

/* The statement of now, or the one that was shown before it, whichever was signed. */
static owm_status prove(const struct owm_node_config *config, struct node_contact *contact,
                        const char *signature, struct owm_error *error)
{
    struct node_stake_proof proof = {.statement = ""}, shown = proof;
    owm_task_log *log = NULL;
    if (signature == NULL || strlen(signature) >= sizeof proof.signature)
        return owm_fail(error, OWM_E_ARG,
                        "say `owm-node stake prove SIGNATURE`, with what signmessage printed");
    snprintf(proof.signature, sizeof proof.signature, "%s", signature);
    memcpy(shown.signature, proof.signature, sizeof shown.signature);
    owm_status status = current(contact, proof.statement, error);
    if (status == OWM_OK) status = node_beside_join(config, &log, error);
    if (status == OWM_OK) {
        struct owm_error earlier;
        status = node_stake_keep(log, config, &proof, error);
        if (status == OWM_E_CRYPTO
            && owm_task_log_get(log, KEY_SHOWN, shown.statement, sizeof shown.statement) == OWM_OK
            && node_stake_keep(log, config, &shown, &earlier) == OWM_OK)
            status = OWM_OK;
    }
    owm_task_log_close(log);
    if (status == OWM_OK)
        printf("The signature is right and kept; the next registration shows it. Now: owm-node "
               "stake\n");
    return status;
}

static owm_status with_contact(const struct owm_node_config *config,
                               const struct stake_options *options, struct owm_error *error)
{
    struct node_contact contact;
    const char *word = options->word[0];
    owm_status status = node_contact_open(config, NODE_CONTACT_ITSELF, &contact, error);
    if (status == OWM_OK)
        status = word == NULL ? show(config, &contact, options)
                 : strcmp(word, "statement") == 0
                     ? print_statement(config, &contact, error)
                     : prove(config, &contact, options->word[1], error);
    node_contact_close(&contact);
    return status;
}

int node_stake_command(const struct owm_node_config *config, const struct stake_options *options)
{
    struct owm_error error = {""};
    const char *word = options->word[0];
    owm_status status;
    if (word == NULL || strcmp(word, "statement") == 0 || strcmp(word, "prove") == 0)
        status = with_contact(config, options, &error);
    else if (strcmp(word, "can-join") == 0)
        status = stake_can_join(config, options, &error);
    else if (strcmp(word, "bond") == 0)
        status = stake_bond(config, options, &error);
    else
        status = owm_fail(&error, OWM_E_ARG,
                          "there is no `stake %s`; there are: stake, stake statement, stake prove "
                          "SIGNATURE, stake can-join [--tier tN], stake bond [hold|paid SATS]",
                          word);
    if (status == OWM_OK) return 0;
    fprintf(stderr, "owm-node: %s\n", error.text[0] ? error.text : owm_status_text(status));
    return status == OWM_E_ARG ? 2 : 1;
}
