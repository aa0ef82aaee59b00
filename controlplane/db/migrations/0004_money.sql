-- Promise 1: whatever is payable is a row here, written in the transaction that earned it, with the
-- payment hash fixed before the first attempt.
CREATE TABLE payments (
    payment_id           uuid PRIMARY KEY,
    source_id            uuid NOT NULL,                       -- The task that earned it.
    purpose              text NOT NULL,
    node_id              uuid NOT NULL REFERENCES nodes (node_id),
    amount_msat          bigint NOT NULL CHECK (amount_msat > 0),
    round_number         integer,
    payment_hash         bytea NOT NULL UNIQUE CHECK (length(payment_hash) = 32),
    state                text NOT NULL DEFAULT 'owed'
                         CHECK (state IN ('owed', 'in_flight', 'settled', 'failed')),
    settled_msat         bigint NOT NULL DEFAULT 0 CHECK (settled_msat BETWEEN 0 AND amount_msat),
    preimage             bytea CHECK (sha256(preimage) = payment_hash),
    reason               text NOT NULL DEFAULT '',
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL DEFAULT now(),
    UNIQUE (source_id, purpose),
    CHECK ((state = 'settled') = (preimage IS NOT NULL)),
    CHECK (state = 'settled' OR settled_msat = 0)
);
CREATE INDEX idx_payments_node ON payments (node_id, created_at DESC);
CREATE INDEX idx_payments_open ON payments (created_at) WHERE state IN ('owed', 'in_flight');

-- Only the progress of a payment changes, never what it is; and a settled one never again.
CREATE FUNCTION payments_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'payments are never deleted' USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state = 'settled'
       OR (NEW.payment_id, NEW.source_id, NEW.purpose, NEW.node_id, NEW.amount_msat, NEW.payment_hash,
           NEW.created_at)
          IS DISTINCT FROM
          (OLD.payment_id, OLD.source_id, OLD.purpose, OLD.node_id, OLD.amount_msat, OLD.payment_hash,
           OLD.created_at) THEN
        RAISE EXCEPTION 'a payment does not change what it pays' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payments_guard BEFORE UPDATE OR DELETE ON payments
    FOR EACH ROW EXECUTE FUNCTION payments_guard();
CREATE TRIGGER payments_keep BEFORE TRUNCATE ON payments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
