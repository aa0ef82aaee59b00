-- Work: one row per task, and the log of everything that happened to it.
CREATE TABLE tasks (
    task_id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    task_type            text NOT NULL,
    min_tier             text NOT NULL DEFAULT 't1' CHECK (min_tier IN ('t1', 't2', 't3')),
    assigned_node        uuid REFERENCES nodes (node_id),     -- For fl_round: the only one it may go to.
    status               text NOT NULL DEFAULT 'pending'
                         CHECK (status IN ('pending', 'running', 'completed', 'failed', 'timeout')),
    round_number         integer,
    lease_token          bigint NOT NULL DEFAULT 0,           -- Only the newest counts.
    attempt              integer NOT NULL DEFAULT 0,
    idempotency_key      text,
    payload              bytea,
    input_hash           text,
    output               bytea,
    output_hash          text,
    reason               text NOT NULL DEFAULT '',
    reward_sats          integer,
    reward_msat          bigint NOT NULL DEFAULT 0 CHECK (reward_msat >= 0),
    payment_status       text DEFAULT 'pending' CHECK (payment_status IN ('pending', 'paid', 'failed')),
    payment_preimage     text,
    submitted_at         timestamptz DEFAULT now(),
    started_at           timestamptz,
    completed_at         timestamptz,
    timeout_seconds      integer DEFAULT 30,
    timeout_ms           bigint NOT NULL DEFAULT 30000
);
CREATE INDEX idx_tasks_assigned_node ON tasks (assigned_node, status);
CREATE INDEX idx_tasks_submitted ON tasks (submitted_at DESC);
CREATE INDEX idx_tasks_live ON tasks (submitted_at) WHERE status IN ('pending', 'running');
CREATE INDEX idx_tasks_round ON tasks (round_number) WHERE round_number IS NOT NULL;
CREATE UNIQUE INDEX idx_tasks_key ON tasks (idempotency_key) WHERE idempotency_key IS NOT NULL;

-- SRS-SCHED-06: append-only.
CREATE TABLE task_log (
    sequence             bigint PRIMARY KEY,
    task_id              uuid NOT NULL,
    node_id              uuid,
    lease_token          bigint NOT NULL,
    attempt              integer NOT NULL,
    what                 text NOT NULL
                         CHECK (what IN ('submitted', 'dispatched', 'requeued', 'completed', 'failed',
                                         'timeout')),
    at                   timestamptz NOT NULL,
    reason               text NOT NULL DEFAULT ''
);
CREATE INDEX idx_task_log_task ON task_log (task_id);
-- A task has at most one effective completion (I1), and every dispatch its own token (I6).
CREATE UNIQUE INDEX idx_task_log_completed ON task_log (task_id) WHERE what = 'completed';
CREATE UNIQUE INDEX idx_task_log_token ON task_log (task_id, lease_token) WHERE what = 'dispatched';
CREATE TRIGGER task_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON task_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
