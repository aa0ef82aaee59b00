/* client.h: questions to a coordinator's internal service, with the operator's key.
 *
 * Replies are protobuf messages of proto/internal.proto; the caller frees them with the generated
 * …__free_unpacked(reply, NULL). Thread: one.
 */
#ifndef OWM_DEVNET_CLIENT_H
#define OWM_DEVNET_CLIENT_H

#include <internal.pb-c.h>
#include <stdbool.h>

#include "base/status.h"

struct client;

/** client_open: target "127.0.0.1:9001"; the files are the coordinator's certificate and the
 *  operator's key, both made by `./owm up` in its run folder. */
owm_status client_open(struct client **client, const char *target, const char *certificate_path,
                       const char *key_path, struct owm_error *error) OWM_MUST_USE;
void client_close(struct client *client);

/** Unary questions. Returns: OWM_E_NET the coordinator is away; OWM_E_PROTO; others as rpc.h. */
owm_status client_network(struct client *client, Owm__Internal__V1__NetworkStatusResponse **reply,
                          struct owm_error *error) OWM_MUST_USE;
owm_status client_rounds(struct client *client, uint32_t since,
                         Owm__Internal__V1__ListRoundsResponse **reply,
                         struct owm_error *error) OWM_MUST_USE;
owm_status client_versions(struct client *client, uint32_t limit,
                           Owm__Internal__V1__ListVersionsResponse **reply,
                           struct owm_error *error) OWM_MUST_USE;
owm_status client_audit(struct client *client, Owm__Internal__V1__AuditResponse **reply,
                        struct owm_error *error) OWM_MUST_USE;

/** client_question: what `ask` wants to know. */
struct client_question {
    const char *prompt;
    unsigned tokens_max;
    float temperature;
    uint64_t seed;
};

/** client_event: called for each event of the task; false stops watching. */
typedef bool (*client_event)(void *ctx, const Owm__Internal__V1__TaskEvent *event);

/** client_ask: submit an inference task and watch it until it ends.
 *  Returns: OWM_E_STATE the coordinator refused or the task failed (the error says why). */
owm_status client_ask(struct client *client, const struct client_question *question,
                      client_event on_event, void *ctx, struct owm_error *error) OWM_MUST_USE;

#endif
