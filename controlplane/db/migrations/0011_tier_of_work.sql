-- In which tier a node worked when it went wrong. A node may come down a tier at any time, and is judged
-- in the one in which it was caught.
ALTER TABLE tasks ADD COLUMN lease_tier text CHECK (lease_tier IN ('t1', 't2', 't3'));
ALTER TABLE misbehavior_signals ADD COLUMN tier text CHECK (tier IN ('t1', 't2', 't3'));
ALTER TABLE nodes ADD COLUMN signals_tier text CHECK (signals_tier IN ('t1', 't2', 't3'));
