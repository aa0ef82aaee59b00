-- Bonds: what a node can really forfeit, beside its channel (docs/slashing.md). The states and who moves a
-- bond from one to the next are in controlplane/bonds/bonds.h.
CREATE TABLE bonds (
    bond_id       uuid PRIMARY KEY,
    node_id       uuid NOT NULL REFERENCES nodes (node_id),
    kind          text NOT NULL CHECK (kind IN ('hold', 'paid')),
    amount_msat   bigint NOT NULL CHECK (amount_msat > 0 AND amount_msat % 1000 = 0),
    state         text NOT NULL DEFAULT 'asked'
                  CHECK (state IN ('asked', 'held', 'paid', 'leaving', 'slashing', 'slashed', 'giving_back',
                                   'returned', 'expired')),
    payment_hash  bytea NOT NULL UNIQUE CHECK (length(payment_hash) = 32),
    invoice       text NOT NULL DEFAULT '',
    replaces      uuid REFERENCES bonds,                     -- Released once this one is held.
    case_id       uuid REFERENCES slash_cases (case_id),     -- That it was forfeited by.
    until_at      timestamptz,                               -- Asked: pay it before. Leaving: given back then.
    expiry_height bigint NOT NULL DEFAULT 0,                 -- Held: the HTLC's time is over at this block.
    taken         boolean NOT NULL DEFAULT false,            -- It was slashed: the treasury has the sats.
    reason        text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT now(),
    ended_at      timestamptz,
    CHECK ((ended_at IS NOT NULL) = (state IN ('slashed', 'returned', 'expired'))),
    CHECK (state NOT IN ('slashing', 'slashed', 'giving_back') OR case_id IS NOT NULL)
);
CREATE INDEX idx_bonds_node ON bonds (node_id, created_at DESC);
CREATE INDEX idx_bonds_live ON bonds (kind, state) WHERE ended_at IS NULL;

-- What a bond is stays; what has gone back is gone. One that was thought to be unpaid may turn out paid.
CREATE FUNCTION bonds_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state = 'returned'
       OR (OLD.state = 'expired' AND (OLD.kind, NEW.state) IS DISTINCT FROM ('paid', 'paid'))
       OR (OLD.state = 'slashed' AND NEW.state <> 'giving_back')
       OR (NEW.bond_id, NEW.node_id, NEW.kind, NEW.payment_hash, NEW.created_at)
          IS DISTINCT FROM (OLD.bond_id, OLD.node_id, OLD.kind, OLD.payment_hash, OLD.created_at)
       OR (OLD.state NOT IN ('asked', 'expired') AND NEW.amount_msat <> OLD.amount_msat) THEN
        RAISE EXCEPTION 'a bond does not change what it is, nor its end' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER bonds_guard BEFORE UPDATE OR DELETE ON bonds
    FOR EACH ROW EXECUTE FUNCTION bonds_guard();
CREATE TRIGGER bonds_keep BEFORE TRUNCATE ON bonds
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
