/* test_identity.c: key file, signatures, boxes, certificates, hashes, ids; published vectors. */
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sodium.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/identity.h"
#include "base/sha256.h"
#include "base/uuid.h"
#include "test.h"

static void is_hex(const void *data, size_t bytes, const char *expected)
{
    char text[160];
    owm_hex_encode(data, bytes, text);
    assert_string_equal(text, expected);
}

/* SRS-NODE-02, SRS-SEC-03: made once, mode 0600, refused when others can read it. */
static void key_file_is_private(void **state)
{
    (void)state;
    char folder[] = "/tmp/owm-id-XXXXXX", path[96], parent[64], other[64];
    struct owm_error error;
    struct stat info;
    owm_identity *first, *again;
    bool created;
    assert_non_null(mkdtemp(folder));
    snprintf(parent, sizeof parent, "%s/.owm", folder);
    snprintf(path, sizeof path, "%s/identity.key", parent);
    snprintf(other, sizeof other, "%s/link", folder);
    assert_ok(owm_identity_load_or_create(path, &first, &created, &error));
    assert_true(created);
    assert_ok(owm_identity_load_or_create(path, &again, &created, &error));
    assert_false(created);
    assert_memory_equal(owm_identity_public_key(first), owm_identity_public_key(again), 32);
    owm_identity_close(again);
    owm_identity_close(first);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(stat(parent, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(owm_identity_load_or_create(path, &again, NULL, &error), OWM_E_PERM);
    assert_non_null(strstr(error.text, "chmod 600 "));
    assert_null(again);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(symlink(path, other), 0);
    assert_int_equal(owm_identity_load_or_create(other, &again, NULL, &error), OWM_E_PERM);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 12345, 0), 0);
        assert_int_equal(owm_identity_load_or_create(path, &again, NULL, &error), OWM_E_PERM);
        assert_non_null(strstr(error.text, "12345"));
        assert_int_equal(chown(path, 0, 0), 0);
    }
    assert_int_equal(truncate(path, 40), 0);
    assert_int_equal(owm_identity_load_or_create(path, &again, NULL, &error), OWM_E_PROTO);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, 40);
    unlink(other);
    unlink(path);
    rmdir(parent);
    rmdir(folder);
}

