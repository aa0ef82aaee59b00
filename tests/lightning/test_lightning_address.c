/* test_lightning_address.c: Lightning addresses, and what a stranger's host answers. */
#include "base/http_client.h"
#include "base/http_public.h"
#include "base/lightning/address.h"
#include "base/lightning/address_reply.h"
#include "test.h"

#include <arpa/inet.h>
#include <string.h>

#define OFFER(callback)                                                                            \
    "{\"tag\":\"payRequest\",\"callback\":\"" callback                                             \
    "\",\"minSendable\":1000,\"maxSendable\":50000,\"metadata\":\"[]\"}"

static void test_forms(void **state)
{
    (void)state;
    assert_true(owm_lightning_address_valid("satoshi@pay.example.org"));
    assert_true(owm_lightning_address_valid("a.b-c_d+tag@x1.co"));
    static const char *const bad[] = {"",
                                      "satoshi",
                                      "@example.org",
                                      "satoshi@",
                                      "satoshi@localhost",
                                      "satoshi@127.0.0.1",
                                      "satoshi@example.org:8080",
                                      "satoshi@example.org/x",
                                      "satoshi@exa mple.org",
                                      "satoshi@-example.org",
                                      "satoshi@example..org",
                                      "satoshi@example.org.",
                                      "Satoshi@example.org",
                                      "sat/../x@example.org",
                                      "satoshi@[::1]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(owm_lightning_address_valid(bad[i]));
    char url[OWM_LNURL_URL_BYTES];
    assert_int_equal(owm_lnurl_first_url("a@b.co", url, NULL), OWM_OK);
    assert_string_equal(url, "https://b.co/.well-known/lnurlp/a");
    struct owm_error error = {""};
    assert_int_equal(owm_lnurl_first_url("a@b", url, &error), OWM_E_ARG);
    assert_non_null(strstr(error.text, "name@host"));
}

static owm_status offer(const char *text, int64_t amount_msat, char *url, struct owm_error *error)
{
    return owm_lnurl_read_offer(text, strlen(text), amount_msat, url, error);
}

/* LUD-06: the amount goes behind the callback, which may have a query of its own. */
static void test_offer(void **state)
{
    (void)state;
    char url[OWM_LNURL_URL_BYTES];
    struct owm_error error = {""};
    assert_int_equal(offer(OFFER("https://pay.example/cb"), 1000, url, &error), OWM_OK);
    assert_string_equal(url, "https://pay.example/cb?amount=1000");
    assert_int_equal(offer(OFFER("https://pay.example/cb?k=1"), 50000, url, &error), OWM_OK);
    assert_string_equal(url, "https://pay.example/cb?k=1&amount=50000");
    assert_int_equal(offer(OFFER("https://pay.example/cb"), 999, url, &error), OWM_E_LIMIT);
    assert_non_null(strstr(error.text, "1000 to 50000 msat"));
    assert_int_equal(offer(OFFER("https://pay.example/cb"), 50001, url, &error), OWM_E_LIMIT);
    assert_int_equal(offer(OFFER("http://pay.example/cb"), 1000, url, &error), OWM_E_PROTO);
    assert_int_equal(offer(OFFER("file:///etc/passwd"), 1000, url, &error), OWM_E_PROTO);
    assert_int_equal(offer(OFFER("https://pay.example/cb#x"), 1000, url, &error), OWM_E_PROTO);
    assert_int_equal(offer("[]", 1000, url, &error), OWM_E_PROTO);
    assert_int_equal(offer("{\"tag\":\"withdrawRequest\"}", 1000, url, &error), OWM_E_PROTO);
    assert_int_equal(
        offer("{\"status\":\"ERROR\",\"reason\":\"gone \\u001b[2J\"}", 1000, url, &error),
        OWM_E_STATE);
    assert_non_null(strstr(error.text, "gone ?[2J"));
}

static owm_status invoice_of(const char *pr, char *invoice)
{
    char text[1024];
    snprintf(text, sizeof text, "{\"pr\":\"%s\",\"routes\":[]}", pr);
    return owm_lnurl_read_invoice(text, strlen(text), invoice, NULL);
}

static void test_invoice(void **state)
{
    (void)state;
    char invoice[OWM_LIGHTNING_INVOICE_BYTES], pr[400] = "lnbcrt210n1";
    size_t at = strlen(pr);
    for (int i = 0; i < 6; i++)
        at += (size_t)snprintf(pr + at, sizeof pr - at, "qpzry9x8gf2tvdw0s3jn54khce6mua7l");
    assert_int_equal(invoice_of(pr, invoice), OWM_OK);
    assert_string_equal(invoice, pr);
    assert_int_equal(invoice_of("lnbcrt210n1qqqq", invoice), OWM_E_PROTO);
    pr[20] = 'b'; /* Not a character of bech32's data. */
    assert_int_equal(invoice_of(pr, invoice), OWM_E_PROTO);
    pr[20] = 'Q';
    assert_int_equal(invoice_of(pr, invoice), OWM_E_PROTO);
    assert_int_equal(owm_lnurl_read_invoice("{}", 2, invoice, NULL), OWM_E_PROTO);
}

static bool is_public(const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        return owm_http_address_public((struct sockaddr *)&in);
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    return owm_http_address_public((struct sockaddr *)&in6);
}

/* A stranger's name may resolve to anything: only the Internet is asked (RFC 6890). */
static void test_public(void **state)
{
    (void)state;
    static const char *const inside[] = {
        "0.0.0.0",           "10.1.2.3",        "100.64.0.1", "127.0.0.1",   "169.254.169.254",
        "172.16.0.1",        "172.31.255.255",  "192.0.0.8",  "192.168.1.1", "198.18.0.1",
        "224.0.0.1",         "255.255.255.255", "::",         "::1",         "::ffff:127.0.0.1",
        "64:ff9b::10.0.0.1", "fe80::1",         "fd00::1",    "ff02::1",     "2002:0a00:0001::1",
        "2001::1",           "2001:db8::1"};
    static const char *const outside[] = {"1.1.1.1",        "172.32.0.1",       "100.128.0.1",
                                          "192.0.1.1",      "2606:4700::1111",  "2a00:1450::1",
                                          "::ffff:8.8.8.8", "2002:0808:0808::1"};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) assert_false(is_public(inside[i]));
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        assert_true(is_public(outside[i]));
    const struct owm_http_call call = {.url = "https://127.0.0.1:1/", .public_only = true};
    const struct owm_http_call plain = {.url = "http://127.0.0.1:1/", .public_only = true};
    struct owm_http_result result;
    assert_int_equal(owm_http_fetch(&call, &result, NULL), OWM_E_NET);
    assert_int_equal(owm_http_fetch(&plain, &result, NULL), OWM_E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_offer),
        cmocka_unit_test(test_invoice),
        cmocka_unit_test(test_public),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
