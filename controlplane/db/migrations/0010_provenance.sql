-- Where the proof of each model version stands. The proof itself is the file beside the checkpoint.
ALTER TABLE model_versions
    ADD COLUMN ots_calendars    integer NOT NULL DEFAULT 0 CHECK (ots_calendars >= 0), -- That promised.
    ADD COLUMN ots_attempts     integer NOT NULL DEFAULT 0 CHECK (ots_attempts >= 0),  -- Since the last success.
    ADD COLUMN ots_next_at      timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN ots_stamped_at   timestamptz,   -- When enough calendars had promised.
    ADD COLUMN ots_confirmed_at timestamptz,   -- When we had checked the block.
    ADD COLUMN ots_note         text NOT NULL DEFAULT '', -- Why the last try brought nothing.
    ADD COLUMN btc_time         timestamptz,   -- In the block's header.
    ADD CONSTRAINT confirmed_has_block CHECK ((btc_block IS NULL) = (ots_confirmed_at IS NULL));
CREATE INDEX idx_model_unproven ON model_versions (ots_next_at) WHERE btc_block IS NULL;
CREATE INDEX idx_model_hash ON model_versions (model_hash);
