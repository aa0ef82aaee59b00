/* payments_part.h: payments in the coordinator: the dispatcher, invoices and what operators read of
 * them, opened from the configuration. */
#ifndef OWM_COORDINATOR_PAYMENTS_PART_H
#define OWM_COORDINATOR_PAYMENTS_PART_H

#include "base/metrics.h"
#include "base/outbox.h"
#include "config.h"
#include "controlplane/payments/invoices.h"
#include "page.h"

struct owm_payments_part;

/** owm_coordinator_owed_note: why what is owed is not paid, as long as nobody has tried: that no
 *  Lightning node is configured, or that payments are paused; "" if it will be paid. Static. */
const char *owm_coordinator_owed_note(const struct owm_coordinator_config *config);

/** owm_payments_part_open: after the database has its tables, before owm_page_serve. All borrowed
 *  until close.
 *  Returns: OWM_OK; OWM_E_CONFIG a key of [payments] that cannot be; OWM_E_PERM, OWM_E_PROTO,
 *  OWM_E_IO the pool's payment secret; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_payments_part_open(const struct owm_coordinator_config *config,
                                               const struct owm_payment_secret *secret,
                                               struct owm_metrics *metrics, struct owm_page *page,
                                               struct owm_payments_part **part,
                                               struct owm_error *error);

/** owm_payments_part_stop: end what pays and watches, while the page is still there and nobody asks
 *  for bonds any more. _close: the rest; after owm_page_close. NULL is allowed. */
void owm_payments_part_stop(struct owm_payments_part *part);
void owm_payments_part_close(struct owm_payments_part *part);

/** owm_payments_part_bonds: NULL: bonds.enabled is false. */
struct owm_bonds *owm_payments_part_bonds(struct owm_payments_part *part);

#endif
