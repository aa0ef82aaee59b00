-- Federated learning: rounds, who took part, and the checkpoints that came out.
CREATE TABLE fl_rounds (
    round_id             serial PRIMARY KEY,                  -- We give it the round's number.
    round_number         integer NOT NULL UNIQUE,
    status               text NOT NULL DEFAULT 'open'
                         CHECK (status IN ('open', 'aggregating', 'complete', 'failed')),
    base_version         text NOT NULL,
    base_hash            bytea NOT NULL CHECK (length(base_hash) = 32),
    base_bytes           bigint NOT NULL,
    model_version        text,
    checkpoint_hash      text,
    certificate_hash     text,
    heldout_before       double precision,                    -- Bits per byte.
    heldout_after        double precision,
    ots_proof_path       text,
    btc_block            integer,
    started_at           timestamptz DEFAULT now(),
    deadline_at          timestamptz,
    completed_at         timestamptz,
    participant_count    integer,                             -- Included ones.
    invited              integer NOT NULL DEFAULT 0,
    received             integer NOT NULL DEFAULT 0,
    aggregate_attempts   integer NOT NULL DEFAULT 0,
    bytes_down           bigint NOT NULL DEFAULT 0,           -- Checkpoints served meanwhile.
    reason               text NOT NULL DEFAULT ''
);

CREATE TABLE fl_participants (
    round_id             integer REFERENCES fl_rounds (round_id),
    node_id              uuid REFERENCES nodes (node_id),
    public_key           bytea NOT NULL CHECK (length(public_key) = 32),
    task_id              uuid NOT NULL,
    nonce                bytea NOT NULL CHECK (length(nonce) = 16),
    tier                 text NOT NULL,
    state                text NOT NULL
                         CHECK (state IN ('invited', 'received', 'verified', 'included', 'rejected',
                                          'late', 'missing')),
    reason               text NOT NULL DEFAULT '',
    gradient_hash        text,
    package_bytes        bigint NOT NULL DEFAULT 0,
    train_loss_first     double precision,
    train_loss_last      double precision,
    tokens               bigint NOT NULL DEFAULT 0,
    arrived_at           timestamptz,
    weight               double precision NOT NULL DEFAULT 0,
    anomaly_flagged      boolean DEFAULT false,
    reward_sats          integer,
    reward_msat          bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (round_id, node_id)
);
-- One package counts once, in one round (a replay by another node or in another round cannot).
CREATE UNIQUE INDEX idx_participants_package ON fl_participants (gradient_hash)
    WHERE state = 'included';

CREATE TABLE model_versions (
    version_id           text PRIMARY KEY,
    round_number         integer REFERENCES fl_rounds (round_number),  -- NULL: the first checkpoint.
    created_at           timestamptz DEFAULT now(),
    model_hash           bytea NOT NULL CHECK (length(model_hash) = 32),
    model_bytes          bigint NOT NULL,
    heldout              double precision,
    sub_model_hashes     jsonb,
    ots_proof_paths      jsonb,
    btc_block            integer,
    coordinator_sig      text,
    manifest             text,
    is_current           boolean DEFAULT false
);
CREATE UNIQUE INDEX idx_model_current ON model_versions (is_current) WHERE is_current;
