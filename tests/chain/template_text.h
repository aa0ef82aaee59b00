/* template_text.h: templates of our own making for the tests, as a node would write them. */
#ifndef OWM_TEST_TEMPLATE_TEXT_H
#define OWM_TEST_TEMPLATE_TEXT_H

#include <jansson.h>
#include <stdint.h>

#define TEXT_TRANSACTIONS_MAX 300

/** template_json: height 101, bits 207fffff, `count` transactions every third with a witness,
 *  transaction i paying a fee of i + 1 sats. New reference; change it, then dump it. */
json_t *template_json(uint32_t count);

/** template_parsed: the parsed template, or the test fails. */
struct owm_template *template_parsed(const json_t *root);

/** hash_twice: SHA-256d, from base alone. */
void hash_twice(const void *data, size_t bytes, uint8_t hash[32]);

#endif
