/* session_internal.h: what the files of session.h share. */
#ifndef OWM_MINE_SESSION_INTERNAL_H
#define OWM_MINE_SESSION_INTERNAL_H

#include "dataplane/sv2/node_auth.h"
#include "dataplane/sv2/noise.h"
#include "session.h"

enum step {
    STEP_HANDSHAKE,
    STEP_SETUP,
    STEP_EXTENSIONS,
    STEP_NODE_AUTH,
    STEP_OPENING,
    STEP_MINING,
};

#define SUBMITS_KEPT 64 /* For the time between submit and answer. */

struct submit_time {
    uint32_t sequence;
    int64_t at_ms;
};

struct owm_mine_session {
    struct owm_mine_session_options options;
    struct owm_mine_session_events events;
    enum step step;
    int64_t step_ms, heard_ms; /* Begin of this step; last frame. */
    int64_t now_ms;            /* Of the call that runs. */

    struct owm_sv2_initiator initiator;
    struct owm_sv2_transport transport;
    uint8_t handshake_hash[32], authority[32];
    uint8_t *input; /* [input_max] what came and makes no whole frame yet. */
    size_t input_bytes, input_max;
    uint8_t output[OWM_MINE_OUT_BYTES];
    size_t output_bytes;

    bool proven, fixed_version, wants_extended;
    uint32_t channel_id, group_id, sequence;
    uint8_t target[32], extranonce_prefix[OWM_SV2_EXTRANONCE_BYTES_MAX];
    uint32_t prefix_bytes, rolled_bytes;
    double told_rate;

    struct owm_mine_work *future[OWM_MINE_JOBS_MAX];
    uint32_t future_next;
    struct owm_sv2_set_prev_hash tip; /* Of the jobs that are for now. */
    bool has_tip;
    int64_t tip_ms; /* When it came. */
    uint64_t generation, tip_count;
    struct submit_time submits[SUBMITS_KEPT];
};

/* session.c */
/** put: encode a message with its writer into a frame and queue it. OWM_E_LIMIT: output full. */
typedef size_t (*message_writer)(uint8_t *out, size_t max, const void *message);
struct message_kind {
    message_writer write;
    uint16_t extension;
    uint8_t type;
};
#define MESSAGE_KIND(name)                                                                         \
    (struct message_kind)                                                                          \
    {                                                                                              \
        (message_writer)(void (*)(void)) owm_sv2_write_##name, OWM_SV2_FRAME_EXT_##name,           \
            OWM_SV2_TYPE_##name                                                                    \
    }
owm_status session_put(struct owm_mine_session *session, struct message_kind kind,
                       const void *message);
void session_step(struct owm_mine_session *session, enum step step);
/** session_text: a view as a terminated, printable text of at most OWM_MINE_CODE_BYTES. */
void session_text(struct owm_sv2_view view, char text[OWM_MINE_CODE_BYTES]);

/* session_setup.c: everything before the first job. */
owm_status session_act2(struct owm_mine_session *session, const uint8_t act2[OWM_SV2_ACT2_BYTES],
                        struct owm_error *error);
owm_status session_setup_frame(struct owm_mine_session *session, const struct owm_sv2_frame *frame,
                               struct owm_error *error);
/** session_go_on: the pool has nothing to say about extensions; open the channel without. */
owm_status session_go_on(struct owm_mine_session *session);

/* session_jobs.c: jobs, targets, answers to shares. */
owm_status session_mining_frame(struct owm_mine_session *session, const struct owm_sv2_frame *frame,
                                struct owm_error *error);
void session_drop_jobs(struct owm_mine_session *session);

#endif
