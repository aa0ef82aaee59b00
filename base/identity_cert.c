/* identity_cert.c: the identity as a self-signed X.509 certificate (RFC 8410), through OpenSSL. */
#include "identity.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "identity_internal.h"

#define CERT_DAYS       7305
#define CERT_BACKDATE_S 86400 /* for peers whose clock is behind */
#define COMMON_NAME_MAX 64    /* RFC 5280, ub-common-name */
#define PEM_BYTES_MAX   65536

static char *bio_text(BIO *bio, bool secret)
{
    char *data = NULL;
    long bytes = BIO_get_mem_data(bio, &data);
    if (bytes <= 0) return NULL;
    char *text = secret ? sodium_malloc((size_t)bytes + 1) : malloc((size_t)bytes + 1);
    if (!text) return NULL;
    memcpy(text, data, (size_t)bytes);
    text[bytes] = 0;
    return text;
}

static int add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    int added = extension && X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
    return added;
}

static int fill_names(X509 *cert, const char *name)
{
    uint8_t serial[16];
    randombytes_buf(serial, sizeof serial);
    serial[0] &= 0x7f;
    BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
    X509_NAME *subject = X509_get_subject_name(cert);
    int good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert))
               && X509_set_version(cert, 2)
               && X509_gmtime_adj(X509_getm_notBefore(cert), -CERT_BACKDATE_S)
               && X509_time_adj_ex(X509_getm_notAfter(cert), CERT_DAYS, 0, NULL)
               && X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                             (const unsigned char *)name, -1, -1, 0)
               && X509_set_issuer_name(cert, subject);
    BN_free(number);
    return good;
}

static owm_status build(X509 *cert, EVP_PKEY *key, const char *name, const char *san,
                        struct owm_error *error)
{
    char own_san[COMMON_NAME_MAX + 8];
    snprintf(own_san, sizeof own_san, "DNS:%s", name);
    if (!fill_names(cert, name) || !X509_set_pubkey(cert, key))
        return owm_fail(error, OWM_E_ARG, "\"%s\" cannot be the name of a certificate", name);
    if (!add_extension(cert, NID_subject_alt_name, san ? san : own_san))
        return owm_fail(error, OWM_E_ARG, "\"%s\" cannot be the alternative names of a certificate",
                        san ? san : own_san);
    /* CA:TRUE so that a peer which pins the certificate can hand it to TLS as its root. */
    if (!add_extension(cert, NID_basic_constraints, "critical,CA:TRUE")
        || !add_extension(cert, NID_key_usage, "critical,digitalSignature,keyCertSign")
        || !add_extension(cert, NID_ext_key_usage, "serverAuth,clientAuth")
        || !X509_sign(cert, key, NULL))
        return owm_fail(error, OWM_E_CRYPTO, "OpenSSL could not sign the certificate");
    return OWM_OK;
}

owm_status owm_identity_cert(const owm_identity *identity, const char *name, const char *san,
                             struct owm_cert *cert, struct owm_error *error)
{
    *cert = (struct owm_cert){0};
    size_t name_bytes = strlen(name);
    if (name_bytes < 1 || name_bytes > COMMON_NAME_MAX)
        return owm_fail(error, OWM_E_ARG, "a certificate's name has 1 to %d bytes, not %zu",
                        COMMON_NAME_MAX, name_bytes);
    owm_status status = owm_fail(error, OWM_E_NOMEM, "out of memory for the certificate");
    X509 *x509 = X509_new();
    BIO *cert_bio = BIO_new(BIO_s_mem());
    BIO *key_bio = BIO_new(BIO_s_secmem());
    EVP_PKEY *key =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, identity->secret, OWM_SEED_BYTES);
    if (!x509 || !cert_bio || !key_bio || !key) goto out;
    status = build(x509, key, name, san, error);
    if (status != OWM_OK) goto out;
    if (PEM_write_bio_X509(cert_bio, x509)
        && PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL)) {
        cert->cert_pem = bio_text(cert_bio, false);
        cert->key_pem = bio_text(key_bio, true);
        /* TLS keeps copies of the key on its heap, where nothing of ours guards them. Not
         * RLIMIT_CORE: a core_pattern that is a pipe takes no notice of it. */
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
    if (!cert->cert_pem || !cert->key_pem) {
        owm_cert_deinit(cert);
        status = owm_fail(error, OWM_E_NOMEM, "out of memory for the certificate");
    }
out:
    EVP_PKEY_free(key);
    BIO_free(key_bio);
    BIO_free(cert_bio);
    X509_free(x509);
    return status;
}

void owm_cert_deinit(struct owm_cert *cert)
{
    free(cert->cert_pem);
    sodium_free(cert->key_pem);
    *cert = (struct owm_cert){0};
}

owm_status owm_cert_public_key(const char *pem, size_t pem_bytes, uint8_t public_key[static 32])
{
    uint8_t raw[OWM_KEY_BYTES];
    size_t raw_bytes = sizeof raw;
    if (!pem || pem_bytes == 0 || pem_bytes > PEM_BYTES_MAX) return OWM_E_PROTO;
    BIO *bio = BIO_new_mem_buf(pem, (int)pem_bytes);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    EVP_PKEY *key = cert ? X509_get0_pubkey(cert) : NULL;
    bool good = key && EVP_PKEY_id(key) == EVP_PKEY_ED25519
                && EVP_PKEY_get_raw_public_key(key, raw, &raw_bytes) == 1
                && raw_bytes == sizeof raw;
    if (good) memcpy(public_key, raw, sizeof raw);
    X509_free(cert);
    BIO_free(bio);
    return good ? OWM_OK : OWM_E_PROTO;
}
