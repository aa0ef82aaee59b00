/* test_header_source.c: block headers from a node, from a file, and from a file that follows a
 * node: what is fetched, what is taken back, what is believed. */
#include "dataplane/ots/header_source.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "node_double.h"
#include "test.h"

static char folder[] = "/tmp/owm-headers-XXXXXX", path[64];

static struct owm_ots_header_options of_node(struct node_double *node, const char *file)
{
    return (struct owm_ots_header_options){
        .bitcoin_rpc = node->url_with_password,
        .bitcoin_cookie = "",
        .headers_file = file,
        .network = OWM_REGTEST,
    };
}

static owm_ots_header_source *open_source(struct owm_ots_header_options options)
{
    static struct owm_ots_header_options kept;
    owm_ots_header_source *source = NULL;
    kept = options;
    assert_ok(owm_ots_header_source_open(&kept, &source, NULL));
    return source;
}

static uint64_t tip_of(const struct owm_ots_headers *headers)
{
    uint64_t tip = 0;
    assert_ok(headers->tip(headers->ctx, &tip, NULL));
    return tip;
}

static long file_blocks(void)
{
    struct stat info;
    if (stat(path, &info) != 0) return 0;
    assert_int_equal((info.st_size - OWM_OTS_CHAIN_MAGIC_BYTES) % OWM_OTS_RECORD_BYTES, 0);
    return (info.st_size - OWM_OTS_CHAIN_MAGIC_BYTES) / OWM_OTS_RECORD_BYTES;
}

static void the_node_alone(void **state)
{
    (void)state;
    struct node_double node;
    struct owm_ots_headers headers;
    uint8_t header[OWM_OTS_HEADER_BYTES];
    node_open(&node);
    node_mine(&node, 20, 0, NULL);
    owm_ots_header_source *source = open_source(of_node(&node, ""));
    assert_ok(owm_ots_header_source_refresh(source, 1, &headers, NULL));
    assert_int_equal(tip_of(&headers), 19);
    assert_ok(headers.header(headers.ctx, 7, header, NULL));
    assert_memory_equal(header, node.chain.headers[7], sizeof header);
    owm_ots_header_source_close(source);
    node_close(&node);
}

/* Piece by piece, written when there is enough, and at the end; after a reorganisation only what
 * the node has. */
static void a_file_follows_a_node(void **state)
{
    (void)state;
    struct node_double node;
    struct owm_ots_headers headers;
    struct owm_error error = {""};
    uint8_t header[OWM_OTS_HEADER_BYTES] = {5};
    node_open(&node);
    node_mine(&node, 250, 0, NULL);
    owm_ots_header_source *source = open_source(of_node(&node, path));
    assert_int_equal(owm_ots_header_source_refresh(source, 100, &headers, &error), OWM_E_AGAIN);
    assert_string_equal(error.text, "block headers are fetched: 100 of 249");
    assert_int_equal(owm_ots_header_source_refresh(source, 100, &headers, &error), OWM_E_AGAIN);
    assert_int_equal(file_blocks(), 0);
    assert_ok(owm_ots_header_source_refresh(source, 100, &headers, &error));
    assert_int_equal(tip_of(&headers), 249);
    assert_int_equal(file_blocks(), 250);
    node_cut(&node, 240);
    node_mine(&node, 245, 242, header); /* Another root, so another chain. */
    assert_ok(owm_ots_header_source_refresh(source, 100, &headers, &error));
    assert_int_equal(tip_of(&headers), 244);
    for (uint64_t i = 0; i < 245; i++) {
        assert_ok(headers.header(headers.ctx, i, header, NULL));
        assert_memory_equal(header, node.chain.headers[i], sizeof header);
    }
    assert_int_equal(file_blocks(), 250);
    owm_ots_header_source_close(source);
    assert_int_equal(file_blocks(), 245);
    source = open_source(of_node(&node, path)); /* Goes on from there. */
    node_mine(&node, 246, 0, NULL);
    assert_ok(owm_ots_header_source_refresh(source, 1, &headers, &error));
    assert_int_equal(tip_of(&headers), 245);
    assert_ok(owm_ots_header_source_save(source, NULL));
    assert_int_equal(file_blocks(), 246);
    owm_ots_header_source_close(source);
    node_close(&node);
}

