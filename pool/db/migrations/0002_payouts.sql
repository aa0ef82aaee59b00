-- Promise 1: whatever is payable is a row here, written in the transaction that takes it off the balance,
-- with the payment hash fixed before the first attempt. A batch pays miners and the treasury together.
CREATE TABLE payout_batches (
    batch_id     uuid PRIMARY KEY,
    created_at   timestamptz NOT NULL,
    miners       integer NOT NULL,
    miner_msat   bigint NOT NULL,
    treasury_msat bigint NOT NULL
);
CREATE INDEX idx_payout_batches_created ON payout_batches (created_at DESC);

CREATE TABLE payments (
    payment_id   uuid PRIMARY KEY,
    source_id    uuid NOT NULL,                            -- Derived from batch and account.
    purpose      text NOT NULL CHECK (purpose IN ('pool_payout', 'pool_treasury')),
    batch_id     uuid NOT NULL REFERENCES payout_batches,
    account      integer NOT NULL REFERENCES accounts,
    amount_msat  bigint NOT NULL CHECK (amount_msat > 0 AND amount_msat % 1000 = 0),
    payment_hash bytea NOT NULL UNIQUE CHECK (length(payment_hash) = 32),
    state        text NOT NULL DEFAULT 'owed'
                 CHECK (state IN ('owed', 'in_flight', 'settled', 'failed')),
    settled_msat bigint NOT NULL DEFAULT 0 CHECK (settled_msat BETWEEN 0 AND amount_msat),
    preimage     bytea CHECK (sha256(preimage) = payment_hash),
    reason       text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (source_id, purpose),
    UNIQUE (batch_id, account),
    CHECK ((state = 'settled') = (preimage IS NOT NULL)),
    CHECK (state = 'settled' OR settled_msat = 0)
);
CREATE INDEX idx_payments_account ON payments (account, created_at DESC);
CREATE INDEX idx_payments_open ON payments (created_at) WHERE state <> 'settled';

-- Only the progress of a payment changes, never what it is; a settled one never again. From 'failed' it
-- may become 'owed' again: the money is still the miner's.
CREATE FUNCTION payments_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'payments are never deleted' USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state = 'settled'
       OR (NEW.payment_id, NEW.source_id, NEW.purpose, NEW.batch_id, NEW.account, NEW.amount_msat,
           NEW.payment_hash, NEW.created_at)
          IS DISTINCT FROM
          (OLD.payment_id, OLD.source_id, OLD.purpose, OLD.batch_id, OLD.account, OLD.amount_msat,
           OLD.payment_hash, OLD.created_at) THEN
        RAISE EXCEPTION 'a payment does not change what it pays' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payments_guard BEFORE UPDATE OR DELETE ON payments
    FOR EACH ROW EXECUTE FUNCTION payments_guard();

CREATE FUNCTION refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is never emptied', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER payments_keep BEFORE TRUNCATE ON payments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER credits_keep BEFORE TRUNCATE ON credits
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER accounts_keep BEFORE TRUNCATE ON accounts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
