-- Misbehaviour, with evidence that anyone can replay, and what later issues write.
CREATE TABLE slashing_events (
    event_id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    node_id              uuid REFERENCES nodes (node_id),
    channel_id           text NOT NULL,
    tier                 text NOT NULL,
    reason               text NOT NULL,
    evidence_hash        text NOT NULL,
    signal_count         integer NOT NULL,
    executed_at          timestamptz DEFAULT now(),
    cooldown_expires_at  timestamptz NOT NULL,
    coordinator_sig      text NOT NULL
);
CREATE INDEX idx_slashing_node ON slashing_events (node_id);
CREATE TRIGGER slashing_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON slashing_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE misbehavior_signals (
    signal_id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    node_id              uuid REFERENCES nodes (node_id),
    signal_type          text NOT NULL,
    evidence_hash        text NOT NULL CHECK (evidence_hash ~ '^[0-9a-f]{64}$'),
    round_number         integer,
    task_id              uuid,
    detected_at          timestamptz DEFAULT now(),
    slashing_event       uuid REFERENCES slashing_events (event_id)
);
CREATE INDEX idx_signals_node ON misbehavior_signals (node_id, detected_at DESC);

CREATE TABLE bounties (
    bounty_id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    github_issue         text NOT NULL UNIQUE,
    github_repo          text NOT NULL,
    amount_sats          bigint NOT NULL,
    status               text NOT NULL DEFAULT 'open'
                         CHECK (status IN ('open', 'claimed', 'paid', 'expired')),
    claimed_by           text,
    merged_pr_url        text,
    created_at           timestamptz DEFAULT now(),
    paid_at              timestamptz,
    payment_preimage     text
);
