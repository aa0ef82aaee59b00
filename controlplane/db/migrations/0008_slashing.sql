-- Slashing cases: what maintainers decide on, what the coordinator signed, and what owm-slasher did.
-- The states and who moves a case from one to the next are in controlplane/slashing/case.h.
CREATE TABLE slash_cases (
    case_id              uuid PRIMARY KEY,
    node_id              uuid NOT NULL REFERENCES nodes (node_id),
    public_key           text NOT NULL CHECK (public_key ~ '^[0-9a-f]{64}$'),
    ln_key               bytea CHECK (length(ln_key) = 33),   -- NULL: none, nothing to evict.
    tier                 text NOT NULL CHECK (tier IN ('t1', 't2', 't3')),
    state                text NOT NULL DEFAULT 'open'
                         CHECK (state IN ('open', 'decided', 'evicting', 'closed', 'overturned', 'dismissed')),
    opened_at            timestamptz NOT NULL,
    decided_at           timestamptz,
    appeal_until         timestamptz,
    cooldown_until       timestamptz,
    reason               text NOT NULL DEFAULT '',
    bundle_hash          bytea CHECK (length(bundle_hash) = 32),     -- The evidence of the whole case, a blob.
    decision             bytea,                               -- The signed bytes: owm_decision_encode.
    decision_sig         bytea CHECK (length(decision_sig) = 64),
    enforced_at          timestamptz,                         -- The suspension was seen in nodes.
    ended_at             timestamptz,                         -- Closed, overturned or dismissed.
    reinstated_at        timestamptz,                         -- After overturned or dismissed.
    CHECK ((decision IS NULL) = (decision_sig IS NULL)),
    CHECK ((decision IS NULL) = (state IN ('open', 'dismissed')))
);
CREATE INDEX idx_slash_cases_node ON slash_cases (node_id);
CREATE INDEX idx_slash_cases_live ON slash_cases (opened_at)
    WHERE state IN ('open', 'decided', 'evicting') OR enforced_at IS NULL OR reinstated_at IS NULL;

-- A signal belongs to one case at most. What came after the case was sealed is on file, not counted.
CREATE TABLE slash_case_signals (
    signal_id            uuid PRIMARY KEY REFERENCES misbehavior_signals (signal_id),
    case_id              uuid NOT NULL REFERENCES slash_cases (case_id),
    counted              boolean NOT NULL
);
CREATE INDEX idx_slash_case_signals ON slash_case_signals (case_id);

-- What maintainers signed: one act of a kind from each.
CREATE TABLE slash_acts (
    case_id              uuid NOT NULL REFERENCES slash_cases (case_id),
    maintainer_key       bytea NOT NULL CHECK (length(maintainer_key) = 32),
    act                  text NOT NULL CHECK (act IN ('acknowledge', 'overturn', 'dismiss')),
    at                   timestamptz NOT NULL,
    reason               text NOT NULL DEFAULT '',
    signature            bytea NOT NULL CHECK (length(signature) = 64),
    PRIMARY KEY (case_id, act, maintainer_key)
);
CREATE TRIGGER slash_acts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON slash_acts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Owed rewards of work that was proven false, cancelled by a case; owed again if it is overturned.
CREATE TABLE slash_cancelled (
    payment_id           uuid PRIMARY KEY REFERENCES payments (payment_id),
    case_id              uuid NOT NULL REFERENCES slash_cases (case_id)
);

-- The one table that owm-slasher writes. A row is there, committed, before the node is asked to close.
-- channel_point '' says that the node had no channel to close.
CREATE TABLE slash_evictions (
    case_id              uuid NOT NULL REFERENCES slash_cases (case_id),
    channel_point        text NOT NULL CHECK (channel_point ~ '^([0-9a-f]{64}:[0-9]+)?$'),
    state                text NOT NULL DEFAULT 'want_close'
                         CHECK (state IN ('want_close', 'broadcast', 'confirmed')),
    closing_txid         text NOT NULL DEFAULT '' CHECK (closing_txid ~ '^([0-9a-f]{64})?$'),
    note                 text NOT NULL DEFAULT '',
    wanted_at            timestamptz NOT NULL DEFAULT now(),
    broadcast_at         timestamptz,
    confirmed_at         timestamptz,
    PRIMARY KEY (case_id, channel_point)
);

-- The public log (SRS-LN-13, SRS-STAKE-06): entry_hash = SHA-256(previous entry_hash, canonical entry),
-- coordinator_sig is over entry_hash. controlplane/slashing/log.h has the bytes.
ALTER TABLE slashing_events
    ADD COLUMN sequence      bigint NOT NULL UNIQUE CHECK (sequence > 0),
    ADD COLUMN kind          text NOT NULL CHECK (kind IN ('decision', 'eviction', 'overturn')),
    ADD COLUMN case_id       uuid NOT NULL REFERENCES slash_cases (case_id),
    ADD COLUMN detail        text NOT NULL DEFAULT '',
    ADD COLUMN previous_hash bytea NOT NULL CHECK (length(previous_hash) = 32),
    ADD COLUMN entry_hash    bytea NOT NULL UNIQUE CHECK (length(entry_hash) = 32),
    ADD UNIQUE (case_id, kind, channel_id);
