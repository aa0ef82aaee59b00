-- How what is owed leaves: attempts, each written before its call, and what their end was (SRS-LN-05).
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
CREATE INDEX idx_payments_due ON payments (node_id, created_at) WHERE state = 'owed';
CREATE INDEX idx_payments_flying ON payments (node_id) WHERE state = 'in_flight';
CREATE INDEX idx_payments_changed ON payments (node_id, updated_at DESC);
CREATE INDEX idx_payments_newest ON payments (created_at DESC, payment_id DESC);

CREATE TABLE payment_attempts (
    payment_id     uuid NOT NULL REFERENCES payments,
    number         integer NOT NULL CHECK (number > 0),
    source_id      uuid NOT NULL,                         -- The task.
    payee          text NOT NULL,                         -- The node's id.
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
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Only the progress of a payment changes, never what it is; a settled one never again; and while an
-- attempt is alive it is in flight, whoever thinks otherwise. What is cancelled was proven false and not
-- paid; if that is overturned it is owed again.
CREATE OR REPLACE FUNCTION payments_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'payments are never deleted' USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state = 'settled'
       OR (NEW.payment_id, NEW.source_id, NEW.purpose, NEW.node_id, NEW.amount_msat, NEW.payment_hash,
           NEW.created_at)
          IS DISTINCT FROM
          (OLD.payment_id, OLD.source_id, OLD.purpose, OLD.node_id, OLD.amount_msat, OLD.payment_hash,
           OLD.created_at) OR NEW.attempts < OLD.attempts THEN
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

-- A channel to a node, from us (SRS-LN-03): asked for once, and written down before it is.
CREATE TABLE reward_channels (
    node_id       uuid PRIMARY KEY REFERENCES nodes (node_id),
    peer          bytea NOT NULL CHECK (length(peer) = 33),
    capacity_sats bigint NOT NULL CHECK (capacity_sats > 0),
    state         text NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'opened', 'failed')),
    channel_point text NOT NULL DEFAULT '',
    reason        text NOT NULL DEFAULT '',
    asked_at      timestamptz NOT NULL DEFAULT now()
);

-- What others pay us: the hash follows from source and purpose, so asking twice is asking once.
CREATE TABLE invoices (
    invoice_id   uuid PRIMARY KEY,
    source_id    uuid NOT NULL,
    purpose      text NOT NULL,
    payment_hash bytea NOT NULL UNIQUE CHECK (length(payment_hash) = 32),
    asked_msat   bigint NOT NULL CHECK (asked_msat > 0),
    paid_msat    bigint NOT NULL DEFAULT 0 CHECK (paid_msat >= 0), -- Payers may pay more than is asked.
    memo         text NOT NULL DEFAULT '',
    invoice      text,                                             -- Once the node has made it.
    state        text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'settled', 'cancelled')),
    settle_index bigint,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    UNIQUE (source_id, purpose),
    CHECK ((state = 'settled') = (paid_msat > 0)),
    CHECK ((state = 'open') = (ended_at IS NULL))
);
CREATE INDEX idx_invoices_open ON invoices (created_at) WHERE state = 'open';

-- Up to where settled invoices have been credited; it grows in the transaction of the credit.
CREATE TABLE invoice_cursor (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    settle_index bigint NOT NULL DEFAULT 0
);
INSERT INTO invoice_cursor DEFAULT VALUES;
