-- Milliseconds since 1970, as the programs count time.
CREATE FUNCTION time_of(ms bigint) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT 'epoch'::timestamptz + ms * interval '1 millisecond';
$$;

CREATE FUNCTION ms_of(t timestamptz) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce((extract(epoch FROM t) * 1000)::bigint, 0);
$$;

-- Accounts: whom shares are credited to. The treasury is one, with an id of zeros. Money is counted in
-- picosats (1e-12 sat), whole numbers. What has been earned and not yet become a payment is the balance.
CREATE TABLE accounts (
    account      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    miner_id     bytea NOT NULL UNIQUE CHECK (length(miner_id) = 16),
    kind         smallint NOT NULL CHECK (kind IN (0, 1, 2)), -- A name, a node's key, the treasury.
    name         text NOT NULL,
    earned_psat  numeric(60, 0) NOT NULL DEFAULT 0,
    paid_psat    numeric(60, 0) NOT NULL DEFAULT 0 CHECK (paid_psat >= 0),
    owed_since   timestamptz,                                 -- When the oldest unpaid share came.
    shares       bigint NOT NULL DEFAULT 0,
    hashes       numeric(40, 0) NOT NULL DEFAULT 0,
    first_at     timestamptz NOT NULL,
    last_at      timestamptz,
    CHECK (earned_psat >= paid_psat)
);
CREATE INDEX idx_accounts_owed ON accounts (owed_since) WHERE owed_since IS NOT NULL;
CREATE INDEX idx_accounts_rich ON accounts ((earned_psat - paid_psat)) WHERE earned_psat > paid_psat;
INSERT INTO accounts (miner_id, kind, name, first_at)
VALUES (decode(repeat('00', 16), 'hex'), 2, 'treasury', now());

CREATE TABLE workers (
    worker       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account      integer NOT NULL REFERENCES accounts,
    worker_id    bytea NOT NULL CHECK (length(worker_id) = 8),
    name         text NOT NULL,
    shares       bigint NOT NULL DEFAULT 0,
    hashes       numeric(40, 0) NOT NULL DEFAULT 0,
    first_at     timestamptz NOT NULL,
    last_at      timestamptz,
    UNIQUE (account, worker_id)
);

-- A tip is the block that a share builds on. Its day, the day of the first share on it, is the day of
-- all its shares: the hash of a share covers its tip, so the same hash can only come again on the same
-- day, and one unique index per day finds it (pool/feeder.h).
CREATE TABLE tips (
    tip          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    previous     bytea NOT NULL UNIQUE CHECK (length(previous) = 32),
    day          date NOT NULL
);
CREATE INDEX idx_tips_day ON tips (day);

-- What fixes the price of a share, so that anyone can compute it again (view share_prices).
CREATE TABLE bases (
    basis            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tip              integer NOT NULL REFERENCES tips ON DELETE CASCADE,
    height           integer NOT NULL,
    bits             bigint NOT NULL,
    network_hashes   numeric(80, 0) NOT NULL CHECK (network_hashes > 0),
    subsidy_sats     bigint NOT NULL,
    fees_sats        bigint NOT NULL,
    pay_basis_points integer NOT NULL CHECK (pay_basis_points BETWEEN 0 AND 10000),
    UNIQUE (tip, height, bits, subsidy_sats, fees_sats, pay_basis_points)
);

-- One partition per day, made ahead and dropped when its last share is older than the retention.
CREATE TABLE shares (
    day          date NOT NULL,
    hash         bytea NOT NULL,
    accepted_at  timestamptz NOT NULL,
    hashes       numeric(20, 0) NOT NULL,
    account      integer NOT NULL,
    worker       integer NOT NULL,
    basis        integer NOT NULL,
    block        boolean NOT NULL,
    PRIMARY KEY (day, hash)
) PARTITION BY RANGE (day);

