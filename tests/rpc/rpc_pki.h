/* rpc_pki.h: throw-away self-signed certificates for the rpc tests. */
#ifndef TESTS_RPC_PKI_H
#define TESTS_RPC_PKI_H

#include <stdbool.h>
#include <stdint.h>

struct pki {
    char certificate_pem[4096];
    char key_pem[4096];
    uint8_t public_key[32]; /* Ed25519 only */
};

/** pki_make: a certificate for `name` with an Ed25519 or, to be refused, a P-256 key. Aborts if
 *  OpenSSL cannot. */
void pki_make(struct pki *pki, const char *name, bool ed25519);

#endif
