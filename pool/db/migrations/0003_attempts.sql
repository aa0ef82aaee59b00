-- How what is owed leaves: attempts, each written before its call, and what their end was. The sender is
-- owm-coordinator, where it knows this database.
ALTER TABLE payments
    DROP CONSTRAINT payments_check1,
    DROP CONSTRAINT payments_state_check,
    ADD COLUMN settled_hash    bytea CHECK (length(settled_hash) = 32), -- Of the invoice that was paid.
    ADD COLUMN attempts        integer NOT NULL DEFAULT 0,
    ADD COLUMN failures        integer NOT NULL DEFAULT 0,              -- In a row; they set the pause.
    ADD COLUMN next_attempt_at timestamptz NOT NULL DEFAULT 'epoch',
    ADD CONSTRAINT payments_proof CHECK (sha256(preimage) = coalesce(settled_hash, payment_hash)),
    ADD CONSTRAINT payments_states
        CHECK (state IN ('owed', 'in_flight', 'settled', 'failed', 'cancelled'));
CREATE INDEX idx_payments_due ON payments (account, created_at) WHERE state = 'owed';
CREATE INDEX idx_payments_flying ON payments (account) WHERE state = 'in_flight';

CREATE TABLE payment_attempts (
    payment_id     uuid NOT NULL REFERENCES payments,
    number         integer NOT NULL CHECK (number > 0),
    source_id      uuid NOT NULL,                         -- The payment's.
    payee          text NOT NULL,                         -- The account's name.
    kind           text NOT NULL CHECK (kind IN ('keysend', 'invoice', 'book')),
    payment_hash   bytea NOT NULL CHECK (length(payment_hash) = 32),
    destination    bytea CHECK (length(destination) = 33),
    invoice        text,
    expires_at     timestamptz,
    amount_msat    bigint NOT NULL CHECK (amount_msat > 0),
    fee_limit_msat bigint NOT NULL CHECK (fee_limit_msat BETWEEN 0 AND amount_msat),
    state          text NOT NULL DEFAULT 'sent' CHECK (state IN ('sent', 'succeeded', 'failed')),
    fee_msat       bigint NOT NULL DEFAULT 0 CHECK (fee_msat >= 0),
    reason         text NOT NULL DEFAULT '',
    started_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at       timestamptz,
    PRIMARY KEY (payment_id, number),
    CHECK ((state = 'sent') = (ended_at IS NULL)),
    CHECK ((kind = 'invoice') = (invoice IS NOT NULL AND expires_at IS NOT NULL)),
    CHECK ((kind = 'book') = (destination IS NULL))
);
-- Never two attempts of a payment at once; never an invoice for two payments.
CREATE UNIQUE INDEX idx_attempts_alive ON payment_attempts (payment_id) WHERE state = 'sent';
CREATE UNIQUE INDEX idx_attempts_invoice ON payment_attempts (payment_hash) WHERE kind = 'invoice';
CREATE INDEX idx_attempts_started ON payment_attempts (started_at);

CREATE FUNCTION attempts_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state <> 'sent'
       OR (NEW.payment_id, NEW.number, NEW.source_id, NEW.payee, NEW.kind, NEW.payment_hash, NEW.destination,
           NEW.invoice, NEW.expires_at, NEW.amount_msat, NEW.fee_limit_msat, NEW.started_at)
          IS DISTINCT FROM
          (OLD.payment_id, OLD.number, OLD.source_id, OLD.payee, OLD.kind, OLD.payment_hash, OLD.destination,
           OLD.invoice, OLD.expires_at, OLD.amount_msat, OLD.fee_limit_msat, OLD.started_at) THEN
        RAISE EXCEPTION 'an attempt gets its end once, and nothing else changes'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER attempts_guard BEFORE UPDATE OR DELETE ON payment_attempts
    FOR EACH ROW EXECUTE FUNCTION attempts_guard();
CREATE TRIGGER attempts_keep BEFORE TRUNCATE ON payment_attempts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();

-- Only the progress of a payment changes, never what it is; a settled one never again; and while an
-- attempt is alive it is in flight, whoever thinks otherwise. From 'failed' it may become 'owed' again: the
-- money is still the miner's.
CREATE OR REPLACE FUNCTION payments_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'payments are never deleted' USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state = 'settled'
       OR (NEW.payment_id, NEW.source_id, NEW.purpose, NEW.batch_id, NEW.account, NEW.amount_msat,
           NEW.payment_hash, NEW.created_at)
          IS DISTINCT FROM
          (OLD.payment_id, OLD.source_id, OLD.purpose, OLD.batch_id, OLD.account, OLD.amount_msat,
           OLD.payment_hash, OLD.created_at) OR NEW.attempts < OLD.attempts THEN
        RAISE EXCEPTION 'a payment does not change what it pays' USING ERRCODE = 'restrict_violation';
    END IF;
    IF (OLD.state = 'cancelled' AND NEW.state NOT IN ('cancelled', 'owed'))
       OR (NEW.state = 'cancelled' AND OLD.state NOT IN ('owed', 'failed', 'cancelled')) THEN
        RAISE EXCEPTION 'a payment that is % does not become %', OLD.state, NEW.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state <> 'in_flight' AND EXISTS (SELECT 1 FROM payment_attempts a
                                            WHERE a.payment_id = NEW.payment_id AND a.state = 'sent') THEN
        RAISE EXCEPTION 'an attempt of this payment is alive: it is in flight'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.settled_hash IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM payment_attempts a WHERE a.payment_id = NEW.payment_id
        AND a.payment_hash = NEW.settled_hash AND a.state = 'succeeded') THEN
        RAISE EXCEPTION 'no attempt of this payment succeeded with that hash'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

-- The dispatcher sleeps until something is owed.
CREATE FUNCTION payments_wake() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY owm_payments;
    RETURN NULL;
END $$;
CREATE TRIGGER payments_wake AFTER INSERT ON payments
    FOR EACH STATEMENT EXECUTE FUNCTION payments_wake();
