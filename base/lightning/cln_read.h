/* cln_read.h: Core Lightning's replies, from bytes to what they say. Private to the folder.
 *
 * cln_reply_parse takes bytes; the rest take the "result" of a reply that it parsed. Nothing here
 * asserts on input. Amounts are integers of msat, or "123msat" as old versions wrote them.
 * Returns of all: OWM_OK; OWM_E_PROTO what is there makes no sense; OWM_E_NOMEM.
 */
#ifndef OWM_BASE_LIGHTNING_CLN_READ_H
#define OWM_BASE_LIGHTNING_CLN_READ_H

#include "base/json.h"
#include "lightning.h"

#define CLN_REPLY_BYTES_MAX (32 * 1024 * 1024)

#define CLN_CODE_BAD_PARAMS (-32602)
#define CLN_CODE_NO_METHOD  (-32601)

/** cln_reply: root is owned, result borrowed from it; NULL: an error with a code and a message. */
struct cln_reply {
    json_t *root;
    const json_t *result;
    int64_t code; /* 0: no error */
    const char *message;
};

OWM_MUST_USE owm_status cln_reply_parse(const char *bytes, size_t count, struct cln_reply *reply,
                                        struct owm_error *error);
void cln_reply_free(struct cln_reply *reply);

/** cln_read_msat: an amount, not negative. cln_read_hex: exactly `bytes` bytes. cln_read_txid: hex
 *  as displayed to the chain's order. *there: whether the field is there; NULL: it must be. */
OWM_MUST_USE owm_status cln_read_msat(const json_t *object, const char *key, int64_t *msat,
                                      bool *there);
OWM_MUST_USE owm_status cln_read_hex(const json_t *object, const char *key, uint8_t *to,
                                     size_t bytes, bool *there);
OWM_MUST_USE owm_status cln_read_txid(const json_t *text, uint8_t txid[32]);

/** cln_text: a string field; "" if there is none. */
const char *cln_text(const json_t *object, const char *key);

OWM_MUST_USE owm_status cln_read_info(const json_t *result, struct owm_lightning_info *info);
OWM_MUST_USE owm_status cln_read_funds(const json_t *result, struct owm_lightning_funds *funds);

/** cln_read_close: forced: not agreed with the peer. */
OWM_MUST_USE owm_status cln_read_close(const json_t *result, uint8_t txid[32], bool *forced);

/** cln_list: channels under construction; free(channels). */
struct cln_list {
    struct owm_lightning_channel *channels;
    size_t count, room;
    const uint8_t *peer; /* NULL: all */
    uint32_t height;
};

/** cln_read_channels: of listpeerchannels. cln_read_closed: of listclosedchannels. Added to
 *  list. */
OWM_MUST_USE owm_status cln_read_channels(const json_t *result, struct cln_list *list);
OWM_MUST_USE owm_status cln_read_closed(const json_t *result, struct cln_list *list);

/** cln_read_channel_id: of listpeerchannels, the id that `close` takes, as text. OWM_E_NOTFOUND. */
OWM_MUST_USE owm_status cln_read_channel_id(const json_t *result,
                                            const struct owm_lightning_point *point, char id[65],
                                            uint8_t peer[OWM_LIGHTNING_KEY_BYTES]);

/** cln_read_pays: what listpays says of a hash: paid if one of its rows is, in flight if one is or
 *  if one failed so lately that `xpay` may still be trying (now_s), else failed.
 *  Returns: OWM_E_NOTFOUND no row, too. */
OWM_MUST_USE owm_status cln_read_pays(const json_t *result, const uint8_t hash[32], int64_t now_s,
                                      struct owm_lightning_outcome *outcome);

/** cln_read_request: of decode, BOLT11 or a BOLT12 invoice.
 *  Returns: OWM_E_ARG it is neither, not valid, or of another network than `network`, too. */
OWM_MUST_USE owm_status cln_read_request(const json_t *result, const char *network,
                                         struct owm_lightning_request *request);

/** cln_read_invoice: one row of listinvoices, or the answer of waitanyinvoice. */
OWM_MUST_USE owm_status cln_read_invoice(const json_t *row, struct owm_lightning_invoice *invoice);

#endif
