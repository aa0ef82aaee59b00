/* rpc_pki.c: throw-away self-signed certificates for the rpc tests. */
#include "rpc_pki.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"

static void pem_text(BIO *bio, char *text, size_t size)
{
    int length = BIO_read(bio, text, (int)size - 1);
    OWM_ASSERT(length > 0);
    text[length] = 0;
    BIO_free(bio);
}

static X509 *certificate_make(EVP_PKEY *key, const char *name, bool ed25519)
{
    X509 *certificate = X509_new();
    OWM_ASSERT(certificate);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0);
    X509_set_issuer_name(certificate, subject);
    X509_set_pubkey(certificate, key);
    char san[128];
    snprintf(san, sizeof san, "DNS:%s", name);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    OWM_ASSERT(X509_sign(certificate, key, ed25519 ? NULL : EVP_sha256()) > 0);
    return certificate;
}

void pki_make(struct pki *pki, const char *name, bool ed25519)
{
    memset(pki, 0, sizeof *pki);
    EVP_PKEY *key = ed25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") : EVP_EC_gen("P-256");
    OWM_ASSERT(key);
    size_t length = sizeof pki->public_key;
    if (ed25519) OWM_ASSERT(EVP_PKEY_get_raw_public_key(key, pki->public_key, &length) == 1);
    X509 *certificate = certificate_make(key, name, ed25519);
    BIO *bio = BIO_new(BIO_s_mem());
    OWM_ASSERT(PEM_write_bio_X509(bio, certificate) == 1);
    pem_text(bio, pki->certificate_pem, sizeof pki->certificate_pem);
    bio = BIO_new(BIO_s_mem());
    OWM_ASSERT(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
    pem_text(bio, pki->key_pem, sizeof pki->key_pem);
    X509_free(certificate);
    EVP_PKEY_free(key);
}
