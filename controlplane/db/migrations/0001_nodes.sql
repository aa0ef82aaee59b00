-- Who takes part: architecture section 4, and what a restarted coordinator must know.
CREATE TABLE nodes (
    node_id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    public_key           text NOT NULL UNIQUE CHECK (public_key ~ '^[0-9a-f]{64}$'),
    ln_node_uri          text NOT NULL,
    onion_address        text NOT NULL DEFAULT '',
    alias                text NOT NULL DEFAULT '',
    tier                 text NOT NULL CHECK (tier IN ('t1', 't2', 't3')),
    tier_overridden      boolean NOT NULL DEFAULT false,
    vram_gb              numeric(6, 2),
    ram_gb               numeric(6, 2),
    bandwidth_mbps       numeric(8, 2),
    task_types           integer NOT NULL DEFAULT 0,          -- Bit set of the types it supports.
    slots                integer NOT NULL DEFAULT 1,
    device               text NOT NULL DEFAULT '',
    backend              text NOT NULL DEFAULT '',
    manifest_sequence    bigint NOT NULL DEFAULT 0,
    manifest_at          timestamptz,
    reliability          numeric(5, 4) DEFAULT 1.0 CHECK (reliability BETWEEN 0 AND 1),
    reliability_ppm      integer NOT NULL DEFAULT 1000000,
    reliability_window   bytea,                               -- 28 buckets of 6 hours.
    total_tasks          integer DEFAULT 0,
    total_sats           bigint DEFAULT 0,
    earned_msat          bigint NOT NULL DEFAULT 0 CHECK (earned_msat >= 0),
    stake_sats           bigint NOT NULL DEFAULT 0,
    signals              integer NOT NULL DEFAULT 0,
    cooldown_until       timestamptz,
    status               text NOT NULL DEFAULT 'pending'
                         CHECK (status IN ('pending', 'active', 'degraded', 'suspended')),
    status_reason        text NOT NULL DEFAULT '',
    registered_at        timestamptz DEFAULT now(),
    last_heartbeat       timestamptz
) WITH (fillfactor = 50);                                     -- Heartbeats update in place.

CREATE TABLE node_stakes (
    node_id              uuid PRIMARY KEY REFERENCES nodes (node_id),
    channel_id           text NOT NULL UNIQUE,
    channel_capacity     bigint NOT NULL,
    local_balance        bigint NOT NULL,
    tier_minimum         bigint NOT NULL,
    bonus_multiplier     numeric(4, 3) DEFAULT 1.0,
    stake_status         text NOT NULL DEFAULT 'active'
                         CHECK (stake_status IN ('active', 'degraded', 'force_closed')),
    opened_at            timestamptz DEFAULT now(),
    last_verified_at     timestamptz DEFAULT now(),
    degraded_since       timestamptz
);

-- One coordinator decides at a time. Whoever takes over counts the epoch up, so that one that lost
-- its connection meanwhile knows its memory is out of date.
CREATE TABLE coordinator_state (
    only_row             boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch                bigint NOT NULL
);
INSERT INTO coordinator_state (epoch) VALUES (0);

CREATE INDEX idx_nodes_status ON nodes (status);
CREATE INDEX idx_nodes_pubkey ON nodes (public_key);

-- What is history stays as it was written (SRS-SCHED-06, SRS-LN-13).
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
