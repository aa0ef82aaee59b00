/* test_invoices.c: what others pay us: one invoice per source, credited once, whatever dies. */
#include "controlplane/payments/invoices.h"

#include "base/clock.h"
#include "base/uuid.h"
#include "fake_world.h"

struct credits {
    _Atomic unsigned calls, refusals;
    _Atomic int64_t msat;
};

static owm_status on_paid(void *ctx, struct owm_pg *pg, const struct owm_invoice_row *row,
                          struct owm_error *error)
{
    struct credits *credits = ctx;
    atomic_fetch_add(&credits->calls, 1);
    if (atomic_load(&credits->refusals) > 0) {
        atomic_fetch_sub(&credits->refusals, 1);
        return owm_fail(error, OWM_E_DB, "not now");
    }
    atomic_fetch_add(&credits->msat, row->paid_msat);
    return owm_pg_exec(pg, "INSERT INTO credited SELECT 1", error);
}

static struct owm_invoices *start(struct world *world, struct credits *credits)
{
    struct owm_invoices *invoices = NULL;
    assert_ok(owm_metrics_open(0, &world->metrics));
    struct owm_invoices_options options = {.database_url = world->url,
                                           .secret = world->secret,
                                           .node = world->options.node,
                                           .metrics = world->metrics,
                                           .hooks = {{"api", on_paid, credits}},
                                           .hook_count = 1};
    assert_ok(owm_invoices_open(&options, &invoices));
    return invoices;
}

static void end(struct world *world, struct owm_invoices *invoices)
{
    owm_invoices_close(invoices);
    owm_metrics_close(world->metrics);
}

static owm_status create(struct owm_invoices *invoices, struct world *world,
                         const uint8_t source[16], int64_t msat, struct owm_invoice_row *row)
{
    struct owm_invoice_order order = {.source_id = source,
                                      .purpose = "api",
                                      .amount_msat = msat,
                                      .expiry_s = 3600,
                                      .memo = "test"};
    owm_status status = OWM_E_AGAIN;
    for (int i = 0; i < 1000 && status == OWM_E_AGAIN; i++) {
        status = owm_invoices_create(invoices, world->pg, &order, row, NULL);
        if (status == OWM_E_AGAIN) owm_clock_sleep_ms(5);
    }
    return status;
}

#define SETTLED "SELECT count(*) FROM invoices WHERE state = 'settled'"

static void test_credited_once(void **state)
{
    (void)state;
    struct world world;
    struct credits credits = {.refusals = 1};
    struct owm_invoice_row row, again;
    uint8_t source[3][16];
    world_open(&world, "invoices");
    assert_ok(owm_pg_exec(world.pg, "CREATE TABLE credited (n int)", NULL));
    for (int i = 0; i < 3; i++) owm_uuid_random(source[i]);
    struct owm_invoices *invoices = start(&world, &credits);
    assert_ok(create(invoices, &world, source[0], 5000, &row));
    assert_ok(create(invoices, &world, source[0], 5000, &again));
    assert_string_equal(row.invoice, again.invoice);
    assert_int_equal(create(invoices, &world, source[0], 6000, &again), OWM_E_EXISTS);
    fake_invoice_pay(row.payment_hash,
                     5500); /* more than was asked: credited; the hook fails once */
    world_until(world.pg, SETTLED, 1);
    assert_int_equal(world_number(world.pg, "SELECT paid_msat FROM invoices"), 5500);
    world_until(world.pg, "SELECT settle_index FROM invoice_cursor", 1);
    assert_ok(create(invoices, &world, source[1], 7000, &row));
    assert_ok(create(invoices, &world, source[2], 8000, &again));
    end(&world, invoices);
    fake_invoice_pay(row.payment_hash, 7000); /* while nobody looks */
    invoices = start(&world, &credits);
    world_until(world.pg, SETTLED, 2);
    world_until(world.pg, "SELECT settle_index FROM invoice_cursor", 2);
    assert_int_equal(world_number(world.pg, "SELECT count(*) FROM credited"), 2);
    assert_int_equal(atomic_load(&credits.calls), 3);
    assert_int_equal(atomic_load(&credits.msat), 12500);
    assert_ok(create(invoices, &world, source[1], 7000, &row));
    assert_string_equal(row.state, "settled");
    end(&world, invoices);
    world_close(&world);
}

WORLD_MAIN(cmocka_unit_test(test_credited_once))