CREATE VIEW share_prices AS
SELECT s.*, p.whole_psat, div(p.whole_psat * b.pay_basis_points, 10000) AS miner_psat
  FROM shares s JOIN bases b USING (basis),
       LATERAL (SELECT least(div((b.subsidy_sats::numeric + b.fees_sats) * 1000000000000 * s.hashes,
                                 b.network_hashes), 79228162514264337593543950336) AS whole_psat) p;

-- What each account was credited with for the shares of a day; kept for ever.
CREATE TABLE credits (
    day          date NOT NULL,
    account      integer NOT NULL REFERENCES accounts,
    shares       bigint NOT NULL,
    hashes       numeric(40, 0) NOT NULL,
    psat         numeric(60, 0) NOT NULL,
    PRIMARY KEY (day, account)
);
CREATE INDEX idx_credits_account ON credits (account);

-- Work by five minutes, for hashrates.
CREATE TABLE work (
    slot         timestamptz NOT NULL,
    worker       integer NOT NULL,
    account      integer NOT NULL,
    shares       bigint NOT NULL,
    hashes       numeric(40, 0) NOT NULL,
    PRIMARY KEY (slot, worker)
);
CREATE INDEX idx_work_account ON work (account, slot);
CREATE TABLE work_hours (
    hour         timestamptz PRIMARY KEY,
    shares       bigint NOT NULL,
    hashes       numeric(40, 0) NOT NULL
);

-- How far each segment of a journal has come into this database: moved in the transaction that brings
-- its shares, so that each share is counted exactly once.
CREATE TABLE journal_segments (
    segment_id   uuid PRIMARY KEY,
    loop         integer NOT NULL,
    number       bigint NOT NULL,
    fed_bytes    bigint NOT NULL,
    fed_shares   bigint NOT NULL DEFAULT 0,
    new_shares   bigint NOT NULL DEFAULT 0,
    complete     boolean NOT NULL DEFAULT false,
    trouble      text NOT NULL DEFAULT '',
    updated_at   timestamptz NOT NULL DEFAULT now()
);

-- Blocks that miners of the pool have found.
CREATE TABLE blocks (
    hash          bytea PRIMARY KEY CHECK (length(hash) = 32),
    found_at      timestamptz NOT NULL,
    height        integer,
    account       integer REFERENCES accounts,
    worker        integer REFERENCES workers,
    reward_sats   bigint,                                  -- Of its coinbase.
    fate          text NOT NULL DEFAULT 'unknown' CHECK (fate IN ('unknown', 'active', 'orphaned')),
    confirmations integer NOT NULL DEFAULT 0,
    updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_blocks_found ON blocks (found_at DESC);
CREATE TABLE block_submissions (
    hash         bytea NOT NULL REFERENCES blocks,
    node         text NOT NULL,
    accepted     boolean NOT NULL,
    reason       text NOT NULL,
    at           timestamptz NOT NULL,
    PRIMARY KEY (hash, node)
);

CREATE TABLE share_days (
    day          date PRIMARY KEY,
    newest       timestamptz                                  -- Of its shares; NULL: none yet.
);
CREATE FUNCTION share_day_name(of date) RETURNS text LANGUAGE sql AS $$
    SELECT 'shares_' || to_char(of, 'YYYYMMDD');
$$;
CREATE FUNCTION make_share_day(of date) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass(share_day_name(of)) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF shares FOR VALUES FROM (%L) TO (%L)',
                       share_day_name(of), of, of + 1);
        INSERT INTO share_days (day) VALUES (of);
    END IF;
END $$;

-- Drops the days whose last share is older than `cut`, with the tips and bases that only they used.
CREATE FUNCTION drop_share_days(cut timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    old date;
    dropped integer := 0;
BEGIN
    FOR old IN SELECT day FROM share_days
                WHERE day < (cut AT TIME ZONE 'UTC')::date AND (newest IS NULL OR newest < cut) LOOP
        EXECUTE format('DROP TABLE %I', share_day_name(old));
        DELETE FROM tips WHERE day = old;
        DELETE FROM share_days WHERE day = old;
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;