/* A file alone is read again when it is another one. */
static void a_file_alone(void **state)
{
    (void)state;
    struct node_double node;
    struct owm_ots_headers headers;
    struct owm_error error = {""};
    node_open(&node);
    node_mine(&node, 300, 0, NULL);
    const struct owm_ots_header_options alone = {.headers_file = path, .network = OWM_REGTEST};
    assert_int_equal(unlink(path), 0);
    owm_ots_header_source *source = NULL;
    assert_ok(owm_ots_header_source_open(&alone, &source, NULL));
    assert_int_equal(owm_ots_header_source_refresh(source, 1, &headers, &error), OWM_E_NOTFOUND);
    owm_ots_header_source *other = open_source(of_node(&node, path));
    assert_ok(owm_ots_header_source_refresh(other, 1000, &headers, &error));
    owm_ots_header_source_close(other);
    assert_ok(owm_ots_header_source_refresh(source, 1, &headers, &error));
    assert_int_equal(tip_of(&headers), 299);
    assert_ok(owm_fs_write_atomic(path, "OWMHDRS1 and no header", 22, 0644, NULL));
    assert_int_equal(owm_ots_header_source_refresh(source, 1, &headers, &error), OWM_E_PROTO);
    assert_non_null(strstr(error.text, path));
    owm_ots_header_source_close(source);
    node_close(&node);
}

/* Nobody, a node of another network, one that is away and comes back with another password. */
static void refusals(void **state)
{
    (void)state;
    struct node_double node;
    struct owm_ots_headers headers;
    struct owm_ots_header_options options = {.network = OWM_REGTEST};
    struct owm_error error = {""};
    owm_ots_header_source *source = NULL;
    assert_int_equal(owm_ots_header_source_open(&options, &source, &error), OWM_E_CONFIG);
    node_open(&node);
    node_mine(&node, 3, 0, NULL);
    options = of_node(&node, "");
    options.network = OWM_MAINNET;
    source = open_source(options);
    assert_int_equal(owm_ots_header_source_refresh(source, 1, &headers, &error), OWM_E_CONFIG);
    owm_ots_header_source_close(source);
    options = of_node(&node, "");
    options.bitcoin_rpc = node.url;
    source = open_source(options);
    assert_int_equal(owm_ots_header_source_refresh(source, 1, &headers, &error), OWM_E_PERM);
    owm_ots_header_source_close(source);
    char cookie[64];
    snprintf(cookie, sizeof cookie, "%s/cookie", folder);
    assert_ok(owm_fs_write_atomic(cookie, "rpc:old", 7, 0600, NULL));
    options.bitcoin_cookie = cookie;
    source = open_source(options);
    assert_int_equal(owm_ots_header_source_refresh(source, 1, &headers, &error), OWM_E_PERM);
    assert_ok(owm_fs_write_atomic(cookie, "rpc:secret", 10, 0600, NULL));
    assert_ok(owm_ots_header_source_refresh(source, 1, &headers, &error));
    owm_ots_header_source_close(source);
    node_close(&node);
    options = (struct owm_ots_header_options){.bitcoin_rpc = "http://127.0.0.1:1/",
                                              .network = OWM_REGTEST};
    source = open_source(options);
    assert_int_equal(owm_ots_header_source_refresh(source, 1, &headers, &error), OWM_E_NET);
    owm_ots_header_source_close(source);
    unlink(cookie);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_node_alone),
        cmocka_unit_test(a_file_follows_a_node),
        cmocka_unit_test(a_file_alone),
        cmocka_unit_test(refusals),
    };
    if (!mkdtemp(folder)) return 1;
    snprintf(path, sizeof path, "%s/headers.dat", folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(folder);
    return failed;
}