/* RFC 8032 section 7.1, test 3: key, and the plain signature that ours is built on. */
static void signatures_are_bound_to_their_context(void **state)
{
    (void)state;
    uint8_t seed[32], signature[64], plain[64], secret[64], public_key[32];
    owm_identity *identity;
    assert_ok(owm_hex_decode("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                             seed, 32));
    assert_ok(owm_identity_from_seed(seed, &identity));
    const uint8_t *key = owm_identity_public_key(identity);
    is_hex(key, 32, "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
    crypto_sign_seed_keypair(public_key, secret, seed);
    crypto_sign_detached(plain, NULL, (const uint8_t *)"\xaf\x82", 2, secret);
    is_hex(plain, 64,
           "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
           "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a");
    /* The documented construction, done by hand. */
    static const char signed_text[] = "OWM-SIG-1\x07owm/t/1hello";
    uint8_t digest[64];
    crypto_hash_sha512(digest, (const uint8_t *)signed_text, sizeof signed_text - 1);
    crypto_sign_detached(plain, NULL, digest, 64, secret);
    owm_identity_sign(identity, "owm/t/1", "hello", 5, signature);
    assert_memory_equal(signature, plain, 64);
    assert_ok(owm_verify(key, "owm/t/1", "hello", 5, signature));
    assert_int_equal(owm_verify(key, "owm/t/2", "hello", 5, signature), OWM_E_CRYPTO);
    assert_int_equal(owm_verify(key, "owm/t/1", "hellO", 5, signature), OWM_E_CRYPTO);
    assert_int_equal(owm_verify(key, "owm/t/1h", "ello", 4, signature), OWM_E_CRYPTO);
    signature[0] ^= 1;
    assert_int_equal(owm_verify(key, "owm/t/1", "hello", 5, signature), OWM_E_CRYPTO);
    owm_identity_close(identity);
}

/* SRS-SEC-02. */
static void boxes_open_for_the_recipient_only(void **state)
{
    (void)state;
    owm_identity *a, *b, *c;
    uint8_t boxed[5 + OWM_BOX_EXTRA_BYTES], again[sizeof boxed], out[5];
    static const uint8_t bad_key[32] = {0};
    assert_ok(owm_identity_generate(&a));
    assert_ok(owm_identity_generate(&b));
    assert_ok(owm_identity_generate(&c));
    const uint8_t *a_key = owm_identity_public_key(a), *b_key = owm_identity_public_key(b);
    assert_ok(owm_identity_box(a, b_key, "hello", 5, boxed));
    assert_ok(owm_identity_box(a, b_key, "hello", 5, again));
    assert_memory_not_equal(boxed, again, sizeof boxed);
    assert_ok(owm_identity_unbox(b, a_key, boxed, sizeof boxed, out));
    assert_memory_equal(out, "hello", 5);
    assert_int_equal(owm_identity_unbox(c, a_key, boxed, sizeof boxed, out), OWM_E_CRYPTO);
    assert_int_equal(owm_identity_unbox(b, owm_identity_public_key(c), boxed, sizeof boxed, out),
                     OWM_E_CRYPTO);
    boxed[sizeof boxed - 1] ^= 1;
    assert_int_equal(owm_identity_unbox(b, a_key, boxed, sizeof boxed, out), OWM_E_CRYPTO);
    assert_int_equal(owm_identity_unbox(b, a_key, boxed, 39, out), OWM_E_PROTO);
    assert_int_equal(owm_identity_box(a, bad_key, "x", 1, boxed), OWM_E_CRYPTO);
    owm_identity_close(a);
    owm_identity_close(b);
    owm_identity_close(c);
}

/* SRS-SEC-01. */
static void certificate_carries_the_key(void **state)
{
    (void)state;
    owm_identity *identity;
    struct owm_cert cert;
    struct owm_error error;
    uint8_t key[32];
    assert_ok(owm_identity_generate(&identity));
    assert_ok(owm_identity_cert(identity, "node", "DNS:localhost,IP:127.0.0.1", &cert, &error));
    assert_ok(owm_cert_public_key(cert.cert_pem, strlen(cert.cert_pem), key));
    assert_memory_equal(key, owm_identity_public_key(identity), 32);
    BIO *bio = BIO_new_mem_buf(cert.cert_pem, -1), *key_bio = BIO_new_mem_buf(cert.key_pem, -1);
    X509 *x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    EVP_PKEY *private = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
    assert_int_equal(X509_verify(x509, X509_get0_pubkey(x509)), 1);
    assert_int_equal(X509_check_private_key(x509, private), 1);
    assert_int_equal(X509_check_host(x509, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(x509, "127.0.0.1", 0), 1);
    EVP_PKEY_free(private);
    X509_free(x509);
    BIO_free(bio);
    BIO_free(key_bio);
    assert_int_equal(owm_cert_public_key(cert.cert_pem, 60, key), OWM_E_PROTO);
    assert_int_equal(owm_cert_public_key("x", 1, key), OWM_E_PROTO);
    owm_cert_deinit(&cert);
    assert_int_equal(owm_identity_cert(identity, "", NULL, &cert, &error), OWM_E_ARG);
    assert_int_equal(owm_identity_cert(identity, "n", "IP:nonsense", &cert, &error), OWM_E_ARG);
    assert_ok(owm_identity_cert(identity, "n", NULL, &cert, &error));
    owm_cert_deinit(&cert);
    owm_identity_close(identity);
}

/* FIPS 180-4 examples; RFC 4231 cases 1, 2 and 6. */
/* SRS-SEC-07, promise 8: TLS copies the key to where a core dump would show it. */
static void a_process_with_a_certificate_makes_no_core_dump(void **state)
{
    (void)state;
    owm_identity *identity;
    struct owm_cert cert;
    struct owm_error error;
    assert_int_equal(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
    assert_ok(owm_identity_generate(&identity));
    assert_ok(owm_identity_cert(identity, "n", NULL, &cert, &error));
    assert_int_equal(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
    owm_cert_deinit(&cert);
    owm_identity_close(identity);
}

static void hash_vectors(void **state)
{
    (void)state;
    uint8_t hash[32], key[131];
    struct owm_sha256_ctx ctx;
    struct owm_error error;
    uint64_t bytes;
    owm_sha256("abc", 3, hash);
    is_hex(hash, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    owm_sha256(NULL, 0, hash);
    is_hex(hash, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    owm_sha256_init(&ctx);
    for (int i = 0; i < 1000000; i++) owm_sha256_update(&ctx, "a", 1);
    owm_sha256_final(&ctx, hash);
    is_hex(hash, 32, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    memset(key, 0x0b, 20);
    owm_hmac_sha256(key, 20, "Hi There", 8, hash);
    is_hex(hash, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    owm_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, hash);
    is_hex(hash, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, 131);
    owm_hmac_sha256(key, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 54, hash);
    is_hex(hash, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    assert_ok(owm_sha256_file("/dev/null", hash, &bytes, &error));
    assert_int_equal(bytes, 0);
    assert_int_equal(owm_sha256_file("/nowhere", hash, &bytes, &error), OWM_E_NOTFOUND);
}

static void ids(void **state)
{
    (void)state;
    uint8_t a[16], b[16];
    char text[37];
    owm_uuid_random(a);
    owm_uuid_random(b);
    assert_memory_not_equal(a, b, 16);
    owm_uuid_format(a, text);
    assert_int_equal(text[14], '4');
    assert_ok(owm_uuid_parse(text, b));
    assert_memory_equal(a, b, 16);
    owm_uuid_derive(a, "x", 1, b);
    owm_uuid_format(b, text);
    assert_int_equal(text[14], '8');
    assert_int_equal(owm_uuid_parse("00000000-0000-0000-0000-00000000000", b), OWM_E_PROTO);
    assert_int_equal(owm_uuid_parse("00000000-0000-0000-0000-0000000000000", b), OWM_E_PROTO);
    assert_int_equal(owm_uuid_parse("000000000-000-0000-0000-000000000000", b), OWM_E_PROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_file_is_private),
        cmocka_unit_test(signatures_are_bound_to_their_context),
        cmocka_unit_test(boxes_open_for_the_recipient_only),
        cmocka_unit_test(certificate_carries_the_key),
        cmocka_unit_test(a_process_with_a_certificate_makes_no_core_dump),
        cmocka_unit_test(hash_vectors),
        cmocka_unit_test(ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
