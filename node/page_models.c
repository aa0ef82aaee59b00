/* page_models.c: the words for model versions and their proofs. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/bytes.h"
#include "node/page.h"

static void proof_text(const struct proof_facts *proof, char *text, size_t bytes)
{
    char when[32] = "";
    const time_t seconds = proof->time_s;
    struct tm utc;
    if (proof->state == PROOF_ABSENT) {
        snprintf(text, bytes, "no proof came with it");
    } else if (proof->state == PROOF_PENDING) {
        snprintf(text, bytes, "proof pending: %u %s promised a block", proof->promises,
                 proof->promises == 1 ? "calendar has" : "calendars have");
    } else {
        strftime(when, sizeof when, "%Y-%m-%d %H:%M UTC", gmtime_r(&seconds, &utc));
        snprintf(text, bytes, "proof confirmed in block %" PRIu64 " of %s", proof->height, when);
    }
}

void page_model_text(const struct node_model_used *used, char text[static PAGE_MODEL_TEXT_MAX])
{
    char hex[65], proof[128] = "its proof was not looked at since this start";
    owm_hex_encode(used->sha256, 32, hex);
    if (used->checked) proof_text(&used->proof, proof, sizeof proof);
    snprintf(text, PAGE_MODEL_TEXT_MAX, "%s%sround %" PRIu32 ", %.16s…; %s", used->version,
             used->version[0] ? ", " : "", used->round, hex, proof);
}

void page_refused_text(const struct node_model_refused *refused,
                       char text[static PAGE_MODEL_TEXT_MAX])
{
    char hex[65], when[32];
    const time_t seconds = (time_t)(refused->at_ms / 1000);
    struct tm utc;
    owm_hex_encode(refused->sha256, 32, hex);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&seconds, &utc));
    snprintf(text, PAGE_MODEL_TEXT_MAX, "at %s for %s, checkpoint %.16s…: %s: %s", when,
             model_use_name(refused->use), hex, refusal_name(refused->code), refused->why);
}
