/* assess.h: what the treasury's channels with one peer are worth as its stake (SRS-STAKE-01).
 *
 * The rule (docs/proof-of-stake.md), channel by channel:
 *   1. The peer opened it. What the treasury funds is the treasury's, wherever it was moved.
 *   2. It is open and in good order, and its funding has `confirmations` blocks. A channel that is
 *      used before it is confirmed has none.
 *   3. The peer's settled balance counts, gross of what an opener pays for the commitment. What is
 *      in HTLCs is nobody's yet; what was pushed to the treasury is the treasury's.
 * Whether the peer is online does not matter. Nothing counts twice, so that the stakes of all peers
 * together are never more than the capacity of the channels.
 */
#ifndef OWM_STAKE_ASSESS_H
#define OWM_STAKE_ASSESS_H

#include "base/lightning/lightning.h"

#define OWM_STAKE_NOTE_BYTES 240

struct owm_stake_reading {
    int64_t stake_sats;    /* counts now */
    int64_t pending_sats;  /* will count once it is confirmed */
    uint32_t channels;     /* with this peer: open or opening */
    uint32_t counted;      /* of them count */
    uint32_t blocks_to_go; /* until the next pending one counts; 0: none waits */
    bool left;             /* no channel of its own is there any more, and its newest one was
                                  closed by it or together */
    char note[OWM_STAKE_NOTE_BYTES]; /* "2 channels: 1 counted; 9c0d1e2f…:0 is not (the treasury
                                        opened it)" */
};

/** owm_stake_assess: judge the channels of one peer.
 *
 *  channels       [count] by funding point, as owm_lightning_channels gives them; those of other
 *                 peers are passed over. Closed ones matter for `left` only.
 *  confirmations  1 or more.
 */
void owm_stake_assess(const struct owm_lightning_channel *channels, size_t count,
                      const uint8_t peer[static OWM_LIGHTNING_KEY_BYTES], uint32_t confirmations,
                      struct owm_stake_reading *reading);

/** owm_stake_channel_msat: what this one counts for; 0 if it does not. owm_stake_is_waiting:
 *  whether it will, once it has its confirmations. */
int64_t owm_stake_channel_msat(const struct owm_lightning_channel *channel, uint32_t confirmations);
bool owm_stake_is_waiting(const struct owm_lightning_channel *channel, uint32_t confirmations);

#endif
