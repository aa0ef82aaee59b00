-- Stake: which Lightning key stands for a node, what was last read of it, and its channels.
ALTER TABLE nodes
    -- One key, one node. Checked at COMMIT, because keys may change hands within a transaction.
    ADD COLUMN ln_key         bytea CHECK (length(ln_key) = 33) -- NULL: none.
                              UNIQUE DEFERRABLE INITIALLY DEFERRED,
    ADD COLUMN payout_to      text NOT NULL DEFAULT '',       -- '' or 'keysend': to ln_node_uri.
    ADD COLUMN stake_read_at  timestamptz,                    -- When the treasury was last asked.
    ADD COLUMN degraded_since timestamptz;                    -- SRS-STAKE-03 counts from here.
UPDATE nodes SET degraded_since = now() WHERE status = 'degraded';
ALTER TABLE nodes ADD CHECK ((status = 'degraded') = (degraded_since IS NOT NULL));

-- A row per channel, written by the stake manager: a node may have several, and what became of a
-- closed one is kept. channel_id is the funding output, "txid:index"; local_balance what it counted
-- for, in sats.
ALTER TABLE node_stakes
    DROP CONSTRAINT node_stakes_pkey,
    DROP CONSTRAINT node_stakes_channel_id_key,
    DROP CONSTRAINT node_stakes_stake_status_check,
    ALTER COLUMN node_id SET NOT NULL,
    ADD PRIMARY KEY (channel_id),
    ADD CHECK (stake_status IN
               ('active', 'degraded', 'pending', 'not_counted', 'closed', 'force_closed'));
CREATE INDEX idx_stakes_node ON node_stakes (node_id);
