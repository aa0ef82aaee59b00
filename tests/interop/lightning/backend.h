/* backend.h: the parts of the backend's test, which share one pair. */
#ifndef OWM_TESTS_BACKEND_H
#define OWM_TESTS_BACKEND_H

#include "pair.h"

/* backend_money.c */
void test_keysend_once(void **state);
void test_invoice(void **state);
void test_hold_invoice(void **state);
void test_funds_and_opening(void **state);

/* backend_faults.c */
void test_roles_and_nothing_else(void **state);
void test_certificate(void **state);
void test_locked(void **state);
void test_killed_while_paying(void **state);
void test_killed_with_a_held_payment(void **state);

/* backend_killed.c */
void test_payer_and_lnd_killed(void **state);

/* backend_closes.c */
void test_sums(void **state);
void test_cooperative_close(void **state);
void test_force_close_gives_everything_back(void **state);

#endif
