/* backend.h: what a Lightning backend is made of: one table of functions. Private to
 * base/lightning.
 *
 * lightning.c checks arguments and roles, and calls the table; a NULL entry is OWM_E_UNSUPPORTED.
 * A backend's handle and watches begin with the structs below. Contracts are those of lightning.h.
 */
#ifndef OWM_BASE_LIGHTNING_BACKEND_H
#define OWM_BASE_LIGHTNING_BACKEND_H

#include "lightning.h"

struct owm_lightning_ops;

/** owm_lightning: the first member of a backend's handle; lightning.c fills it after open. */
struct owm_lightning {
    const struct owm_lightning_ops *ops;
    enum owm_lightning_role role;
};

/** Watches: the first member of a backend's; lightning.c fills it. */
struct owm_lightning_watch {
    owm_lightning *lightning;
};

struct owm_lightning_invoices {
    owm_lightning *lightning;
};

struct owm_lightning_ops {
    enum owm_lightning_backend backend;
    const char *name; /* in sentences: "LND" */
    const char *(*recipe)(enum owm_lightning_role role);

    owm_status (*open)(const struct owm_lightning_config *config, owm_lightning **lightning,
                       struct owm_error *error);
    void (*close)(owm_lightning *lightning);
    owm_status (*get_info)(owm_lightning *lightning, struct owm_lightning_info *info,
                           struct owm_error *error);
    owm_status (*sign)(owm_lightning *lightning, const char *message,
                       char signature[OWM_LIGHTNING_SIGNATURE_TEXT], struct owm_error *error);

    owm_status (*channels)(owm_lightning *lightning, const uint8_t *peer, bool closed,
                           struct owm_lightning_channel **channels, size_t *count,
                           struct owm_error *error);
    owm_status (*force_close)(owm_lightning *lightning, const struct owm_lightning_point *point,
                              uint8_t closing_txid[32], struct owm_error *error);
    owm_status (*open_channel)(owm_lightning *lightning, const uint8_t *peer, const char *host,
                               int64_t capacity_sats, int64_t push_msat,
                               struct owm_lightning_point *point, struct owm_error *error);
    owm_status (*get_funds)(owm_lightning *lightning, struct owm_lightning_funds *funds,
                            struct owm_error *error);
    owm_status (*watch_channels)(owm_lightning *lightning, struct owm_lightning_watch **watch,
                                 struct owm_error *error);
    owm_status (*watch_next)(struct owm_lightning_watch *watch, unsigned wait_ms,
                             uint8_t peer[OWM_LIGHTNING_KEY_BYTES], struct owm_error *error);
    void (*watch_close)(struct owm_lightning_watch *watch);

    owm_status (*pay)(owm_lightning *lightning, const struct owm_lightning_order *order,
                      unsigned wait_ms, struct owm_lightning_outcome *outcome,
                      struct owm_error *error);
    owm_status (*track)(owm_lightning *lightning, const uint8_t payment_hash[32],
                        struct owm_lightning_outcome *outcome, struct owm_error *error);
    owm_status (*decode)(owm_lightning *lightning, const char *invoice,
                         struct owm_lightning_request *request, struct owm_error *error);
    owm_status (*fetch_invoice)(owm_lightning *lightning, const char *offer, int64_t amount_msat,
                                char invoice[OWM_LIGHTNING_INVOICE_BYTES], struct owm_error *error);

    owm_status (*invoice_add)(owm_lightning *lightning, const struct owm_lightning_ask *ask,
                              char invoice[OWM_LIGHTNING_INVOICE_BYTES], struct owm_error *error);
    owm_status (*invoice_find)(owm_lightning *lightning, const uint8_t payment_hash[32],
                               struct owm_lightning_invoice *invoice, struct owm_error *error);
    owm_status (*invoice_settle)(owm_lightning *lightning, const uint8_t preimage[32],
                                 struct owm_error *error);
    owm_status (*invoice_cancel)(owm_lightning *lightning, const uint8_t payment_hash[32],
                                 struct owm_error *error);
    owm_status (*watch_invoices)(owm_lightning *lightning, uint64_t settle_index,
                                 struct owm_lightning_invoices **watch, struct owm_error *error);
    owm_status (*invoices_next)(struct owm_lightning_invoices *watch, unsigned wait_ms,
                                struct owm_lightning_invoice *invoice, struct owm_error *error);
    void (*invoices_close)(struct owm_lightning_invoices *watch);
};

extern const struct owm_lightning_ops owm_lightning_lnd_ops;
extern const struct owm_lightning_ops owm_lightning_cln_ops;

#define OWM_LIGHTNING_TIMEOUT_MS 10000 /* where the config says 0 */

/** owm_lightning_role_name: "stake", "invoice", "pay", "slash", "operator". Static string. */
const char *owm_lightning_role_name(enum owm_lightning_role role);

/** owm_lightning_channels_sort: by funding point, as owm_lightning_channels gives them; of two rows
 *  of one channel, the one with the later state first. */
void owm_lightning_channels_sort(struct owm_lightning_channel *channels, size_t count);

#endif
