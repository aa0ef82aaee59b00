/* config.c: the table of keys, and the checks that span more than one. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"

#define AT(field)   offsetof(struct owm_coordinator_config, field)
#define DAY_MS      86400000
#define MAX_SATS    2100000000000000.0
#define NONE        0, 0, NULL, NULL
#define RANGE(a, b) a, b, NULL, NULL

static const struct owm_conf_row rows[] = {
    {"server.listen", OWM_CONF_STRING, AT(listen), "0.0.0.0:9000", 1, 500, NULL, NULL,
     "Comma-separated addresses for nodes (gRPC, mutual TLS); port 0 picks a free one."},
    {"server.internal_listen", OWM_CONF_STRING, AT(internal_listen), "127.0.0.1:9001", 1, 200, NULL,
     NULL, "Address for the project's own services (SRS-SCHED-05)."},
    {"server.tor_listen", OWM_CONF_STRING, AT(tor_listen), "", 0, 200, NULL, NULL,
     "Local address that Tor forwards to, 127.0.0.1:9002; empty: none (SRS-COORD-08)."},
    {"server.tor_hostname_file", OWM_CONF_PATH, AT(tor_hostname_file), "", NONE,
     "The hostname file of Tor's HiddenServiceDir; its name is logged (SRS-COORD-09)."},
    {"server.tls_names", OWM_CONF_STRING, AT(tls_names),
     "DNS:owm-coordinator,DNS:localhost,IP:127.0.0.1", 1, 1000, NULL, NULL,
     "Names in our certificate when it is made (delete coordinator.crt to make a new one)."},
    {"server.data_dir", OWM_CONF_PATH, AT(data_dir), "~/.owm-coordinator", NONE,
     "Identity, payment secret, certificate and the blob store."},
    {"server.identity_key", OWM_CONF_PATH, AT(identity_key), "", 0, 0, NULL,
     "OWM_IDENTITY_KEY_PATH", "Ed25519 key file, made at the first start; empty: in data_dir."},
    {"server.threads", OWM_CONF_INT, AT(threads), "2", RANGE(1, 64), "Threads that answer calls."},
    {"server.workers", OWM_CONF_INT, AT(workers), "2", RANGE(1, 64),
     "Threads for checking packages, files and questions to the database."},
    {"server.log_level", OWM_CONF_CHOICE, AT(log_level), "info", 0, 0, OWM_LOG_LEVEL_CHOICES,
     "OWM_LOG_LEVEL", "The least important event that is logged."},

    {"database.url", OWM_CONF_SECRET, AT(database_url), "", 0, 0, NULL, "DATABASE_URL",
     "PostgreSQL: postgresql://user@host/name, or \"host=/run/folder dbname=name\"."},

    {"policy.network", OWM_CONF_STRING, AT(network), "mainnet", 1, 32, NULL, NULL,
     "Name of the network: mainnet, devnet, regtest."},
    {"policy.stake", OWM_CONF_CHOICE, AT(stake), "lightning", 0, 0, "lightning|none", NULL,
     "What a node must have locked; none only on devnet and regtest, and shown everywhere."},
    {"policy.treasury_uri", OWM_CONF_STRING, AT(treasury_uri), "", 0, 200, NULL, NULL,
     "pubkey@host:port that nodes open their stake channel to; empty: what its node announces."},
    {"policy.registrations_per_ip_hour", OWM_CONF_INT, AT(registrations_per_ip_hour), "10",
     RANGE(0, 64), "New nodes per address and hour (SRS-SEC-04); 0 only on devnet: no limit."},
    {"policy.registrations_per_key_hour", OWM_CONF_INT, AT(registrations_per_key_hour), "60",
     RANGE(0, 64), "Registrations of one node and hour; 0 only on devnet: no limit."},
    {"policy.clock_skew_s", OWM_CONF_INT, AT(clock_skew_s), "300", RANGE(5, 3600),
     "How far the time in a signed message may be from ours."},
    {"policy.base_rate_sats", OWM_CONF_INT, AT(base_rate_sats), "10", RANGE(0, 1000000),
     "base_rate_sats of the reward formula (SRS 4.4.2)."},
    {"policy.tier_override_allowed", OWM_CONF_BOOL, AT(tier_override_allowed), "true", NONE,
     "Take a tier that the operator set by hand instead of the one that follows from hardware."},

    {"lightning.backend", OWM_CONF_CHOICE, AT(lightning_backend), "none", 0, 0, "none|lnd|cln",
     NULL,
     "The treasury's Lightning node; none: nothing is staked, and what is earned stays owed."},
    {"lightning.address", OWM_CONF_STRING, AT(lightning_address), "127.0.0.1:10009", 1, 200, NULL,
     NULL, "LND: host:port of its gRPC; Core Lightning: the path of its socket lightning-rpc."},
    {"lightning.certificate", OWM_CONF_PATH, AT(lightning_certificate), "~/.lnd/tls.cert", NONE,
     "LND: its tls.cert, the only one that is accepted."},
    {"lightning.network", OWM_CONF_STRING, AT(lightning_network), "mainnet", 1, 32, NULL, NULL,
     "Chain that the node must be on: mainnet, testnet, testnet4, signet, regtest, simnet."},
    {"lightning.stake_credential", OWM_CONF_PATH, AT(stake_credential), "", NONE,
     "Macaroon (LND) or rune (Core Lightning) that reads channels and does nothing else."},
    {"lightning.invoice_credential", OWM_CONF_PATH, AT(invoice_credential), "", NONE,
     "One that makes and watches invoices."},
    {"lightning.pay_credential", OWM_CONF_PATH, AT(pay_credential), "", NONE,
     "One that pays nodes; empty: what is earned stays owed."},

    {"stake.confirmations", OWM_CONF_INT, AT(stake_confirmations), "3", RANGE(1, 100),
     "Blocks on a channel's funding before it counts."},
    {"stake.fresh_ms", OWM_CONF_INT, AT(stake_fresh_ms), "10000", RANGE(5000, DAY_MS),
     "A node gets a task only if its stake was read within this time."},
    {"stake.recheck_hours", OWM_CONF_REAL, AT(stake_recheck_hours), "6", RANGE(0.001, 168),
     "How often all stakes are read again (SRS-STAKE-02)."},
    {"stake.sweep_s", OWM_CONF_INT, AT(stake_sweep_s), "600", RANGE(1, 600),
     "Time over which those readings are spread (SRS-PERF-14)."},
    {"stake.degraded_hours", OWM_CONF_REAL, AT(stake_degraded_hours), "24", RANGE(0, 720),
     "Time to restore a stake before suspension (SRS-STAKE-03); below 24 only on devnet, regtest."},
    {"stake.t1_sats", OWM_CONF_INT, AT(t1_sats), "100000", RANGE(1, MAX_SATS),
     "What tier 1 must have locked."},
    {"stake.t2_sats", OWM_CONF_INT, AT(t2_sats), "500000", RANGE(1, MAX_SATS), "Tier 2."},
    {"stake.t3_sats", OWM_CONF_INT, AT(t3_sats), "2000000", RANGE(1, MAX_SATS), "Tier 3."},

    {"payments.paused", OWM_CONF_BOOL, AT(payments_paused), "false", NONE,
     "Send nothing new; what is under way is followed to its end."},
    {"payments.daily_budget_sats", OWM_CONF_INT, AT(daily_budget_sats), "10000000",
     RANGE(0, MAX_SATS),
     "At most this much leaves in any 24 hours, fees included; then payments wait. 0: no limit."},
    {"payments.concurrency", OWM_CONF_INT, AT(payments_concurrency), "16", RANGE(1, 64),
     "Calls to the Lightning node at a time."},
    {"payments.in_flight_max", OWM_CONF_INT, AT(payments_in_flight_max), "256", RANGE(1, 1000),
     "Payments under way in a ledger; a channel carries at most 483."},
    {"payments.deadline_s", OWM_CONF_INT, AT(payments_deadline_s), "60", RANGE(5, 600),
     "After this the Lightning node gives an attempt up."},
    {"payments.fee_min_sats", OWM_CONF_INT, AT(fee_min_sats), "5", RANGE(0, 1000000),
     "An attempt may cost this much in routing fees, or fee_ppm of it, but never what it pays."},
    {"payments.fee_ppm", OWM_CONF_INT, AT(fee_ppm), "10000", RANGE(0, 1000000),
     "In millionths of the amount."},
    {"payments.retry_min_s", OWM_CONF_INT, AT(payments_retry_min_s), "5", RANGE(1, 3600),
     "Pause after a failed attempt; it doubles,"},
    {"payments.retry_max_s", OWM_CONF_INT, AT(payments_retry_max_s), "3600", RANGE(1, 86400),
     "up to this."},
    {"payments.attempts_max", OWM_CONF_INT, AT(payments_attempts_max), "200", RANGE(0, 100000),
     "Failed attempts in a row after which a payment waits for a person; 0: never."},
    {"payments.open_channels", OWM_CONF_BOOL, AT(open_channels), "false", NONE,
     "Open a channel to each new node that has none from us (SRS-LN-03)."},
    {"payments.channel_sats", OWM_CONF_INT, AT(channel_sats), "200000", RANGE(20000, MAX_SATS),
     "Its size,"},
    {"payments.reserve_sats", OWM_CONF_INT, AT(reserve_sats), "1000000", RANGE(0, MAX_SATS),
     "as long as the wallet keeps this much on chain."},
    {"payments.pool_database_url", OWM_CONF_SECRET, AT(pool_database_url), "", 0, 0, NULL,
     "OWM_POOL_DATABASE_URL",
     "The database of an owm-pool whose miners are paid here; empty: none."},
    {"payments.pool_payment_key", OWM_CONF_PATH, AT(pool_payment_key), "", NONE,
     "That pool's payment.key."},
    {"payments.treasury_destination", OWM_CONF_STRING, AT(treasury_destination), "", 0, 500, NULL,
     NULL, "Where the treasury's part of that pool goes; empty: it stays, as a book entry."},

    {"rounds.enabled", OWM_CONF_BOOL, AT(rounds_enabled), "true", NONE,
     "Run federated-learning rounds."},
    {"rounds.stop_after", OWM_CONF_INT, AT(stop_after), "0", RANGE(0, 1000000),
     "Stop opening rounds after this many complete ones; 0: never."},
    {"rounds.steps", OWM_CONF_INT, AT(steps), "250", RANGE(1, 100000),
     "Local steps of a participant."},
    {"rounds.batch", OWM_CONF_INT, AT(batch), "4", RANGE(1, 4096), "Sequences in a step."},
    {"rounds.seq", OWM_CONF_INT, AT(seq), "64", RANGE(2, 4096), "Bytes in a sequence."},
    {"rounds.lr", OWM_CONF_REAL, AT(lr), "0.0012", RANGE(1e-9, 10), "Local learning rate."},
    {"rounds.weight_decay", OWM_CONF_REAL, AT(weight_decay), "0.01", RANGE(0, 10),
     "Local weight decay."},
    {"rounds.warmup_steps", OWM_CONF_INT, AT(warmup_steps), "10", RANGE(0, 100000),
     "Steps over which the local learning rate rises."},
    {"rounds.topk_permille", OWM_CONF_INT, AT(topk_permille), "100", RANGE(1, 1000),
     "Share of the weights in a package, per thousand."},
    {"rounds.value_type", OWM_CONF_CHOICE, AT(value_type), "int8", 0, 0, "int8|bf16", NULL,
     "How values in a package are written."},
    {"rounds.server_lr", OWM_CONF_REAL, AT(server_lr), "1.0", RANGE(1e-6, 100),
     "Learning rate of the server step."},
    {"rounds.server_momentum", OWM_CONF_REAL, AT(server_momentum), "0", RANGE(0, 0.999),
     "Nesterov momentum of the server step."},
    {"rounds.rule", OWM_CONF_CHOICE, AT(rule), "stack", 0, 0,
     "stack|fedavg|krum|multi_krum|trimmed_mean|median", NULL,
     "Aggregation rule (SRS-SEC-05); stack is screening, NNM and geometric median."},
    {"rounds.loss_screen", OWM_CONF_BOOL, AT(loss_screen), "true", NONE,
     "Also try each update on the held-out text and leave out one that makes it worse."},
    {"rounds.participants_max", OWM_CONF_INT, AT(participants_max), "64", RANGE(1, 1000),
     "Nodes invited to a round."},
    {"rounds.min_participants", OWM_CONF_INT, AT(min_participants), "3", RANGE(1, 1000),
     "Nodes that must be there to open a round, and packages to close one."},
    {"rounds.quorum_percent", OWM_CONF_INT, AT(quorum_percent), "60", RANGE(1, 100),
     "Share of the invited that must deliver."},
    {"rounds.min_tier", OWM_CONF_STRING, AT(min_tier), "t1", 2, 2, NULL, NULL,
     "Lowest tier that is invited."},
    {"rounds.deadline_s", OWM_CONF_INT, AT(deadline_s), "600", RANGE(2, 86400),
     "A round that is not full closes after this long."},
    {"rounds.deadline_min_s", OWM_CONF_INT, AT(deadline_min_s), "30", RANGE(1, 86400),
     "It never closes before this, however fast the others were."},
    {"rounds.deadline_mad_k", OWM_CONF_REAL, AT(deadline_mad_k), "6", RANGE(1, 100),
     "Else it closes at median + k * MAD of recent delivery times."},
    {"rounds.pause_ms", OWM_CONF_INT, AT(pause_ms), "1000", RANGE(0, DAY_MS),
     "Between two rounds, and before another try."},
    {"rounds.heldout_file", OWM_CONF_PATH, AT(heldout_file), "", NONE,
     "Text that no node trains on; checkpoints are measured on it. Empty: not measured."},
    {"rounds.heldout_bytes_max", OWM_CONF_INT, AT(heldout_bytes_max), "65536",
     RANGE(1024, 67108864), "At most this much of it is used."},

    {"model.seed", OWM_CONF_INT, AT(model_seed), "1", RANGE(0, 9007199254740992.0),
     "Seed of the first checkpoint's random weights."},
    {"model.dim", OWM_CONF_INT, AT(model_dim), "0", RANGE(0, 16384),
     "Width of the model; 0 takes the built-in value here and below."},
    {"model.layers", OWM_CONF_INT, AT(model_layers), "0", RANGE(0, 99), "Layers."},
    {"model.heads", OWM_CONF_INT, AT(model_heads), "0", RANGE(0, 256), "Query heads."},
    {"model.kv_heads", OWM_CONF_INT, AT(model_kv_heads), "0", RANGE(0, 256),
     "Key and value heads."},
    {"model.ffn_dim", OWM_CONF_INT, AT(model_ffn_dim), "0", RANGE(0, 65536),
     "Width of the feed-forward part."},
    {"model.context", OWM_CONF_INT, AT(model_context), "0", RANGE(0, 4096), "Longest context."},

    {"provenance.calendars", OWM_CONF_STRING, AT(calendars), "auto", 1, 4000, NULL, NULL,
     "OpenTimestamps calendars that stamp each checkpoint: URLs with commas, or public: the "
     "reference client's four, which is also what auto means but on devnet and regtest: none."},
    {"provenance.calendars_needed", OWM_CONF_INT, AT(calendars_needed), "2", RANGE(1, 16),
     "How many must have promised before a round may train on it; the rest are asked again."},
    {"provenance.bitcoin_rpc", OWM_CONF_SECRET, AT(bitcoin_rpc), "", NONE,
     "Bitcoin node whose blocks proofs are checked against: http://user:password@host:8332."},
    {"provenance.bitcoin_cookie", OWM_CONF_PATH, AT(bitcoin_cookie), "", NONE,
     "Its cookie file, in place of user and password."},
    {"provenance.headers_file", OWM_CONF_PATH, AT(headers_file), "", NONE,
     "Block headers of owm-ots headers, in place of a node. Without both nothing is confirmed."},
    {"provenance.bitcoin_network", OWM_CONF_CHOICE, AT(bitcoin_network), "main", 0, 0,
     "main|testnet4|signet|regtest", NULL,
     "Chain of those blocks; not main only on devnet, regtest."},
    {"provenance.serve_pending", OWM_CONF_BOOL, AT(serve_pending), "false", NONE,
     "Answer questions with a checkpoint that waits for its block; only on devnet and regtest."},
    {"provenance.retry_min_s", OWM_CONF_INT, AT(proof_retry_min_s), "600", RANGE(1, 86400),
     "Pause between two tries to complete a proof; it grows,"},
    {"provenance.retry_max_s", OWM_CONF_INT, AT(proof_retry_max_s), "21600", RANGE(1, 604800),
     "up to this."},
    {"provenance.alarm_hours", OWM_CONF_INT, AT(proof_alarm_hours), "48", RANGE(1, 8760),
     "A checkpoint without its block for so long is shown as trouble."},

    {"heartbeat.period_ms", OWM_CONF_INT, AT(heartbeat_ms), "20000", RANGE(100, DAY_MS),
     "How often a node reports."},
    {"heartbeat.manifest_ms", OWM_CONF_INT, AT(manifest_ms), "60000", RANGE(100, DAY_MS),
     "How often it sends its signed capabilities (SRS-NODE-04)."},
    {"heartbeat.grace_ms", OWM_CONF_INT, AT(grace_ms), "120000", RANGE(0, DAY_MS),
     "After a start nobody is called dead for this long, or three periods if that is longer."},
    {"heartbeat.persist_ms", OWM_CONF_INT, AT(persist_ms), "5000", RANGE(100, 600000),
     "How often last heartbeats are written to the database, in one statement."},

    {"limits.nodes_max", OWM_CONF_INT, AT(nodes_max), "20000", RANGE(1, 1000000),
     "Registered nodes."},
    {"limits.tasks_max", OWM_CONF_INT, AT(tasks_max), "65536", RANGE(16, 1000000),
     "Tasks that wait or run."},
    {"limits.calls_max", OWM_CONF_INT, AT(calls_max), "65536", RANGE(64, 1000000),
     "Calls in flight; each connected node holds one."},
    {"limits.attempts_max", OWM_CONF_INT, AT(attempts_max), "3", RANGE(1, 100),
     "A task that failed this often is given up."},
    {"limits.lease_s", OWM_CONF_INT, AT(lease_s), "90", RANGE(1, 86400),
     "A node must renew the lease of a task within this, by heartbeat."},
    {"limits.package_mb_max", OWM_CONF_INT, AT(package_mb_max), "64", RANGE(1, 65536),
     "Largest delta package, whatever the model."},
    {"limits.queue_events_max", OWM_CONF_INT, AT(queue_events_max), "65536", RANGE(64, 1048576),
     "Events that wait for the engine; beyond it calls are refused, to be tried again."},

    {"bonds.enabled", OWM_CONF_BOOL, AT(bonds_enabled), "false", NONE,
     "Nodes may put up a bond beside their channel: what they can really forfeit."},
    {"bonds.min_sats", OWM_CONF_INT, AT(bond_min_sats), "10000", RANGE(1, MAX_SATS),
     "Smallest bond."},
    {"bonds.max_sats", OWM_CONF_INT, AT(bond_max_sats), "5000000", RANGE(1, MAX_SATS),
     "Largest bond."},
    {"bonds.unbonding_hours", OWM_CONF_INT, AT(unbonding_hours), "168", RANGE(0, 8760),
     "A paid bond goes back this long after the node leaves."},
    {"bonds.hold_blocks", OWM_CONF_INT, AT(hold_blocks), "1008", RANGE(20, 2000),
     "How long the HTLC of a hold bond may lie; a route takes 2016 blocks at most."},
    {"bonds.roll_blocks", OWM_CONF_INT, AT(roll_blocks), "144", RANGE(1, 1000),
     "A node is told to roll its hold bond this long before its end."},

    {"slashing.maintainers", OWM_CONF_STRING, AT(maintainers), "", 0, 4096, NULL, NULL,
     "Comma-separated Ed25519 keys (hex) of those who decide T2 and T3 cases; one person, one "
     "key."},
    {"slashing.acks_needed", OWM_CONF_INT, AT(acks_needed), "2", RANGE(2, 16),
     "How many of them it takes to slash, to dismiss and to overturn (SRS-SEC-14)."},
    {"slashing.appeal_hours", OWM_CONF_INT, AT(appeal_hours), "24", RANGE(0, 720),
     "Time for an appeal between a decision and eviction."},

    {"internal.allowed_keys", OWM_CONF_STRING, AT(allowed_keys), "", 0, 2000, NULL, NULL,
     "Comma-separated hex keys of the services that may call; empty: nobody."},

    {"http.bind", OWM_CONF_STRING, AT(http_bind), "127.0.0.1", 1, 100, NULL, NULL,
     "Address of the status page and /metrics."},
    {"http.port", OWM_CONF_INT, AT(http_port), "9100", RANGE(0, 65535), "Its port; 0: any."},
};

const struct owm_conf_table owm_coordinator_table = {
    .program = "owm-coordinator",
    .about =
        "Registers nodes, hands out tasks, runs federated-learning rounds and keeps the ledger.",
    .file = "/etc/owm/coordinator.toml",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};

static bool is_development(const struct owm_coordinator_config *config)
{
    return strcmp(config->network, "devnet") == 0 || strcmp(config->network, "regtest") == 0;
}

static owm_status check_policy(const struct owm_coordinator_config *config, struct owm_error *error)
{
    if (config->stake == OWM_STAKE_NONE && !is_development(config))
        return owm_fail(error, OWM_E_CONFIG,
                        "policy.stake = \"none\" needs policy.network = \"devnet\" or \"regtest\", "
                        "not \"%s\"; on a real network a node must lock a stake",
                        config->network);
    if (config->registrations_per_ip_hour == 0 && !is_development(config))
        return owm_fail(error, OWM_E_CONFIG,
                        "policy.registrations_per_ip_hour = 0 needs policy.network = \"devnet\" or "
                        "\"regtest\"; elsewhere the number of new nodes must be limited");
    if (config->registrations_per_key_hour == 0 && !is_development(config))
        return owm_fail(error, OWM_E_CONFIG,
                        "policy.registrations_per_key_hour = 0 needs policy.network = \"devnet\" "
                        "or \"regtest\"; each registration costs calls of the treasury's node");
    if (!config->database_url[0])
        return owm_fail(error, OWM_E_CONFIG,
                        "no database; set database.url or DATABASE_URL, for example to "
                        "postgresql:///owm");
    return OWM_OK;
}

static owm_status check_stake(const struct owm_coordinator_config *config, struct owm_error *error)
{
    if (config->stake == OWM_STAKE_NONE) return OWM_OK;
    if (config->lightning_backend == OWM_LIGHTNING_CHOICE_NONE)
        return owm_fail(error, OWM_E_CONFIG,
                        "policy.stake = \"lightning\" needs the treasury's Lightning node: set "
                        "lightning.backend to \"lnd\" or \"cln\" and its address and credential "
                        "(docs/lightning-integration.md), or policy.stake = \"none\" on a "
                        "development network");
    if (config->lightning_backend == OWM_LIGHTNING_CHOICE_LND && !config->stake_credential[0])
        return owm_fail(error, OWM_E_CONFIG,
                        "lightning.stake_credential is empty; make the macaroon that reads "
                        "channels with: %s",
                        owm_lightning_role_recipe(OWM_LIGHTNING_LND, OWM_LIGHTNING_STAKE));
    if (config->stake_degraded_hours < 24 && !is_development(config))
        return owm_fail(error, OWM_E_CONFIG,
                        "stake.degraded_hours is %g; below 24 needs policy.network = \"devnet\" or "
                        "\"regtest\": an operator must have a day to restore a stake",
                        config->stake_degraded_hours);
    if (config->t1_sats > config->t2_sats || config->t2_sats > config->t3_sats)
        return owm_fail(error, OWM_E_CONFIG,
                        "stake.t1_sats, stake.t2_sats and stake.t3_sats must not fall from tier to "
                        "tier");
    if ((double)config->stake_sweep_s > config->stake_recheck_hours * 3600)
        return owm_fail(error, OWM_E_CONFIG,
                        "stake.sweep_s is %lld, longer than stake.recheck_hours",
                        (long long)config->stake_sweep_s);
    return OWM_OK;
}

static owm_status check_bonds(const struct owm_coordinator_config *config, struct owm_error *error)
{
    if (config->bond_min_sats > config->bond_max_sats)
        return owm_fail(error, OWM_E_CONFIG, "bonds.min_sats is above bonds.max_sats");
    if (config->roll_blocks >= config->hold_blocks)
        return owm_fail(error, OWM_E_CONFIG,
                        "bonds.roll_blocks must be below bonds.hold_blocks: a bond would have to "
                        "be rolled as soon as it is held");
    if (config->bonds_enabled
        && (config->lightning_backend == OWM_LIGHTNING_CHOICE_NONE
            || (config->lightning_backend == OWM_LIGHTNING_CHOICE_LND
                && !config->invoice_credential[0])))
        return owm_fail(error, OWM_E_CONFIG,
                        "bonds.enabled needs lightning.backend and lightning.invoice_credential");
    return OWM_OK;
}

static owm_status check_payments(const struct owm_coordinator_config *config,
                                 struct owm_error *error)
{
    if (config->payments_retry_min_s > config->payments_retry_max_s)
        return owm_fail(
            error, OWM_E_CONFIG, "payments.retry_min_s is %lld, above payments.retry_max_s %lld",
            (long long)config->payments_retry_min_s, (long long)config->payments_retry_max_s);
    if (config->lightning_backend != OWM_LIGHTNING_CHOICE_NONE && config->pool_database_url[0]
        && !config->pool_payment_key[0])
        return owm_fail(error, OWM_E_CONFIG,
                        "payments.pool_database_url is set, and payments.pool_payment_key is not: "
                        "name the payment.key in that owm-pool's data folder");
    return OWM_OK;
}

static owm_status check_rounds(const struct owm_coordinator_config *config, struct owm_error *error)
{
    if (config->min_participants > config->participants_max)
        return owm_fail(error, OWM_E_CONFIG,
                        "rounds.min_participants is %lld, above rounds.participants_max %lld",
                        (long long)config->min_participants, (long long)config->participants_max);
    if (config->deadline_min_s > config->deadline_s)
        return owm_fail(error, OWM_E_CONFIG,
                        "rounds.deadline_min_s is %lld, above rounds.deadline_s %lld",
                        (long long)config->deadline_min_s, (long long)config->deadline_s);
    const char *tier = config->min_tier;
    if (strcmp(tier, "t1") != 0 && strcmp(tier, "t2") != 0 && strcmp(tier, "t3") != 0)
        return owm_fail(error, OWM_E_CONFIG, "rounds.min_tier is '%s'; allowed are t1, t2, t3",
                        tier);
    return OWM_OK;
}

static owm_status check_provenance(const struct owm_coordinator_config *config,
                                   struct owm_error *error)
{
    bool none = strcmp(config->calendars, "none") == 0;
    if (!is_development(config) && (none || config->serve_pending || config->bitcoin_network))
        return owm_fail(
            error, OWM_E_CONFIG,
            "%s needs policy.network = \"devnet\" or \"regtest\", not \"%s\": on a real "
            "network no checkpoint is used without its proof in Bitcoin's main chain",
            none                    ? "provenance.calendars = \"none\""
            : config->serve_pending ? "provenance.serve_pending"
                                    : "provenance.bitcoin_network other than main",
            config->network);
    if (!is_development(config) && !config->bitcoin_rpc[0] && !config->headers_file[0])
        return owm_fail(error, OWM_E_CONFIG,
                        "no Bitcoin blocks to check proofs against: set provenance.bitcoin_rpc, or "
                        "provenance.headers_file to what owm-ots headers writes; without them no "
                        "checkpoint is ever confirmed and none may answer questions");
    if (config->proof_retry_min_s > config->proof_retry_max_s)
        return owm_fail(error, OWM_E_CONFIG,
                        "provenance.retry_min_s is %lld, above provenance.retry_max_s %lld",
                        (long long)config->proof_retry_min_s, (long long)config->proof_retry_max_s);
    return OWM_OK;
}

const char *owm_coordinator_calendars(const struct owm_coordinator_config *config)
{
    if (strcmp(config->calendars, "none") == 0) return "";
    if (strcmp(config->calendars, "auto") != 0) return config->calendars;
    return is_development(config) ? "" : "public";
}

owm_status owm_coordinator_config_check(struct owm_coordinator_config *config,
                                        struct owm_error *error)
{
    owm_status status = check_policy(config, error);
    if (status == OWM_OK) status = check_stake(config, error);
    if (status == OWM_OK) status = check_payments(config, error);
    if (status == OWM_OK) status = check_bonds(config, error);
    if (status == OWM_OK) status = check_rounds(config, error);
    if (status == OWM_OK) status = check_provenance(config, error);
    if (status != OWM_OK) return status;
    uint8_t keys[OWM_COORDINATOR_KEYS_MAX][32];
    size_t count;
    status = owm_coordinator_allowed_keys(config->allowed_keys, keys, &count, error);
    if (status != OWM_OK || config->identity_key[0]) return status;
    char *path = NULL;
    if (asprintf(&path, "%s/identity.key", config->data_dir) < 0) return OWM_E_NOMEM;
    free(config->identity_key);
    config->identity_key = path;
    return OWM_OK;
}

bool owm_coordinator_lightning(const struct owm_coordinator_config *config,
                               enum owm_lightning_role role, struct owm_lightning_config *lightning)
{
    const char *credential = role == OWM_LIGHTNING_STAKE     ? config->stake_credential
                             : role == OWM_LIGHTNING_INVOICE ? config->invoice_credential
                                                             : config->pay_credential;
    *lightning = (struct owm_lightning_config){
        .backend = config->lightning_backend == OWM_LIGHTNING_CHOICE_CLN ? OWM_LIGHTNING_CLN
                                                                         : OWM_LIGHTNING_LND,
        .role = role,
        .address = config->lightning_address,
        .certificate = config->lightning_certificate,
        .credential = credential[0] ? credential : NULL,
        .network = config->lightning_network,
    };
    return config->lightning_backend != OWM_LIGHTNING_CHOICE_NONE;
}

void owm_coordinator_tier_sats(const struct owm_coordinator_config *config,
                               int64_t sats[OWM_TIERS + 1])
{
    sats[0] = 0;
    sats[OWM_TIER_T1] = config->t1_sats;
    sats[OWM_TIER_T2] = config->t2_sats;
    sats[OWM_TIER_T3] = config->t3_sats;
}

owm_status owm_coordinator_allowed_keys(const char *text,
                                        uint8_t keys[OWM_COORDINATOR_KEYS_MAX][32], size_t *count,
                                        struct owm_error *error)
{
    *count = 0;
    while (*text) {
        size_t length = strcspn(text, ", ");
        char hex[65] = "";
        if (length > 0 && *count == OWM_COORDINATOR_KEYS_MAX)
            return owm_fail(error, OWM_E_CONFIG, "internal.allowed_keys has more than %d entries",
                            OWM_COORDINATOR_KEYS_MAX);
        if (length == 64) memcpy(hex, text, 64);
        if (length > 0 && owm_hex_decode(hex, keys[(*count)++], 32) != OWM_OK)
            return owm_fail(error, OWM_E_CONFIG,
                            "internal.allowed_keys: '%.*s' is not a key of 64 hex digits",
                            (int)(length > 80 ? 80 : length), text);
        text += length;
        text += strspn(text, ", ");
    }
    return OWM_OK;
}
