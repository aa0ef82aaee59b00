/* test.h: what every cmocka test includes, and the macro for statuses. */
#ifndef OWM_TEST_H
#define OWM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEST_SKIP 77

/** assert_ok: the expression returned OWM_OK; prints its text otherwise. */
#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        owm_status assert_ok_status = (expr);                                                      \
        if (assert_ok_status != OWM_OK)                                                            \
            fail_msg("%s: %s", #expr, owm_status_text(assert_ok_status));                          \
    } while (0)

#endif
